"""Which images there are, and what is said of each when it is built. Functions of data."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""The repository: every image is built from here."""

BASE: Final = "docker.io/library/python:3.13.15-slim-trixie"
"""The base that the Dockerfiles name; a test keeps the two the same."""

SBOM: Final = "/usr/share/sbom/image.cdx.json"
"""Where each image has its bill of materials, as CycloneDX JSON."""


EPOCH: Final = 315532800
"""The time of every file in what is built, seconds since 1970: 1980 began, the first that every archive format can hold.
Always the same, so that a layer whose content is the same stays the same from one commit to the next, and a registry and
a node keep it once."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image: what it is called, and what builds it."""

    short: str
    dockerfile: str
    name: str
    lock: str
    flavour: str = ""
    """Ends the tag, for another make of an image of the same name."""

    arguments: Mapping[str, str] = field(default_factory=dict)
    """Arguments of its own."""


IMAGES: Final = (
    Image("operator", "Dockerfile", "workerpool-operator", "operator"),
    Image("launcher", "launcher/Dockerfile", "workerpool-launcher", "launcher"),
    Image("mothership", "mothership/Dockerfile", "workerpool-mothership", "mothership"),
    Image("exporter", "exporter/Dockerfile", "workerpool-exporter", "exporter"),
)
"""What `make images` builds."""

FIPS: Final = Image(
    "operator-fips", "Dockerfile", "workerpool-operator", "operator", "-fips", {"FIPS": "true"}
)
"""The operator with a FIPS provider (docs/fips.md); built when it is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the labels say, and the time that every file of an image gets."""

    version: str
    revision: str
    source: str
    epoch: int
    """Seconds since 1970."""


def epoch(environment: Mapping[str, str]) -> int:
    """Return the time of files, seconds since 1970: SOURCE_DATE_EPOCH's, or `EPOCH`; raises ValueError."""
    text = environment.get("SOURCE_DATE_EPOCH") or str(EPOCH)
    if not text.isdecimal():
        raise ValueError(f"SOURCE_DATE_EPOCH must be a number of seconds since 1970, not {text!r}")
    return int(text)


def version() -> str:
    """Return the version of this project."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def reference(image: Image, origin: Origin, registry: str) -> str:
    """Return the name and tag that an image is built under; it never floats."""
    prefix = f"{registry.rstrip('/')}/" if registry else ""
    return f"{prefix}{image.name}:{origin.version}{image.flavour}"


def chosen(names: Sequence[str]) -> tuple[Image, ...]:
    """Return the images of these short names, all of `make images` when none is given; raises ValueError."""
    known = {image.short: image for image in (*IMAGES, FIPS)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no image is called {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in names) or IMAGES


def public_source(remote: str) -> str:
    """Return a remote's URL as a label may hold it: public, without a login; otherwise ``unknown``."""
    scheme, separator, rest = remote.strip().partition("://")
    if scheme != "https" or not separator:
        return "unknown"
    return f"https://{rest.rpartition('@')[2].removesuffix('.git')}"


def arguments(image: Image, origin: Origin, base: str) -> dict[str, str]:
    """Return the arguments of a build."""
    return {
        "VERSION": f"{origin.version}{image.flavour}",
        "REVISION": origin.revision,
        "SOURCE": origin.source,
        "PYTHON_IMAGE": base,
        **image.arguments,
    }


def labels(values: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that come from the arguments of a build."""
    prefix = "org.opencontainers.image."
    return {
        f"{prefix}version": values["VERSION"],
        f"{prefix}revision": values["REVISION"],
        f"{prefix}source": values["SOURCE"],
        f"{prefix}base.name": values["PYTHON_IMAGE"],
    }
