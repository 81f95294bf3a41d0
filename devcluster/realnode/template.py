"""containerd's directory with every image unpacked in it, made once for an archive and then shared by all clusters.

Importing takes seconds and half a gigabyte. A cluster copies only containerd's databases and shows itself the unpacked
layers by mounts: containers never write to layers.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Collection
from pathlib import Path

from devcluster.paths import cache
from devcluster.processes import Component
from devcluster.progress import ClusterError, Say
from devcluster.realnode import config, programs
from devcluster.realnode.namespaces import HOME, Namespaces

SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
BLOBS = "io.containerd.content.v1.content/blobs"
KEPT = 2


def make(archive: Path, say: Say) -> Path:
    """Return containerd's directory with the archive's images, importing them when that was not done yet.

    To be called by one process at a time.
    """
    wanted = cache() / "node" / "state" / archive.stem
    if wanted.is_dir():
        wanted.touch()
        return wanted
    started = time.monotonic()
    home = wanted.with_name(f"{archive.stem}.unfinished")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    say("images: unpacking them for containerd, this first time only")
    _import(archive, home, say)
    (home / "containerd").rename(wanted)
    shutil.rmtree(home)
    _forget(wanted.parent)
    say(f"images: unpacked in {time.monotonic() - started:.0f} s")
    return wanted


def _import(archive: Path, home: Path, say: Say) -> None:
    namespaces = Namespaces(home)
    namespaces.prepare()
    programs.write_containerd(home)
    sandbox = Component(namespaces.program(), home / "sandbox.log", say)
    containerd = Component(programs.containerd(namespaces), home / "containerd.log", say)
    try:
        sandbox.start()
        namespaces.opened(sandbox)
        containerd.start()
        argv = (
            "ctr",
            "--address",
            config.CONTAINERD_SOCKET,
            "--namespace=k8s.io",
            "images",
            "import",
            str(archive),
        )
        done = subprocess.run(namespaces.argv("all", argv), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            msg = f"importing {archive} failed:\n{done.stderr.strip()}\n{containerd.last_lines()}"
            raise ClusterError(msg)
        containerd.stop()
    finally:
        containerd.stop()
        sandbox.end()
        namespaces.close()


def _forget(folder: Path) -> None:
    old = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)


def copy(template: Path, home: Path) -> tuple[tuple[str, str], ...]:
    """Copy the databases to a node's directory; return the mounts, (from, to), that show it the rest."""
    own = home / "containerd"
    shared = {Path(BLOBS), *(Path(SNAPSHOTS) / found.name for found in (template / SNAPSHOTS).iterdir())}
    shutil.copytree(template, own, dirs_exist_ok=True, ignore=_left_out(template, shared))
    for each in shared:
        (own / each).mkdir(parents=True)
    return tuple((str(template / each), f"{HOME}/containerd/{each}") for each in shared)


def _left_out(template: Path, shared: Collection[Path]) -> Callable[[str, list[str]], list[str]]:
    def left_out(folder: str, names: list[str]) -> list[str]:
        where = Path(folder).relative_to(template)
        return [name for name in names if where / name in shared]

    return left_out
