"""The run's credentials, as the run Secret shows them in a directory of files."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from launcher.errors import SettingsError


class RunToken:
    """The bearer token of the attempt; lease renewals replace it. Shared by all threads, shown by none."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "RunToken(hidden)"

    @property
    def value(self) -> str:
        """The token to use now."""
        return self._value

    def renew(self, value: str | None) -> None:
        """Use another token from now on; None keeps the present one."""
        if value:
            self._value = value


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the mothership is, how to know it, and what to show it."""

    endpoint: str
    ca_file: Path
    token: RunToken = field(repr=False)


def read_credentials(directory: Path, renewed_token: Path | None = None) -> Credentials:
    """Read `run-token`, `api-endpoint` and `ca.crt`; raise SettingsError.

    `renewed_token` is a file that holds a younger token, once there is one.
    """
    endpoint = _read(directory / "api-endpoint").rstrip("/")
    parts = urlsplit(endpoint)
    # Over plain HTTP the run token would be readable on the way.
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query:
        raise SettingsError("api-endpoint must be an https:// address")
    ca_file = directory / "ca.crt"
    _read(ca_file)
    token = RunToken(_read(directory / "run-token"))
    if renewed_token is not None and _is_there(renewed_token):
        token.renew(_read(renewed_token))
    return Credentials(endpoint, ca_file, token)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # A workspace that may not be searched: `init` says so once it has the start.
        return False


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the credential {path.name} can't be read: {type(error).__name__}") from None
    if not text:
        raise SettingsError(f"the credential {path.name} is empty")
    return text
