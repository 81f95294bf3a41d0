"""A local stand-in of the images' base, for machines that reach Debian's packages but no image registry.

The same Debian release and the same Python to its minor version, out of Debian's own packages; pip as the base has it.
It takes the base's name in this machine's storage only: an image that stands on it is for trying things out here, and
its label `base.name` can't tell the two apart. Needs root, buildah and debootstrap.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from images.catalogue import BASE
from images.engines import ImageError, run

RELEASE: Final = "trixie"
ARCHIVE: Final = "http://deb.debian.org/debian"
PACKAGES: Final = ("ca-certificates", "netbase", "tzdata", "python3", "libsqlite3-0")
PIP: Final = "pip==26.3"
PYTHON: Final = "python3.13"


def missing() -> str:
    """Return what keeps this machine from making a stand-in, empty when nothing does."""
    if os.geteuid() != 0:
        return "root is needed to unpack a Debian system"
    absent = [tool for tool in ("buildah", "debootstrap") if not shutil.which(tool)]
    return (
        f"{' and '.join(absent)} not found. On Debian: apt-get install {' '.join(absent)}" if absent else ""
    )


def make(say: Callable[[str], None]) -> None:
    """Make the stand-in and tag it with the base's name; raises ImageError. About a minute and a half."""
    if reason := missing():
        raise ImageError(reason)
    with tempfile.TemporaryDirectory(prefix="image-base-") as scratch:
        root = Path(scratch) / "root"
        say(f"Debian {RELEASE} with its Python, from {ARCHIVE} (about 90 seconds)")
        run(
            [
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(PACKAGES)}",
                RELEASE,
                str(root),
                ARCHIVE,
            ]
        )
        _add_pip(root, Path(scratch))
        _leave_no_trace(root)
        container = run(["buildah", "from", "scratch"]).strip()
        try:
            run(["buildah", "add", "--quiet", container, str(root), "/"])
            run(
                [
                    "buildah",
                    "config",
                    "--env=PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
                    container,
                ]
            )
            run(["buildah", "config", "--env=LANG=C.UTF-8", "--cmd=python3", container])
            run(["buildah", "commit", "--quiet", container, BASE])
        finally:
            run(["buildah", "rm", container])
    say(f"{BASE} is a local stand-in now")


def _add_pip(root: Path, scratch: Path) -> None:
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            f"--dest={scratch}",
            PIP,
        ]
    )
    (wheel,) = scratch.glob("pip-*.whl")
    binaries = root / "usr/local/bin"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / f"usr/local/lib/{PYTHON}/dist-packages")
    for name in ("python", "python3"):
        (binaries / name).symlink_to(f"/usr/bin/{PYTHON}")
    command = binaries / "pip"
    command.write_text(
        "#!/usr/local/bin/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)


def _leave_no_trace(root: Path) -> None:
    """Take out what debootstrap copied of this machine."""
    for name in ("etc/hostname", "etc/resolv.conf", "var/log/bootstrap.log"):
        (root / name).unlink(missing_ok=True)
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
