"""The command line's way to the admin API."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from mothership.errors import MothershipError, SetupError

TIMEOUT_SECONDS = 30


class ApiError(MothershipError):
    """The mothership refused, or could not be reached; the text says what it said."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the mothership is and how to prove who asks."""

    endpoint: str
    ca: Path
    token: str = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Connection":
        """Read MOTHERSHIP_ENDPOINT, MOTHERSHIP_CA and MOTHERSHIP_ADMIN_TOKEN_FILE; raise `SetupError`."""
        names = ("MOTHERSHIP_ENDPOINT", "MOTHERSHIP_CA", "MOTHERSHIP_ADMIN_TOKEN_FILE")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise SetupError(
                f'set {", ".join(missing)} (on the local cluster: eval "$(make -s cluster-env)")'
            )
        endpoint, ca, token_file = (environment[name] for name in names)
        try:
            token = Path(token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SetupError(f"MOTHERSHIP_ADMIN_TOKEN_FILE: {error.strerror}: {token_file}") from None
        if not Path(ca).is_file():
            raise SetupError(f"MOTHERSHIP_CA: no such file: {ca}")
        return cls(endpoint.rstrip("/"), Path(ca), token)


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of a log, where the next one starts, the run's state, and whether it is over."""

    text: bytes
    next_offset: int
    state: str
    finished: bool


class Client:
    """Calls of the admin API; raises `ApiError` with the mothership's own words."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {connection.token}"
        # The environment's proxies and .netrc are not for this token.
        self._session.trust_env = False
        self._session.verify = str(connection.ca)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._session.close()

    def get(self, path: str, **parameters: str | int | None) -> dict[str, Any]:
        """Return the JSON answer of a GET."""
        data: dict[str, Any] = self._call("GET", path, params=parameters).json()
        return data

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON answer of a POST."""
        data: dict[str, Any] = self._call("POST", path, json=dict(body)).json()
        return data

    def log_page(self, run: str, offset: int) -> LogPage:
        """Return a page of a run's log."""
        response = self._call("GET", f"/v1/runs/{run}/logs", params={"offset": offset})
        return LogPage(
            response.content,
            int(response.headers["X-Next-Offset"]),
            response.headers["X-Run-State"],
            response.headers["X-Run-Finished"] == "true",
        )

    def log_pages(self, run: str) -> Iterator[LogPage]:
        """Yield pages from the start, for ever: the caller waits between empty ones and stops when it has enough."""
        offset = 0
        while True:
            page = self.log_page(run, offset)
            offset = page.next_offset
            yield page

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:  # noqa: ANN401
        url = self._connection.endpoint + path
        try:
            response = self._session.request(method, url, timeout=TIMEOUT_SECONDS, **options)
        except requests.exceptions.SSLError as error:
            raise ApiError(f"{self._connection.endpoint}: not trusted with MOTHERSHIP_CA: {error}") from None
        except requests.exceptions.RequestException as error:
            raise ApiError(f"{self._connection.endpoint}: not reachable ({type(error).__name__})") from None
        if not response.ok:
            raise ApiError(_reason(response))
        return response


def _reason(response: requests.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the mothership answered {response.status_code} {response.reason}"
