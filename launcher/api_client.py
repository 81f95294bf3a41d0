"""The launcher's HTTPS calls to the mothership (`protocol/openapi.yaml`); the only user of `requests`.

One `LauncherApi` belongs to one thread; several share a `RunToken`. Answers become typed bodies or the errors of
`launcher.errors`, whose texts are made here and hold neither token nor headers.
"""

import contextlib
import gzip
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import requests
from requests.auth import AuthBase

from launcher.credentials import Credentials, RunToken
from launcher.errors import (
    AnswerError,
    ApiError,
    ConflictError,
    NotYetError,
    UnauthorizedError,
    UnavailableError,
)
from protocol.launcher_api import BodyError, ClaimRequest, LeaseAnswer, ResultReport, RunDetails

# Below this compressing costs more than it saves.
_GZIP_FROM = 1024
_MESSAGE_LIMIT = 300


class _Bearer(AuthBase):
    """Puts the token in; as an auth object, because requests prefers a ~/.netrc entry to a plain header."""

    def __init__(self, token: RunToken) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.value}"
        return request


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which (run, sequence) the calls are about."""

    run: str
    sequence: int


class LauncherApi:
    """The calls of one attempt."""

    def __init__(self, credentials: Credentials, attempt: Attempt, timeout: float) -> None:
        self._base = f"{credentials.endpoint}/v1/runs/{attempt.run}/stages/{attempt.sequence}"
        self._verify = str(credentials.ca_file)
        self._timeout = timeout
        self._token = credentials.token
        self._auth = _Bearer(credentials.token)
        self._session = requests.Session()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def claim(self, pod_uid: str) -> int:
        """Claim the start; return the lease in seconds. ConflictError is final, NotYetError asks to wait."""
        answer = self._call("POST", "claim", body=ClaimRequest(pod_uid).to_json())
        if answer.get("granted") is not True:
            raise AnswerError("claim: the answer doesn't say that the start is granted")
        seconds = answer.get("leaseSeconds")
        return seconds if isinstance(seconds, int) else 0

    def details(self) -> RunDetails:
        """Return what to prepare and execute."""
        try:
            return RunDetails.from_json(self._call("GET", "details"))
        except BodyError as error:
            raise AnswerError(f"details: {error}") from None

    def renew(self) -> LeaseAnswer:
        """Renew the lease."""
        try:
            return LeaseAnswer.from_json(self._call("POST", "lease", body={}))
        except BodyError as error:
            raise AnswerError(f"lease: {error}") from None

    def append_log(self, offset: int, data: bytes) -> int:
        """Append to the run's log; return the offset of the next chunk. ConflictError has it for a gap."""
        headers = {"Content-Type": "text/plain", "X-Stream": "run"}
        if len(data) >= _GZIP_FROM:
            data = gzip.compress(data, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        answer = self._call("POST", f"logs?offset={offset}", data=data, headers=headers)
        following = answer.get("offset")
        if not isinstance(following, int) or following < 0:
            raise AnswerError("logs: the answer has no offset")
        return following

    def report(self, result: ResultReport) -> None:
        """Report how the attempt ended."""
        self._call("POST", "result", body=result.to_json())

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        used = self._token.value
        try:
            return self._call_once(method, path, body, data, headers)
        except UnauthorizedError:
            # The lease thread has renewed the token while this call was on its way with the old one.
            if used == self._token.value:
                raise
        return self._call_once(method, path, body, data, headers)

    def _call_once(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        data: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> Mapping[str, Any]:
        what = f"{method} {path}"
        try:
            answer = self._session.request(
                method,
                f"{self._base}/{path}",
                json=body,
                data=data,
                headers=headers,
                auth=self._auth,
                timeout=self._timeout,
                # Given with each request: requests lets REQUESTS_CA_BUNDLE override what a session has.
                verify=self._verify,
                # A redirect would take the token to an address that nobody configured.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise UnavailableError(f"{what}: {_cause(error)}") from None
        except OSError as error:
            raise UnavailableError(f"{what}: {type(error).__name__}: the CA can't be read") from None
        if answer.status_code != requests.codes.ok:
            raise _refusal(what, answer)
        return _object(what, answer)


def _object(what: str, answer: requests.Response) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        # A proxy or a half-started server: it will pass.
        raise UnavailableError(f"{what}: the answer isn't a JSON object")
    return cast("Mapping[str, Any]", found)


def _refusal(what: str, answer: requests.Response) -> ApiError:
    """Return the error for an answer that isn't 200."""
    body: Mapping[str, Any] = {}
    with contextlib.suppress(ValueError):
        found = json.loads(answer.content)
        body = found if isinstance(found, dict) else {}
    text = str(body.get("error") or answer.reason or "")[:_MESSAGE_LIMIT]
    message = f"{what}: {answer.status_code} {text}".rstrip()
    status = answer.status_code
    if status == requests.codes.conflict:
        offset = body.get("offset")
        return ConflictError(text or message, offset if isinstance(offset, int) and offset >= 0 else None)
    if status == requests.codes.too_early:
        return NotYetError(message, _retry_after(answer))
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        return UnauthorizedError(message)
    if status in (requests.codes.request_timeout, requests.codes.too_many_requests) or status >= 500:
        return UnavailableError(message, _retry_after(answer))
    return AnswerError(message)


def _retry_after(answer: requests.Response) -> float | None:
    value = answer.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _cause(error: BaseException) -> str:
    """Return the innermost reason in a few words; the outer texts repeat whole objects."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        inner = getattr(current, "reason", None) or (current.args[0] if current.args else None)
        inner = inner if isinstance(inner, BaseException) else None
        current = inner or current.__cause__ or current.__context__
    for each in reversed(seen):
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"the mothership's certificate isn't accepted: {each.verify_message}"
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return type(error).__name__
