"""The node's images: our Dockerfiles, built by buildah on bases that are made here, as one archive for containerd.

Where no image registry can be reached, a base is debootstrap's Debian with what the Dockerfiles expect of the image
they name. What was built once stays in the cache: the base for its packages, the archive for the sources it is of.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.paths import REPOSITORY, cache
from devcluster.progress import ClusterError, Say
from devcluster.realnode import work
from devcluster.realnode.config import PAUSE_IMAGE

HERE = Path(__file__).resolve().parent / "dockerfiles"
DEBIAN = "localhost/devcluster/debian"
"""Tagged with its release."""
PYTHON = "localhost/devcluster/python"
BASE_ARGUMENT = "PYTHON_IMAGE"
SUITES = re.compile(r"-(bookworm|trixie|forky)\b")
OPERATOR = "devcluster.local/operator:dev"
MOTHERSHIP = "devcluster.local/mothership:dev"
LAUNCHER = "spacelift.local/launcher:dev"
RUNNER = "spacelift.local/runner:dev"
BROKER = RUNNER
"""One image has both: it is what Debian has."""
DEBIAN_PACKAGES = ("ca-certificates", "netbase", "tzdata", "python3", "python3-venv")
SOURCES = (
    *("app", "protocol", "launcher", "mothership", "images"),
    *("Dockerfile", "requirements.txt", ".dockerignore"),
)
"""What the images are made of."""
KEPT_ARCHIVES = 3
NAME_ANNOTATION = "io.containerd.image.name"
# What the machine needs to reach its package registries; shown to the builds, kept out of the images.
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = (Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf")


@dataclass(frozen=True)
class Recipe:
    """An image and the Dockerfile that it is built from, in the context of the repository's root."""

    name: str
    dockerfile: Path
    context: Path = REPOSITORY


def recipes(repository: Path = REPOSITORY) -> list[Recipe]:
    """Return the product's images."""
    return [
        Recipe(OPERATOR, repository / "Dockerfile"),
        Recipe(LAUNCHER, repository / "launcher" / "Dockerfile"),
        Recipe(MOTHERSHIP, repository / "mothership" / "Dockerfile"),
    ]


def archive(pause: Path, say: Say) -> Path:
    """Return the archive of all images (OCI layout, tar), building what is not there yet."""
    home = cache() / "node"
    wanted = home / "images" / f"{fingerprint()}.tar"
    if wanted.exists():
        os.utime(wanted)
        return wanted
    started = time.monotonic()
    wanted.parent.mkdir(parents=True, exist_ok=True)
    mirror, release = debian_source()
    builder = Buildah(home / "buildah", release, say)
    _make_bases(builder, home, mirror, release, say)
    context = home / "pause"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    shutil.copy(pause, context / "pause")
    every = [
        Recipe(PAUSE_IMAGE, HERE / "pause.Dockerfile", context),
        Recipe(RUNNER, HERE / "tools.Dockerfile", HERE),
        *recipes(),
    ]
    for recipe in every:
        builder.build(recipe)
    builder.export([recipe.name for recipe in every], wanted)
    _forget(wanted.parent)
    say(f"images: built in {time.monotonic() - started:.0f} s: {wanted}")
    return wanted


def fingerprint(repository: Path = REPOSITORY) -> str:
    """Name a state of the sources: a hash over every file that the images are made of."""
    digest = hashlib.sha256(" ".join(DEBIAN_PACKAGES).encode())
    for root in (*(repository / name for name in SOURCES), HERE):
        for path in _files([root]):
            # Not by its place on the machine: clones with the same sources have the same images.
            name = path.relative_to(root.parent)
            digest.update(f"{name}\0{path.stat().st_mode:o}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def suite_of(dockerfile: str) -> str:
    """Return the Debian release that a Dockerfile's base image is of, by the end of its tag; empty when it says none."""
    named = re.search(rf"^ARG\s+{BASE_ARGUMENT}=(\S+)", dockerfile, re.MULTILINE)
    found = SUITES.search(named[1]) if named else None
    return found[1] if found else ""


def _files(roots: Iterable[Path]) -> list[Path]:
    found = [
        path
        for root in roots
        for path in (root.rglob("*") if root.is_dir() else [root])
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return sorted(found)


def _forget(folder: Path) -> None:
    """Remove the archives that have not been used for longest."""
    for old in sorted(folder.glob("*.tar"), key=lambda path: path.stat().st_mtime)[:-KEPT_ARCHIVES]:
        old.unlink(missing_ok=True)


class Buildah:
    """Buildah with a store of its own."""

    def __init__(self, home: Path, release: str, say: Say) -> None:
        """Keep everything below `home`; bases are of this Debian release."""
        self._home, self._release, self._say = home, release, say
        home.mkdir(parents=True, exist_ok=True)
        (home / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}\n')

    def has(self, image: str) -> bool:
        """Say whether the store has an image."""
        found = subprocess.run(self._argv("images", "-q", image), capture_output=True, check=False)
        return found.returncode == 0 and bool(found.stdout.strip())

    def import_root(self, archive_file: Path, image: str) -> None:
        """Make an image of a root file system."""
        what = f"images: {image}"
        container = work.run(
            what, self._argv("from", "--name", "devcluster-base", "scratch"), self._say
        ).strip()
        try:
            work.run(what, self._argv("add", "-q", container, str(archive_file), "/"), self._say)
            work.run(what, self._argv("config", "--env", f"PATH={PATH}", container), self._say)
            work.run(what, self._argv("commit", "-q", *self._policy(), container, image), self._say)
        finally:
            work.run(what, self._argv("rm", container), self._say)

    def build(self, recipe: Recipe) -> None:
        """Build an image from its Dockerfile."""
        ignore = recipe.dockerfile.with_name(recipe.dockerfile.name + ".dockerignore")
        self._say(f"images: building {recipe.name} from {recipe.dockerfile}")
        work.run(
            f"images: {recipe.name}",
            self._argv(
                *("bud", "--layers", "--pull-never", "--isolation", "chroot", "--network", "host"),
                *self._policy(),
                *("--build-arg", f"{BASE_ARGUMENT}={PYTHON}"),
                *("--build-arg", f"DEBIAN_IMAGE={DEBIAN}:{self._release}"),
                *(part for volume in _volumes() for part in ("--volume", volume)),
                *(("--ignorefile", str(ignore)) if ignore.exists() else ()),
                *("-t", recipe.name, "-f", str(recipe.dockerfile), str(recipe.context)),
            ),
            self._say,
        )

    def export(self, images: Iterable[str], target: Path) -> None:
        """Write images into one archive, which names them as containerd knows them."""
        layout = target.with_suffix(".unfinished")
        shutil.rmtree(layout, ignore_errors=True)
        names: dict[str, str] = {}
        for number, image in enumerate(images):
            names[str(number)] = image
            argv = self._argv("push", "-q", *self._policy(), image, f"oci:{layout}:{number}")
            work.run(f"images: exporting {image}", argv, self._say)
        index = layout / "index.json"
        index.write_text(json.dumps(named(json.loads(index.read_text()), names)))
        with tarfile.open(target.with_suffix(".tar.unfinished"), "w") as tar:
            tar.add(layout, ".")
        target.with_suffix(".tar.unfinished").rename(target)
        shutil.rmtree(layout)

    def _argv(self, command: str, *arguments: str) -> list[str]:
        places = ["--root", str(self._home / "root"), "--runroot", str(self._home / "run")]
        return ["buildah", *places, "--storage-driver", "overlay", command, *arguments]

    def _policy(self) -> tuple[str, ...]:
        return ("--signature-policy", str(self._home / "policy.json"))


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def named(index: dict[str, Any], names: Mapping[str, str]) -> object:
    """Return an OCI index whose entries, tagged by number, carry the names that containerd gives to images."""
    for entry in index["manifests"]:
        annotations = entry["annotations"]
        annotations[NAME_ANNOTATION] = names[annotations["org.opencontainers.image.ref.name"]]
    return index


def _volumes() -> list[str]:
    pip = next((path for path in PIP_SETTINGS if path.is_file()), None)
    shown = {CERTIFICATES: CERTIFICATES} if CERTIFICATES.is_file() else {}
    shown |= {pip: Path("/etc/pip.conf")} if pip else {}
    return [f"{source}:{target}:ro" for source, target in shown.items()]


def _make_bases(builder: Buildah, home: Path, mirror: str, release: str, say: Say) -> None:
    if not builder.has(f"{DEBIAN}:{release}"):
        tar = home / "debian.tar"
        say(f"images: making the base with debootstrap ({release}), about 2 minutes, this first time only")
        _debootstrap(home / "debian", tar, mirror, release, say)
        builder.import_root(tar, f"{DEBIAN}:{release}")
        tar.unlink()
    builder.build(Recipe(PYTHON, HERE / "python.Dockerfile", HERE))


def _debootstrap(root: Path, tar: Path, mirror: str, suite: str, say: Say) -> None:
    shutil.rmtree(root, ignore_errors=True)
    packages = ",".join(DEBIAN_PACKAGES)
    argv = ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(root), mirror]
    work.run("images: debootstrap", argv, say)
    for waste in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / waste, ignore_errors=True)
        (root / waste / "partial").mkdir(parents=True)
    work.run(
        "images: packing the base", ["tar", "-C", str(root), "--numeric-owner", "-cf", str(tar), "."], say
    )
    shutil.rmtree(root)


def debian_source() -> tuple[str, str]:
    """Return the mirror of Debian that apt is told, and the release for the base: the one the Dockerfile names, or apt's."""
    form = "$(REPO_URI)|$(CODENAME)|$(LABEL)"
    argv = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    found = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    for line in found.splitlines():
        mirror, suite, label = (*line.split("|"), "", "", "")[:3]
        if label == "Debian" and "-" not in suite:
            return mirror, suite_of((REPOSITORY / "Dockerfile").read_text()) or suite
    msg = "apt knows no Debian mirror: run `apt-get update` first (the base images come from it)"
    raise ClusterError(msg)
