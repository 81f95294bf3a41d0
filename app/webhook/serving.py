"""What the hooks' listener serves with: TLS settings that may be replaced at any time, and the token of the callers.

Both come from files, which are looked at again when they change, or from whoever calls ``use``. Connections that stand go
on with what they began with; each new one takes what is there then.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
import tempfile
import threading
import time
from pathlib import Path
from typing import Final, Protocol

import structlog

CERTIFICATE: Final = "tls.crt"
"""File of the serving certificate with its chain, PEM."""

KEY: Final = "tls.key"
"""File of its key, PEM."""

LOOK_SECONDS: Final = 1.0
"""How often files are looked at, at most: at a new connection."""

_log = structlog.get_logger(__name__)


class Credentials(Protocol):
    """What the listener and the web layer ask for."""

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS settings of a new connection; None while there is no certificate."""
        ...

    def accepts(self, token: str) -> bool:
        """Return whether a caller's bearer token is right, in a time that tells nothing about it."""
        ...

    @property
    def wants_token(self) -> bool:
        """Whether callers need a token."""
        ...


def server_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """Return TLS settings of a server, 1.2 or newer; raises OSError or ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def digest(token: str) -> bytes:
    """Return what tokens are compared by: of one length, so that not even the length shows."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class GivenCredentials:
    """Certificate and token that somebody hands over with ``use``."""

    def __init__(self, *, wants_token: bool) -> None:
        self.wants_token = wants_token
        self._context: ssl.SSLContext | None = None
        self._token: bytes | None = None

    def use(self, certificate: bytes, key: bytes) -> None:
        """Serve new connections with this certificate. The key is on disk only while it is being read."""
        with tempfile.TemporaryDirectory() as folder:
            certificate_file, key_file = Path(folder, CERTIFICATE), Path(folder, KEY)
            certificate_file.write_bytes(certificate)
            key_file.touch(mode=0o600)
            key_file.write_bytes(key)
            self._context = server_context(certificate_file, key_file)

    def use_token(self, token: str) -> None:
        """Accept this token from now on, and no other."""
        self._token = digest(token)

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS settings of the newest certificate."""
        return self._context

    def accepts(self, token: str) -> bool:
        """Compare with the token; none is accepted before there is one."""
        return self._token is not None and hmac.compare_digest(self._token, digest(token))


class FileCredentials:
    """Certificate from ``tls.crt`` and ``tls.key`` of a directory, token from a file; either may be None.

    A pair that can't be used, as in the middle of a change, is logged once, and the one before it is kept.
    """

    def __init__(self, directory: Path | None, token_file: Path | None) -> None:
        self._files = (directory / CERTIFICATE, directory / KEY) if directory else None
        self._token_file = token_file
        self.wants_token = token_file is not None
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._seen: dict[Path, object] = {}
        self._context: ssl.SSLContext | None = None
        self._token: bytes | None = None

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS settings of the files as they are, looked at once a second at most."""
        self._look()
        return self._context

    def accepts(self, token: str) -> bool:
        """Compare with the token in the file; none is accepted while there is none."""
        self._look()
        return self._token is not None and hmac.compare_digest(self._token, digest(token))

    def _look(self) -> None:
        with self._lock:
            if time.monotonic() - self._looked < LOOK_SECONDS:
                return
            self._looked = time.monotonic()
            if self._files and self._changed(*self._files):
                self._load(*self._files)
            if self._token_file and self._changed(self._token_file):
                self._read_token(self._token_file)

    def _changed(self, *files: Path) -> bool:
        stamps = {file: _stamp(file) for file in files}
        changed = any(self._seen.get(file, ()) != stamp for file, stamp in stamps.items())
        self._seen.update(stamps)
        return changed

    def _load(self, certificate: Path, key: Path) -> None:
        try:
            self._context = server_context(certificate, key)
        except (OSError, ssl.SSLError) as error:
            _log.error(
                "hook_certificate_unusable",
                file=str(certificate),
                error=str(error),
                kept=self._context is not None,
            )
        else:
            _log.info("hook_certificate_loaded", file=str(certificate))

    def _read_token(self, file: Path) -> None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            _log.error("hook_token_unusable", file=str(file), error=type(error).__name__)
            return
        if token:
            self._token = digest(token)
        else:
            _log.error("hook_token_unusable", file=str(file), error="the file is empty")


def _stamp(file: Path) -> object:
    # A mounted Secret changes by a link that is moved to another directory: another inode, perhaps the same time.
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
