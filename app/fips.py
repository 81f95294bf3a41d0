"""FIPS 140: decides from what was found of a process's OpenSSLs whether the process really is in FIPS mode.

There may be two of them: Python's ``ssl`` and ``hashlib`` use the system's, the ``cryptography`` wheels bring their own.
One alone in FIPS mode is no FIPS mode. What is found out, and how, is in ``app.fips_probe``; docs/fips.md is for users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ADVICE: Final = "docs/fips.md says how an image with a FIPS provider is built"
"""How a refusal ends."""

_GO_VALUES: Final = frozenset({"on", "only"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What was found of one OpenSSL, by asking it.

    `restricted` alone proves nothing: a configuration can ask for FIPS implementations where there are none. Only when
    SHA-256, too, can be had, something that calls itself FIPS-approved serves it; and MD5 must not be had.
    """

    user: str
    """Who calls it: ``cryptography``, or ``ssl and hashlib``."""

    version: str
    """OpenSSL's own text."""

    restricted: bool
    """Its default properties are ``fips=yes``: nothing but approved implementations is fetched."""

    sha256: bool
    """SHA-256 can be had."""

    md5: bool
    """MD5 can be had for security's purposes."""


def shortcoming(library: Library) -> str:
    """Return what keeps it from being in FIPS mode, empty when nothing does."""
    if not library.restricted:
        return "isn't restricted to FIPS-approved implementations"
    if not library.sha256:
        return "is restricted to FIPS-approved implementations and has none (is a FIPS provider loaded?)"
    if library.md5:
        return "gives out MD5 although it is restricted to FIPS-approved implementations"
    return ""


def refusal(libraries: Sequence[Library]) -> str:
    """Return why a process that uses these is not in FIPS mode, with every fault and the remedy; empty when it is."""
    faults = [
        f"the one of {library.user} ({library.version}) {fault}"
        for library in libraries
        if (fault := shortcoming(library))
    ]
    if libraries and not faults:
        return ""
    found = "; ".join(faults) or "no OpenSSL was found"
    return f"FIPS 140 mode is asked for and not there. Of this process's OpenSSLs {found}. {ADVICE}"


def asked_for_as_in_go(environment: Mapping[str, str]) -> bool:
    """Tell whether FIPS mode is asked for as of a Go program: ``GODEBUG=fips140=only`` or ``=on``.

    So it is documented in the field for installations without Helm. Whoever has set it must not be left without.
    """
    settings = (part.strip().partition("=") for part in environment.get("GODEBUG", "").split(","))
    # As in Go, the last one counts.
    values = [value for name, _, value in settings if name == "fips140"]
    return bool(values) and values[-1] in _GO_VALUES
