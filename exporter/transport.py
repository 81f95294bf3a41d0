"""HTTP to the API: one POST for one document, within a deadline; the only user of urllib3.

Proxies come from the usual variables (HTTPS_PROXY, NO_PROXY and so on), authorities from the system or SSL_CERT_FILE.
"""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import TimeoutError as LateError

from exporter import __version__
from exporter.answers import Json, data_of
from exporter.documents import Operation
from exporter.errors import AnswerError, ApiError, DeadlineError, StartupError

CLIENT_TYPE: Final = "prometheus-exporter"
"""Value of the header by which the backend knows the exporter."""

LARGEST_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer, unpacked; a pool with 10,000 workers takes 0.6 MB."""

_PIECE: Final = 65536
_LATE: Final = "the API didn't answer in time (--scrape-timeout for a scrape)"


class Transport:
    """Calls one endpoint; safe for several threads."""

    def __init__(self, endpoint: str, ca_cert_path: Path | None = None) -> None:
        self._url = f"{endpoint}/graphql"
        context = tls_settings(ca_cert_path)
        try:
            proxy, headers = _proxy(endpoint)
            self._pool: urllib3.PoolManager = (
                urllib3.ProxyManager(
                    proxy, proxy_headers=headers, ssl_context=context, proxy_ssl_context=context, maxsize=8
                )
                if proxy
                else urllib3.PoolManager(ssl_context=context, maxsize=8)
            )
        except (HTTPError, ValueError):
            # Its text may hold the proxy's password.
            scheme = urlsplit(endpoint).scheme.upper()
            raise StartupError(
                f"{scheme}_PROXY: expected a URL such as http://proxy.example.com:3128"
            ) from None

    def send(
        self,
        operation: Operation,
        deadline: float,
        *,
        token: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Json:
        """Return the answer's data. `deadline` is on time.monotonic's clock. Raises ApiError."""
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"spacelift-promex/{__version__}",
            "Spacelift-Client-Type": CLIENT_TYPE,
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            status, body = self._post(operation.body(variables), headers, deadline)
        except HTTPError as error:
            # What can't connect is a timeout to urllib3, too.
            if isinstance(error, LateError) and not isinstance(error, NewConnectionError):
                raise DeadlineError(_LATE) from None
            raise ApiError(_cause(error)) from None
        return data_of(status, body)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _post(self, body: bytes, headers: Mapping[str, str], deadline: float) -> tuple[int, bytes]:
        try:
            return self._post_once(body, headers, deadline)
        except ProtocolError:
            # The backend may have closed a connection that was kept; asking twice changes nothing there.
            return self._post_once(body, headers, deadline)

    def _post_once(self, body: bytes, headers: Mapping[str, str], deadline: float) -> tuple[int, bytes]:
        answer = self._pool.request(
            "POST",
            self._url,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(total=_left(deadline)),
            retries=False,
            preload_content=False,
        )
        try:
            # A redirect would take the token to an address that nobody configured.
            if 300 <= answer.status < 400:
                host = urlsplit(answer.headers.get("Location", "")).hostname or "another address"
                raise ApiError(f"the endpoint redirects to {host}: give that as --api-endpoint")
            return answer.status, _read(answer, deadline)
        except BaseException:
            answer.close()
            raise
        finally:
            answer.release_conn()


def _read(answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Return the body, in pieces: the timeout of a socket begins anew with each, so it is set to what is left."""
    received = bytearray()
    while True:
        left = _left(deadline)
        if (sock := getattr(answer.connection, "sock", None)) is not None:
            sock.settimeout(left)
        piece = answer.read1(_PIECE, decode_content=True)
        received += piece
        if not piece:
            return bytes(received)
        if len(received) > LARGEST_ANSWER:
            raise AnswerError(f"the answer is larger than {LARGEST_ANSWER} bytes")


def tls_settings(ca_cert_path: Path | None) -> ssl.SSLContext:
    """Return what the API's certificate is checked against; raises StartupError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_cert_path is not None:
        try:
            context.load_verify_locations(cadata=ca_cert_path.read_text(encoding="ascii", errors="ignore"))
        except (OSError, ValueError) as error:
            reason = (
                "no certificate in it" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
            )
            raise StartupError(f"--ca-cert-path: {ca_cert_path}: {reason}") from None
    return context


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineError(_LATE)
    return left


def _proxy(endpoint: str) -> tuple[str, dict[str, str]]:
    """Return the proxy's URL, empty for none, and what it wants to know of us."""
    url = urlsplit(endpoint)
    found = urllib.request.getproxies().get(url.scheme, "")
    if not found or urllib.request.proxy_bypass(url.hostname or ""):
        return "", {}
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    if proxy.username is None:
        return proxy.geturl(), {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    bare = proxy._replace(netloc=proxy.netloc.rpartition("@")[2])
    return bare.geturl(), dict(urllib3.make_headers(proxy_basic_auth=login))


def _cause(error: BaseException) -> str:
    """Return the innermost reason in a few words; the outer texts repeat whole objects."""
    current: BaseException | None = error
    found = type(error).__name__
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, ssl.SSLCertVerificationError):
            return f"the API's certificate isn't accepted: {current.verify_message}"
        if isinstance(current, OSError) and current.strerror:
            found = current.strerror
        inner = getattr(current, "reason", None)
        inner = (
            inner
            if isinstance(inner, BaseException)
            else next((each for each in current.args if isinstance(each, BaseException)), None)
        )
        current = inner or current.__cause__ or current.__context__
    return f"no connection to the API: {found}"
