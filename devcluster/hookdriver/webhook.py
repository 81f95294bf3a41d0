"""Calling a hook: one POST, and what its status means."""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

import orjson
import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from devcluster.hookdriver.config import HookConfig
from devcluster.hookdriver.endpoint import Endpoint
from devcluster.hookdriver.errors import HookError, TooManyRequests
from devcluster.hookdriver.objects import Object

_OK = 200
_TOO_MANY_REQUESTS = 429


class Webhook:
    """One hook of one controller; safe to use from many threads.

    `services` says where a Service is that the URL names (host:port -> host:port); the certificate is checked for the name.
    """

    def __init__(
        self,
        config: HookConfig,
        connections: int,
        endpoint: Endpoint | None = None,
        services: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.config = config
        endpoint = endpoint or Endpoint()
        url = urlsplit(config.url)
        self._url = urlunsplit(url._replace(netloc=services.get(url.netloc, url.netloc)))
        self._headers = {"Content-Type": "application/json"}
        if endpoint.authorization:
            self._headers["Authorization"] = endpoint.authorization
        known = url.netloc in services
        if known:
            self._headers["Host"] = url.netloc
        self._pool = urllib3.PoolManager(maxsize=connections, retries=False, ssl_context=endpoint.tls)
        if known and url.scheme == "https":
            self._pool.connection_pool_kw["server_hostname"] = url.hostname

    def call(self, request: Object) -> bytes:
        """Return the body of the answer; raises HookError, or TooManyRequests when the hook wants a pause."""
        body = orjson.dumps(request)
        response = self._post(body)
        if response.status == _TOO_MANY_REQUESTS:
            raise TooManyRequests(retry_after(response.headers.get("Retry-After", ""), time.time()))
        if response.status != _OK:
            text = response.data.decode(errors="replace")
            raise HookError(f"unsupported status code: {response.status} body: {text}")
        return response.data

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _post(self, body: bytes) -> urllib3.BaseHTTPResponse:
        try:
            try:
                return self._request(body)
            except ProtocolError:
                # A kept connection may have been closed by the server in between: one fresh attempt, as Go does.
                return self._request(body)
        except HTTPError as error:
            raise HookError(f"http error: {error}") from error

    def _request(self, body: bytes) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            "POST",
            self._url,
            body=body,
            headers=self._headers,
            timeout=urllib3.Timeout(total=self.config.timeout_seconds),
        )


def retry_after(header: str, now: float) -> int:
    """Return the seconds that a Retry-After header asks for; 0 when it says nothing sensible."""
    if header.strip().lstrip("-").isdigit():
        return int(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return 0
    return math.ceil((moment - datetime.fromtimestamp(now, UTC)).total_seconds())
