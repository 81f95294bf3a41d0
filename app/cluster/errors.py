"""What a call to the Kubernetes API can end with besides success. Retries read the type, never the text.

    ApiError
    ├── NotFound             404
    ├── AlreadyExists        409 of a create
    ├── Conflict             409: the resourceVersion or UID precondition did not hold
    ├── Gone                 410: the watch or page is older than the server remembers; list again
    ├── Unauthorized         401: the token is missing, expired or not trusted
    ├── Forbidden            403: RBAC, quota or an admission plugin said no
    ├── Invalid              400, 405, 413, 415, 422: the request itself is wrong; repeating it won't help
    ├── TooManyRequests      429: try again after ``retry_after`` seconds
    └── Unavailable          no answer, or 5xx. A write may or may not have happened

``ConfigurationError`` is apart from them: it comes before any call. Every ApiError carries the method and path it belongs to, and ``message``, the API's own text.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson

LONGEST_RETRY_AFTER: Final = 30.0
"""Seconds at most that the server's own wish (Retry-After) counts for: what waits would else stand still for days."""

_MESSAGE_LIMIT = 4096


class ConfigurationError(Exception):
    """There is no usable way to an API server; the text says what was looked at."""


class ApiError(Exception):
    """A call to the Kubernetes API that did not succeed."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        request: str = "",
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """The API's own text, or the transport's when there was no answer."""
        self.status = status
        """HTTP status; 0 when there was no answer."""
        self.reason = reason
        """Machine-readable reason of the API's Status object, for example ``AlreadyExists``."""
        self.request = request
        """Method and path of the call."""
        self.retry_after = retry_after
        """Seconds the server asked to wait, when it did, at most ``LONGEST_RETRY_AFTER``."""
        self.details: Mapping[str, Any] = details or {}
        """``details`` of the API's Status object, for example the causes of a 422."""

    def __str__(self) -> str:
        return f"{self.request}: {self.message}" if self.request else self.message


class NotFound(ApiError):  # noqa: N818 - the words of the API
    """The object, the namespace or the whole resource is not there."""


class AlreadyExists(ApiError):  # noqa: N818 - the words of the API
    """An object of that name is there already."""


class Conflict(ApiError):  # noqa: N818 - the words of the API
    """The object changed in between: read it again and decide again."""


class Gone(ApiError):  # noqa: N818 - the words of the API
    """The server no longer remembers that resourceVersion: list again."""


class Unauthorized(ApiError):  # noqa: N818 - the words of the API
    """The server doesn't know who is asking."""


class Forbidden(ApiError):  # noqa: N818 - the words of the API
    """RBAC, a quota, Pod security or an admission plugin refused; ``message`` says which."""


class Invalid(ApiError):  # noqa: N818 - the words of the API
    """The request is wrong in itself."""


class TooManyRequests(ApiError):  # noqa: N818 - the words of the API
    """The server asks for fewer requests; ``retry_after`` says how long to wait (1 s when it didn't say)."""


class Unavailable(ApiError):  # noqa: N818 - the words of the API
    """No usable answer. What was asked for may or may not have happened."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
}


def error_from_response(
    request: str, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> ApiError:
    """Return the error that an answer of ``status`` stands for. ``body`` need not be JSON: proxies answer too."""
    return error_from_status(request, status, _parse_status(body), _retry_after(headers or {}))


def error_from_status(
    request: str, status: int, document: Mapping[str, Any], retry_after: float | None = None
) -> ApiError:
    """Return the error that a Status object stands for; watches carry them inside the stream."""
    reason = str(document.get("reason") or "")
    details = document.get("details")
    details = details if isinstance(details, dict) else {}
    message = str(document.get("message") or f"the API server answered {status}")[:_MESSAGE_LIMIT]
    kind = _kind(status, reason)
    if retry_after is None and isinstance(details.get("retryAfterSeconds"), int):
        retry_after = float(details["retryAfterSeconds"])
    if kind is TooManyRequests and retry_after is None:
        retry_after = 1.0
    if retry_after is not None:
        retry_after = min(max(retry_after, 0.0), LONGEST_RETRY_AFTER)
    return kind(
        message, status=status, reason=reason, request=request, retry_after=retry_after, details=details
    )


def _kind(status: int, reason: str) -> type[ApiError]:
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Invalid if 400 <= status < 500 else Unavailable


def _parse_status(body: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace").strip()
        return {"message": text} if text else {}
    return document if isinstance(document, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("Retry-After")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
