"""The image table: which local root stands for which image reference. There is no registry.

An image is a directory (a root file system) or parts of the host's userland plus a few files of its own. A JSON
file of the table maps names to either a directory or an object with `root`, `entrypoint`, `cmd`, `env`,
`workingDir` and `user`; a name may end in `*`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devcluster.node.shapes import Json

# distribution/reference: [domain[:port]/]path[:tag][@digest]
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?/)?"
_REFERENCE = re.compile(
    rf"^{_DOMAIN}{_NAME}(?:/{_NAME})*(?::[\w][\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{32,}})?$"
)


class InvalidImageName(Exception):  # noqa: N818 - the kubelet's word for it
    """A reference that no image can have."""


@dataclass(frozen=True)
class Bind:
    """Something of the host that an image shows read-only at a path of its own."""

    source: Path
    target: str


@dataclass(frozen=True)
class Image:
    """A root file system and what its containers run by default.

    `root` holds the file system; of it only `entries` (names in `/`) are shown, all when empty. `binds` and empty
    `directories` come on top; `scratch` are directories that a container may write.
    """

    name: str
    root: Path
    entries: tuple[str, ...] = ()
    binds: tuple[Bind, ...] = ()
    directories: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: int | None = None

    @property
    def digest(self) -> str:
        """Return an identifier with the shape of an image ID."""
        return f"sha256:{hashlib.sha256(f'{self.name} {self.root}'.encode()).hexdigest()}"


class ImageTable:
    """Finds images by reference; patterns that end in `*` match by prefix, the longest first."""

    def __init__(self, images: Mapping[str, Image]) -> None:
        self._exact = {normalized(name): image for name, image in images.items() if not name.endswith("*")}
        self._prefixes = sorted(
            ((name[:-1], image) for name, image in images.items() if name.endswith("*")),
            key=lambda entry: -len(entry[0]),
        )

    def find(self, reference: str) -> Image | None:
        """Return the image of a reference, None when the table doesn't have it."""
        name = normalized(reference)
        if name in self._exact:
            return self._exact[name]
        return next((image for prefix, image in self._prefixes if name.startswith(prefix)), None)


def normalized(reference: str) -> str:
    """Return a reference with its tag spelled out, or raise InvalidImageName."""
    if not _REFERENCE.match(reference):
        raise _invalid(reference, "invalid reference format")
    digest = reference.partition("@sha256:")[2]
    if digest and len(digest) != 64:
        raise _invalid(reference, "invalid checksum digest length")
    tagged = ":" in reference.rsplit("/", 1)[-1] or "@" in reference
    return reference if tagged else f"{reference}:latest"


def _invalid(reference: str, why: str) -> InvalidImageName:
    return InvalidImageName(
        f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": {why}'
    )


def canonical(reference: str) -> str:
    """Return a reference with tag, registry and Docker Hub's folder spelled out, as container runtimes name images."""
    name = normalized(reference)
    first, separator, rest = name.partition("/")
    if separator and (any(mark in first for mark in ".:") or first == "localhost" or first != first.lower()):
        return f"docker.io/{rest}" if first == "index.docker.io" else name
    return f"docker.io/{name}" if separator else f"docker.io/library/{name}"


def image_from_json(name: str, value: str | Json) -> Image:
    """Return the image that an entry of a table file describes."""
    entry: Json = {"root": value} if isinstance(value, str) else value
    root = Path(entry["root"]).resolve()
    if not root.is_dir():
        raise ValueError(f"image {name}: {root} isn't a directory")
    return Image(
        name=name,
        root=root,
        entrypoint=tuple(entry.get("entrypoint") or ()),
        cmd=tuple(entry.get("cmd") or ("/bin/sh",)),
        env=entry.get("env") or {},
        working_dir=entry.get("workingDir", "/"),
        user=entry.get("user"),
    )


def load_table_file(path: Path) -> dict[str, Image]:
    """Return the images of a JSON file `{name: directory or object}`."""
    entries: Json = json.loads(path.read_text())
    return {name: image_from_json(name, value) for name, value in entries.items()}
