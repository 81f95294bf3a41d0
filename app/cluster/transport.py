"""One HTTP call to the API server and what went wrong with it. Knows nothing of resources or objects.

Reads are repeated once when a connection breaks under them; writes never are, because they may have happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from app.cluster.configuration import Authorization
from app.cluster.errors import ApiError, Unavailable, error_from_response

JSON: Final = "application/json"
"""Content type of creates and deletes."""

MERGE_PATCH: Final = "application/merge-patch+json"
"""Content type of RFC 7396 patches."""

STREAM_OPEN_SECONDS: Final = 10.0
"""Longest wait for the head of a watch's answer; the server sends it at once."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``read`` is between bytes; the API server ends a request itself after 60."""

    connect: float = 5.0
    read: float = 30.0


class Transport:
    """Thread-safe: threads share the pool of connections and the token."""

    def __init__(
        self,
        pool: urllib3.HTTPConnectionPool,
        authorization: Authorization,
        user_agent: str,
        timeouts: Timeouts,
    ) -> None:
        self._pool = pool
        self._authorization = authorization
        self._headers = {"Accept": JSON, "User-Agent": user_agent}
        self._timeout = urllib3.Timeout(connect=timeouts.connect, read=timeouts.read)
        self._open_timeout = urllib3.Timeout(connect=timeouts.connect, read=STREAM_OPEN_SECONDS)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
    ) -> bytes:
        """Make one request and return the answer's body; raise the ApiError that fits anything but success."""
        url = _with_query(path, query)
        response = self._authorized(method, url, body, content_type, stream=False)
        data: bytes = response.data
        if response.status >= 300:
            raise error_from_response(f"{method} {path}", response.status, data, response.headers)
        return data

    def stream(self, path: str, query: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Open a GET whose body is read as it comes; the caller closes it."""
        response = self._authorized("GET", _with_query(path, query), None, JSON, stream=True)
        if response.status >= 300:
            raise _refused_stream(f"GET {path}", response)
        return response

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def _authorized(
        self, method: str, url: str, body: bytes | None, content_type: str, *, stream: bool
    ) -> urllib3.BaseHTTPResponse:
        token = self._authorization.current()
        response = self._send(method, url, body, content_type, token, stream)
        if response.status == 401 and self._authorization.renewed(token):
            # A refused request had no effect, so repeating even a write with the rotated token is safe.
            response.close()
            return self._send(method, url, body, content_type, self._authorization.current(), stream)
        return response

    def _send(
        self, method: str, url: str, body: bytes | None, content_type: str, token: str | None, stream: bool
    ) -> urllib3.BaseHTTPResponse:
        headers = dict(self._headers)
        if token is not None:
            headers["Authorization"] = token
        if body is not None:
            headers["Content-Type"] = content_type
        attempts = 2 if method == "GET" else 1
        while True:
            attempts -= 1
            try:
                return self._pool.urlopen(
                    method,
                    url,
                    body=body,
                    headers=headers,
                    retries=False,
                    redirect=False,
                    timeout=self._open_timeout if stream else self._timeout,
                    preload_content=not stream,
                )
            except (HTTPError, OSError) as error:
                if attempts == 0 or not isinstance(error, ProtocolError):
                    raise Unavailable(_text(error), request=f"{method} {url.partition('?')[0]}") from error


def _refused_stream(request: str, response: urllib3.BaseHTTPResponse) -> ApiError:
    try:
        return error_from_response(request, response.status, response.data, response.headers)
    except (HTTPError, OSError) as error:
        return Unavailable(_text(error), request=request, status=response.status)
    finally:
        response.close()


def _with_query(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
