"""Puts a container's root file system together: image, scratch directories, volumes, allowed host paths."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from posixpath import join

from devcluster.node.images import Image
from devcluster.node.mounts import FARM_LINK, BindMount, Farm, MountError, Rootfs, Step, write_farm

# Never taken from an image: the sandbox has its own.
_OWN = frozenset({"proc", "dev", "sys", "tmp", "run"})
_EMPTY = ("/etc", "/home", "/mnt", "/opt", "/root", "/srv", "/sys", "/var")
_SCRATCH = ("/tmp", "/var/tmp", "/run")  # noqa: S108 - paths inside the container


@dataclass(frozen=True)
class VolumeBind:
    """A volume, or a part of it, at a container's path."""

    source: Path
    target: str
    writable: bool


def image_rootfs(image: Image, scratch: Path, *, read_only: bool) -> Rootfs:
    """Return the file system of an image with scratch directories of one container."""
    rootfs = Rootfs()
    names = image.entries or sorted(entry.name for entry in os.scandir(image.root))
    for name in names:
        place = image.root / name
        if name in _OWN:
            continue
        if place.is_symlink():
            rootfs.add_link(f"/{name}", str(place.readlink()))
        elif place.exists():
            rootfs.bind(place, f"/{name}")
    for path in (*_EMPTY, *image.directories):
        if not rootfs.exists(path):
            rootfs.add_dir(path)
    if not rootfs.exists("/var/run"):
        rootfs.add_link("/var/run", "/run")
    for bind in sorted(image.binds, key=lambda each: each.target.count("/")):
        rootfs.bind(bind.source, bind.target)
    for path in (*_SCRATCH, *image.scratch):
        place = scratch / path.strip("/").replace("/", "-")
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o1777)
        rootfs.bind(place, path, writable=not read_only, own=True)
    return rootfs


def add_volumes(rootfs: Rootfs, volumes: Iterable[VolumeBind]) -> None:
    """Mount volumes, outer paths first, so that one may be mounted inside another."""
    for volume in sorted(volumes, key=lambda each: each.target.rstrip("/").count("/")):
        if not volume.target.startswith("/"):
            raise MountError(f"mountPath {volume.target} isn't absolute")
        rootfs.bind(volume.source, volume.target, writable=volume.writable, own=volume.source.is_dir())


def written(steps: Iterable[Step], cache: Path) -> list[Step]:
    """Return the steps with every farm made on disk and replaced by its two binds."""
    ready: list[Step] = []
    for step in steps:
        if isinstance(step, Farm):
            ready.append(BindMount(write_farm(step, cache), step.target, writable=False))
            ready.append(BindMount(step.origin, join(step.target, FARM_LINK), writable=False))
        else:
            ready.append(step)
    return ready


def find_program(rootfs: Rootfs, word: str, search: str, cwd: str) -> tuple[str, Path] | None:
    """Return container and host path of a program, as execvp would find it."""
    folders = [""] if "/" in word else search.split(":")
    for folder in folders:
        path = join(cwd, folder, word)
        place = rootfs.host_path(path)
        if place is not None and place.is_file() and os.access(place, os.X_OK):
            return path, place
    return None


def interpreter(program: Path) -> str | None:
    """Return the interpreter that a script names in its first line."""
    with program.open("rb") as stream:
        line = stream.readline(256)
    if not line.startswith(b"#!"):
        return None
    words = line[2:].decode("utf-8", "replace").split()
    return words[0] if words else None
