"""Images built from their Dockerfiles, and a look into them: for tests, which are skipped, and say why, without the means."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from images import catalogue, standin

# A Pod's view: the image's root read-only, /tmp writable, nothing but loopback. Pid 1 dies, and all goes.
ENTER = """
set -eu
root=$1; shift
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
ip link set lo up
exec env -i PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp /usr/sbin/chroot --userspec=1983:1983 "$root" "$@"
"""

INSTALLERS = (
    "pip*",
    "setuptools*",
    "gcc*",
    "cc",
    "c++*",
    "ld",
    "make",
    "cargo",
    "rustc",
    "ensurepip",
    "cyclonedx*",
    "uv",
)


@dataclass(frozen=True)
class Built:
    """An image, and its file system mounted."""

    root: Path
    config: dict[str, Any]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as UID 1983 on a read-only root without a network."""
        namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        return subprocess.run(
            [*namespaces, "sh", "-c", ENTER, "sh", str(self.root), *command],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


def mounted(tag: str) -> Iterator[Built]:
    """Mount an image while a test looks at it."""
    inspected = json.loads(output("buildah", "inspect", "--type=image", tag))
    container = output("buildah", "from", "--pull-never", tag).strip()
    try:
        yield Built(Path(output("buildah", "mount", container).strip()), inspected["OCIv1"]["config"])
    finally:
        output("buildah", "umount", container)
        output("buildah", "rm", container)


def build(short: str, most: int) -> Iterator[Built]:
    """Build an image by the documented command and mount it; it has no more than `most` MB."""
    if reason := standin.missing() or ("" if shutil.which("unshare") else "unshare not found"):
        pytest.skip(f"THE IMAGE OF THE {short.upper()} IS NOT TESTED: {reason}")
    done = subprocess.run(
        [sys.executable, "-m", "images", "build", "--base", "local", short],
        cwd=catalogue.ROOT,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    tag, size = done.stdout.split()[:2]
    assert tag == f"workerpool-{short}:{catalogue.version()}"
    assert int(size) < most
    yield from mounted(tag)


def surplus(built: Built) -> list[str]:
    """Return what installs, compiles or changes users in an image."""
    folders = (
        "usr/bin",
        "usr/local",
        "usr/lib/python3*",
        "opt/venv/bin",
        "opt/venv/lib/python3*/site-packages",
    )
    present = [
        str(path.relative_to(built.root))
        for folder in folders
        for name in INSTALLERS
        for path in built.root.glob(f"{folder}/{name}")
    ]
    return [*present, *output("find", str(built.root), "-xdev", "-type", "f", "-perm", "/6000").split()]


def unlisted(built: Built, name: str, lock: str) -> set[tuple[str, ...]]:
    """Return the packages of an image, each with its version, that its bill of materials doesn't name."""
    bill = json.loads((built.root / catalogue.SBOM.lstrip("/")).read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == name
    assert bill["metadata"]["component"]["version"] == catalogue.version()
    listed = {(part["name"].lower().replace("_", "-"), part["version"]) for part in bill["components"]}
    assert "python" in {part for part, _ in listed}
    lines = (catalogue.ROOT / f"images/locks/{lock}.txt").read_text().splitlines()
    pins = {tuple(line.split()[0].split("==")) for line in lines if "==" in line.partition(" ")[0]}
    assert pins
    root = f"--admindir={built.root}/var/lib/dpkg"
    debian = output("dpkg-query", root, "-Wf", "${Package} ${Version}\n")
    return (pins | {tuple(line.split()) for line in debian.splitlines()}) - listed


def output(*command: str) -> str:
    """Return what a command prints."""
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command, cwd=catalogue.ROOT, capture_output=True, text=True, check=True, env=environment
    ).stdout
