"""buildah or docker, whichever is there: how each is told to build, and what it has built."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from images.catalogue import ROOT

CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
"""What this machine trusts. While buildah builds, the steps trust it too; the image doesn't get it."""


class ImageError(Exception):
    """An image can't be built; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be built."""

    dockerfile: str
    tag: str
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    epoch: int
    """The time that files get, seconds since 1970."""

    pull: bool
    """Look for the base in its registry; otherwise it is here already."""

    fresh: bool = False
    """Take nothing from the cache of earlier builds."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that builds images."""

    name: str

    def build(self, order: Order) -> list[str]:
        """Return the command line of a build. With docker, files keep their times unless its builder rewrites them."""
        common = [f"--file={order.dockerfile}", f"--tag={order.tag}"]
        common += [f"--build-arg={name}={value}" for name, value in sorted(order.arguments.items())]
        if order.fresh:
            common.append("--no-cache")
        if self.name == "docker":
            return ["docker", "build", f"--build-arg=SOURCE_DATE_EPOCH={order.epoch}", *common, "."]
        if CERTIFICATES.exists():
            common.append(f"--volume={CERTIFICATES}:{CERTIFICATES}:ro")
        # Given again, by value: to buildah's cache a LABEL is the same whatever the arguments in it.
        common += [f"--label={name}={value}" for name, value in sorted(order.labels.items())]
        common += [f"--timestamp={order.epoch}", "--identity-label=false", "--layers"]
        common.append("--pull" if order.pull else "--pull-never")
        # Chroot isolation asks nothing of the machine; its steps share the machine's network, as they must to fetch.
        return ["buildah", "build", "--isolation=chroot", "--network=host", *common, "."]

    def facts(self, tag: str) -> Facts:
        """Return what was built; raises ImageError when there is no such image."""
        if self.name == "docker":
            (found,) = json.loads(run(["docker", "image", "inspect", tag]))
            return Facts(found["Id"], int(found["Size"]), tuple(found["RootFS"]["Layers"]))
        found = json.loads(run(["buildah", "inspect", "--type=image", tag]))
        listed = json.loads(run(["buildah", "images", "--json", tag]))
        return Facts(
            f"sha256:{found['FromImageID']}",
            _bytes(listed[0]["size"]),
            tuple(found["OCIv1"]["rootfs"]["diff_ids"]),
        )

    def read(self, tag: str, path: str) -> str:
        """Return the text of a file in an image, which needn't run for that; raises ImageError."""
        if self.name == "docker":
            return run(["docker", "run", "--rm", "--network=none", "--entrypoint=cat", tag, path])
        container = run(["buildah", "from", "--pull-never", tag]).strip()
        try:
            return run(
                ["buildah", "run", "--isolation=chroot", "--network=none", container, "--", "cat", path]
            )
        finally:
            run(["buildah", "rm", container])

    def has(self, tag: str) -> bool:
        """Tell whether there is such an image here."""
        command = (
            ["docker", "image", "inspect", tag]
            if self.name == "docker"
            else ["buildah", "inspect", "--type=image", tag]
        )
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a built image."""

    identity: str
    size: int
    """Bytes, unpacked."""

    layers: tuple[str, ...]
    """Digests of the layers, unpacked."""


def engine() -> Engine:
    """Return buildah if it is there, else docker with a daemon that answers; raises ImageError.

    buildah first: it gives every file the same time, so that two builds are the same.
    """
    if shutil.which("buildah"):
        return Engine("buildah")
    if (
        shutil.which("docker")
        and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        return Engine("docker")
    raise ImageError(
        "neither buildah nor a docker whose daemon answers is here. On Debian: apt-get install buildah"
    )


def run(command: Sequence[str]) -> str:
    """Run a command from the root of the repository and return its output; raises ImageError with what it said."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(
            f"{' '.join(command[:3])} failed with status {done.returncode}:\n{done.stderr.strip()[-3000:]}"
        )
    return done.stdout


def _bytes(text: str) -> int:
    number, _, unit = text.strip().partition(" ")
    return round(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])
