"""Where a Pod's things lie in the node's state directory, and how they are removed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devcluster.node.shapes import Json


@dataclass(frozen=True)
class PodFiles:
    """The directory of one Pod; it outlives the Pod's processes until the Pod object is gone."""

    folder: Path

    @property
    def volumes(self) -> Path:
        """Return the directory of the volumes."""
        return self.folder / "volumes"

    def container(self, name: str) -> Path:
        """Return the directory of one container."""
        return self.folder / "containers" / name

    def log(self, name: str, attempt: int) -> Path:
        """Return the log of one run of a container."""
        return self.container(name) / f"{attempt}.log"

    def latest_attempt(self, name: str) -> int | None:
        """Return the number of the last run that has a log."""
        numbers = [int(path.stem) for path in self.container(name).glob("*.log")]
        return max(numbers, default=None)

    def create(self, pod: Json) -> None:
        """Create the directory and note whose it is."""
        (self.folder / "containers").mkdir(parents=True, exist_ok=True)
        owner = {key: pod["metadata"][key] for key in ("namespace", "name", "uid")}
        (self.folder / "pod.json").write_text(json.dumps(owner))

    def mark_started(self, name: str) -> None:
        """Note, before it happens, that a container is started: it must not be started again after a crash."""
        self.container(name).mkdir(parents=True, exist_ok=True)
        (self.container(name) / "started").touch()

    def was_started(self, name: str) -> bool:
        """Return whether this or an earlier run of the node has begun to start a container."""
        return (self.container(name) / "started").exists()

    def release(self) -> None:
        """Remove what a Pod that is over doesn't need: volumes (Secrets among them) and scratch space."""
        remove_tree(self.volumes)
        for folder in self.folder.glob("containers/*"):
            remove_tree(folder / "scratch")
            remove_tree(folder / "rootfs")

    def remove(self) -> None:
        """Remove everything."""
        remove_tree(self.folder)


def remove_tree(folder: Path) -> None:
    """Remove a directory, also where a container took the permission to do so away."""

    def retry(function: Callable[[str], object], path: str, _: object) -> None:
        Path(path).parent.chmod(0o700)
        if not Path(path).is_symlink() and Path(path).exists():
            Path(path).chmod(0o700)
        function(path)

    if folder.exists():
        shutil.rmtree(folder, onerror=retry)


def known_pods(base: Path) -> Iterator[tuple[str, PodFiles]]:
    """Yield uid and directory of every Pod that an earlier run of the node has left."""
    if base.is_dir():
        for entry in os.scandir(base):
            yield entry.name, PodFiles(Path(entry.path))
