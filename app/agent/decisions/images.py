"""Image references, read as container runtimes read them, and which registries a pool admits; pure.

The grammar is the one of the reference package of github.com/distribution, which kubelet and containerd use:

    reference = [host [":" port] "/"] path [":" tag] ["@" digest]

The first part of a name is a host only when it shows: by a dot, a colon or an upper-case letter in it, or by being
``localhost``. Every other name is one of Docker Hub (``docker.io``), and there one without a slash is in ``library/``.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app import vocabulary as words

HUB = "docker.io"
"""Registry of a reference that names none."""

LONGEST_PATH = 255
"""Characters of a path without its host, as runtimes limit them."""

QUOTED = 200
"""Characters of a malformed reference that a message repeats."""

_HUB_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io"})
_DIGEST_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?P<name>\[[a-fA-F0-9:]+\]|{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[0-9]+))?")
_PART = re.compile(r"[a-z0-9]+(?:(?:[_.]|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_DIGEST = re.compile(
    r"(?P<algorithm>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*):(?P<digits>[0-9a-fA-F]{32,})"
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


class ImageError(ValueError):
    """A text that is no image reference; says which text and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Host:
    """A registry: name in lower case, IPv6 in brackets and its shortest form; port None when none is named."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class Image:
    """A reference with everything that it leaves implicit filled in, except the tag; empty: it has none."""

    host: Host
    path: str
    tag: str = ""
    digest: str = ""


def parse_image(text: str) -> Image:
    """Return the parts of an image reference; raise `ImageError` when runtimes would refuse it."""
    try:
        return _parse(text)
    except ValueError as error:
        shown = text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
        clean = "".join(each if each.isprintable() else "?" for each in shown)
        raise ImageError(f'"{clean}" is not an image reference: {error}') from None


def parse_host(text: str) -> Host:
    """Return the registry that a list of hosts names, with or without a port; raise ValueError when it is none."""
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError("a registry is written as its host, or host:port, without scheme and path")
    name = found["name"].lower()
    if name.startswith("["):
        name = f"[{_address(name[1:-1])}]"
    return Host(HUB if name in _HUB_ALIASES else name, _port(found["port"]))


def runner_image(asked: str, tool: str, pod: Mapping[str, Any]) -> str:
    """Return the image that a run gets: the one it asks for, else its pool's default for its tool, else ours."""
    if asked:
        return asked
    if tool == words.ANSIBLE_TOOL:
        return _text(pod.get("defaultAnsibleRunnerImage")) or words.DEFAULT_ANSIBLE_RUNNER_IMAGE
    return _text(pod.get("defaultRunnerImage")) or words.DEFAULT_RUNNER_IMAGE


def allowed(image: Image, entries: Iterable[str]) -> bool:
    """Return whether a pool admits an image; one whose list is empty admits all.

    An entry without a port stands for references without one, an entry with a port for just that port: the registry
    on another port of a host is another registry. An entry that is no host admits nothing.
    """
    listed = list(entries)
    return not listed or image.host in _hosts(listed)


def useless_entries(entries: Iterable[str]) -> list[str]:
    """Return the entries of a list of hosts that can't match any image."""
    return [entry for entry in entries if not _hosts([entry])]


def _hosts(entries: Iterable[str]) -> set[Host]:
    found = set()
    for entry in entries:
        try:
            found.add(parse_host(entry))
        except ValueError:
            continue
    return found


def _parse(text: str) -> Image:
    if not text:
        raise ValueError("it is empty")
    if any(each.isspace() or not each.isprintable() for each in text):
        raise ValueError("it holds blanks or control characters")
    if _IDENTIFIER.fullmatch(text):
        raise ValueError("64 hexadecimal digits are the ID of an image, not its name")
    rest, at, digest = text.partition("@")
    name, tag = _split_tag(rest)
    if at:
        _check_digest(digest)
    host, path = _split_host(name)
    _check_path(path)
    if host == Host(HUB) and "/" not in path:
        path = f"library/{path}"
    if len(path) > LONGEST_PATH:
        raise ValueError(f"its path has {len(path)} characters, {LONGEST_PATH} are the most")
    return Image(host, path, tag, digest)


def _split_tag(rest: str) -> tuple[str, str]:
    """Return name and tag: a colon behind the last slash begins a tag, one before it a port."""
    last = rest.rfind("/") + 1
    name, colon, tag = rest[last:].partition(":")
    if colon and _TAG.fullmatch(tag) is None:
        raise ValueError(
            f'the tag "{tag[:QUOTED]}" must be 1 to 128 letters, digits, "_", "." or "-", not beginning with "." or "-"'
        )
    return rest[:last] + name, tag


def _split_host(name: str) -> tuple[Host, str]:
    first, slash, rest = name.partition("/")
    shows = first == "localhost" or "." in first or ":" in first or first != first.lower()
    if not slash or not shows:
        return Host(HUB), name
    try:
        return parse_host(first), rest
    except ValueError:
        raise ValueError(
            f'"{first[:QUOTED]}" is not a registry: it must be a host name or address, or host:port'
        ) from None


def _check_path(path: str) -> None:
    for part in path.split("/"):
        if not part:
            raise ValueError("a part of its path is empty")
        if part != part.lower():
            raise ValueError("its path must be in lower case")
        if _PART.fullmatch(part) is None:
            raise ValueError(
                f'the part "{part[:QUOTED]}" of its path must be lower-case letters and digits, joined by ".", "_", "__" or "-"'
            )


def _check_digest(digest: str) -> None:
    found = _DIGEST.fullmatch(digest)
    if found is None:
        raise ValueError("its digest must be an algorithm, a colon and at least 32 hexadecimal digits")
    wanted = _DIGEST_DIGITS.get(found["algorithm"])
    if wanted is not None and (len(found["digits"]) != wanted or found["digits"] != found["digits"].lower()):
        raise ValueError(f"a digest of {found['algorithm']} has {wanted} lower-case hexadecimal digits")


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    # Longer numbers aren't worth converting: Python refuses those of more than 4300 digits.
    if len(text) > len("65535") or not 1 <= int(text) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return int(text)


def _address(text: str) -> str:
    return ipaddress.IPv6Address(text).compressed


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
