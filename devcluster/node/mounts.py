"""A container's root file system: where an image's parts and the Pod's volumes are mounted.

bubblewrap 0.8 has no overlay, and can't create a mount point inside a read-only bind. So the root is an empty
tmpfs with binds, and where something must appear inside a directory of the image that lacks it, that directory is
replaced by a *farm*: a directory of the node's own with a relative symlink for each of the image's entries, the
image's directory itself bound below it as `.image`, and the missing mount point.

`Rootfs` only plans (it reads the image's directories to follow links); `write_farm` makes one on disk.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import basename, dirname, join, relpath
from typing import TypeAlias

FARM_LINK = ".image"


@dataclass(frozen=True)
class MakeDir:
    """A directory of the root tmpfs."""

    target: str


@dataclass(frozen=True)
class MakeLink:
    """A symbolic link in the root tmpfs."""

    target: str
    points_to: str


@dataclass(frozen=True)
class BindMount:
    """A file or directory of the host at a path of the container."""

    source: Path
    target: str
    writable: bool


@dataclass
class Farm:
    """A directory of the image that has to hold more than the image has; `extra` maps relative paths to 'is dir'."""

    target: str
    origin: Path
    extra: dict[str, bool] = field(default_factory=dict)


Step: TypeAlias = MakeDir | MakeLink | BindMount | Farm


@dataclass(frozen=True)
class _Dir:
    """A directory that doesn't come from the host; in a farm it is a placeholder that the farm must hold."""

    farm: Farm | None = None


@dataclass(frozen=True)
class _Link:
    """A link of the root tmpfs."""

    points_to: str


@dataclass(frozen=True)
class _Host:
    """Something of the host; missing mount points may be created right in it only when it is the Pod's own."""

    path: Path
    own: bool
    farm: Farm | None = None


class MountError(Exception):
    """A mount point that can't be had."""


class Rootfs:
    """Collects what a container sees; `steps` gives it in an order in which it can be mounted."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Dir | _Link | _Host] = {"/": _Dir()}
        self._steps: list[Step] = []

    def steps(self) -> list[Step]:
        """Return the steps, parents before children."""
        return sorted(self._steps, key=lambda step: step.target.rstrip("/").count("/"))

    def add_dir(self, path: str) -> str:
        """Make sure that a directory is there and return its path with links followed."""
        base, rest = self._walk(path)
        return self._create(base, rest, leaf_is_dir=True) if rest else base

    def add_link(self, path: str, points_to: str) -> None:
        """Add a symbolic link to the root tmpfs."""
        self._nodes[path] = _Link(points_to)
        self._steps.append(MakeLink(path, points_to))

    def bind(self, source: Path, path: str, *, writable: bool = False, own: bool = False) -> None:
        """Show a host file or directory; `own` says that mount points below it may be created in it."""
        base, rest = self._walk(path)
        is_dir = source.is_dir()
        target = self._create(base, rest, leaf_is_dir=is_dir) if rest else base
        self._nodes = {
            known: node
            for known, node in self._nodes.items()
            if not known.startswith(target.rstrip("/") + "/")
        }
        self._nodes[target] = _Host(source, own)
        self._steps.append(BindMount(source, target, writable))

    def host_path(self, path: str) -> Path | None:
        """Return where a container's path lies on the host, None when it isn't there or isn't of the host."""
        base, rest = self._walk(path)
        return None if rest else self._host(base)

    def exists(self, path: str) -> bool:
        """Return whether the container will see something at a path."""
        return not self._walk(path)[1]

    def _walk(self, path: str) -> tuple[str, list[str]]:
        """Follow a path through nodes and links: return the last place that exists and what is missing below."""
        current, todo = "/", _parts(path)
        for _ in range(512):
            if not todo:
                return current, []
            name = todo.pop(0)
            if name == "..":
                current = dirname(current)
                continue
            child = join(current, name)
            link = self._link(current, child)
            if link is not None:
                current = "/" if link.startswith("/") else current
                todo = _parts(link) + todo
            elif child in self._nodes or self._on_host(current, name):
                current = child
            else:
                return current, [name, *todo]
        raise MountError(f"too many levels of symbolic links: {path}")

    def _link(self, current: str, child: str) -> str | None:
        """Return what a child points to when it is a link."""
        node = self._nodes.get(child)
        if isinstance(node, _Link):
            return node.points_to
        if node is not None:
            return None
        folder = self._host(current)
        place = folder / basename(child) if folder else None
        return str(place.readlink()) if place and place.is_symlink() else None

    def _on_host(self, current: str, name: str) -> bool:
        """Return whether the host has an entry in the directory that is mounted here."""
        folder = self._host(current)
        return folder is not None and (folder / name).exists()

    def _host(self, path: str) -> Path | None:
        """Return the host path behind a path whose links were followed."""
        node = self._nodes.get(path)
        if isinstance(node, _Host):
            return node.path
        if node is not None or path == "/":
            return None
        parent = self._host(dirname(path))
        return parent / basename(path) if parent else None

    def _create(self, base: str, rest: list[str], *, leaf_is_dir: bool) -> str:
        """Provide a mount point below an existing place, the way that place allows it."""
        if ".." in rest:
            raise MountError(f"{base}/{'/'.join(rest)} leads through a directory that doesn't exist")
        target = join(base, *rest)
        host = self._host(base)
        if host is None:
            self._create_virtual(base, rest, leaf_is_dir)
        elif self._owned(base):
            _create_on_host(host.joinpath(*rest), leaf_is_dir)
        else:
            self._create_in_farm(self._farm(base, host), base, rest, leaf_is_dir)
        return target

    def _create_virtual(self, base: str, rest: list[str], leaf_is_dir: bool) -> None:
        """Create directories in the root tmpfs, or in the farm that a placeholder belongs to."""
        node = self._nodes[base]
        if isinstance(node, _Dir) and node.farm is not None:
            self._create_in_farm(node.farm, base, rest, leaf_is_dir)
            return
        for depth in range(1, len(rest) + 1):
            if depth < len(rest) or leaf_is_dir:
                path = join(base, *rest[:depth])
                self._nodes[path] = _Dir()
                self._steps.append(MakeDir(path))

    def _create_in_farm(self, farm: Farm, base: str, rest: list[str], leaf_is_dir: bool) -> None:
        """Note placeholders that the farm must hold."""
        for depth in range(1, len(rest) + 1):
            path = join(base, *rest[:depth])
            is_dir = depth < len(rest) or leaf_is_dir
            farm.extra[relpath(path, farm.target)] = is_dir
            self._nodes[path] = _Dir(farm)

    def _farm(self, base: str, host: Path) -> Farm:
        """Return the farm that replaces a directory of the image."""
        node = self._nodes.get(base)
        if isinstance(node, _Host) and node.farm is not None:
            return node.farm
        farm = Farm(base, host)
        self._nodes[base] = _Host(host, own=False, farm=farm)
        self._steps.append(farm)
        return farm

    def _owned(self, path: str) -> bool:
        """Return whether a path lies in a directory of the Pod's own."""
        while path not in self._nodes:
            path = dirname(path)
        node = self._nodes[path]
        return isinstance(node, _Host) and node.own


def write_farm(farm: Farm, cache: Path) -> Path:
    """Make a farm below `cache` unless it is there, and return its directory."""
    key = hashlib.sha256(repr((str(farm.origin), sorted(farm.extra.items()))).encode()).hexdigest()[:16]
    place = cache / key
    if place.is_dir():
        return place
    draft = cache / f"{key}.{os.urandom(4).hex()}"
    (draft / FARM_LINK).mkdir(parents=True)
    for entry in os.scandir(farm.origin):
        if entry.name not in farm.extra:
            # The image's own relative links stay right, because the farm stands where the directory stood.
            points_to = Path(entry.path).readlink() if entry.is_symlink() else f"{FARM_LINK}/{entry.name}"
            (draft / entry.name).symlink_to(points_to)
    for name, is_dir in sorted(farm.extra.items()):
        if is_dir:
            (draft / name).mkdir(parents=True, exist_ok=True)
        else:
            (draft / name).touch()
    try:
        draft.rename(place)
    except OSError:
        # Another container of the same image was quicker; both made the same.
        if not place.is_dir():
            raise
    return place


def _create_on_host(path: Path, is_dir: bool) -> None:
    """Create a mount point in a directory that belongs to the Pod."""
    if is_dir:
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _parts(path: str) -> list[str]:
    """Return the names in a path."""
    return [part for part in path.split("/") if part not in {"", "."}]
