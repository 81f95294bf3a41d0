"""Asks the OpenSSLs that this process uses whether they are in FIPS mode; ``app.fips`` decides what follows.

Imported only where FIPS mode is asked for, in the worker process: it loads ``cryptography``.
"""

from __future__ import annotations

import _hashlib
import ssl

import structlog
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes

from app import fips
from app.errors import FipsError

_log = structlog.get_logger("app")


def enforce() -> None:
    """Log that the process is in FIPS mode; raises FipsError when it isn't."""
    found = (of_cryptography(), of_python())
    reason = fips.refusal(found)
    if reason:
        raise FipsError(reason)
    _log.info("FIPS 140 mode", enabled=True, openssl={library.user: library.version for library in found})


def of_cryptography() -> fips.Library:
    """Return what is found of the OpenSSL that ``cryptography`` uses, which in its wheels is their own."""
    backend = default_backend()
    return fips.Library(
        user="cryptography",
        version=backend.openssl_version_text(),
        # A name that is gone some day must not count as FIPS mode.
        restricted=bool(getattr(backend, "_fips_enabled", False)),
        sha256=_cryptography_has(hashes.SHA256()),
        md5=_cryptography_has(hashes.MD5()),  # noqa: S303 - to see it refused
    )


def of_python() -> fips.Library:
    """Return what is found of the OpenSSL that Python's ``ssl`` and ``hashlib`` use."""
    return fips.Library(
        user="ssl and hashlib",
        version=ssl.OPENSSL_VERSION,
        restricted=bool(_hashlib.get_fips_mode()),
        sha256=_hashlib_has("sha256"),
        md5=_hashlib_has("md5"),
    )


def _cryptography_has(algorithm: hashes.HashAlgorithm) -> bool:
    try:
        hashes.Hash(algorithm).update(b"")
    except (UnsupportedAlgorithm, InternalError):
        return False
    return True


def _hashlib_has(name: str) -> bool:
    # Not hashlib.new: where OpenSSL refuses, it falls back to code of Python's own, and MD5 seems to be there.
    try:
        _hashlib.new(name, usedforsecurity=True)
    except ValueError:
        return False
    return True
