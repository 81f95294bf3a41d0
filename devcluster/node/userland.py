"""The default images: the host's POSIX userland as runner, the same plus this tree's launcher as launcher image.

The host's `/etc` isn't shown (it holds host keys and accounts): the images get one of their own with links to the
few parts that programs need. Homes, `/var`, `/opt` and `/run` of the host are never shown.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from devcluster.node.images import Bind, Image

USERLAND = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
LAUNCHER_NAMES = ("spacelift.local/launcher:dev", "public.ecr.aws/spacelift/launcher:*")
RUNNER_NAMES = ("spacelift.local/runner:dev", "public.ecr.aws/spacelift/runner-terraform:latest")

# The user that run Pods run as by default; git and ssh want an account and a home.
RUNNER_UID = 1983

_HOST_ETC = (
    "alternatives",
    "ssl",
    "ca-certificates",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "mime.types",
)
_PACKAGES = ("launcher", "protocol")
_LAUNCHER_HOME = "/opt/spacelift-launcher"
_HOME = "/home/spacelift"
_FILES = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    f"spacelift:x:{RUNNER_UID}:{RUNNER_UID}::{_HOME}:/bin/sh\n",
    "group": f"root:x:0:\nnogroup:x:65534:\nspacelift:x:{RUNNER_UID}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "os-release": 'NAME="Process node userland"\nID=linux\nPRETTY_NAME="Process node userland"\n',
    "shells": "/bin/sh\n",
}


@dataclass(frozen=True)
class LauncherSource:
    """Where the launcher comes from: an interpreter with the packages it needs, and the tree with its modules."""

    python: Path
    tree: Path


def default_images(folder: Path, launcher: LauncherSource) -> dict[str, Image]:
    """Write what the default images need below `folder` and return them by name."""
    binds = tuple(_etc(folder / "etc"))
    runner = Image(
        name=RUNNER_NAMES[0],
        root=Path("/"),
        entries=USERLAND,
        binds=binds,
        scratch=(_HOME,),
        cmd=("/bin/sh",),
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        user=RUNNER_UID,
    )
    with_launcher = Image(
        name=LAUNCHER_NAMES[0],
        root=Path("/"),
        entries=USERLAND,
        binds=(*binds, *_launcher(folder, launcher)),
        scratch=(_HOME,),
        entrypoint=("/usr/bin/spacelift-launcher",),
        env=runner.env,
        user=RUNNER_UID,
    )
    return dict.fromkeys(RUNNER_NAMES, runner) | dict.fromkeys(LAUNCHER_NAMES, with_launcher)


def _etc(folder: Path) -> list[Bind]:
    """Write the images' own `/etc` and return the binds that make it up."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text)
    host = Path("/etc")
    shown = [name for name in _HOST_ETC if (host / name).exists()]
    for name in shown:
        if (host / name).is_dir():
            (folder / name).mkdir(exist_ok=True)
        else:
            (folder / name).touch()
    return [Bind(folder, "/etc"), *(Bind((host / name).resolve(), f"/etc/{name}") for name in shown)]


def _launcher(folder: Path, source: LauncherSource) -> list[Bind]:
    """Write the launcher's start script and return the binds that it needs."""
    script = folder / "spacelift-launcher"
    script.write_text(
        f"#!/bin/sh\nPYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={_LAUNCHER_HOME}"
        f' exec {source.python} -m launcher "$@"\n'
    )
    script.chmod(0o755)
    packages = [Bind(source.tree / name, f"{_LAUNCHER_HOME}/{name}") for name in _PACKAGES]
    prefixes = [Bind(Path(prefix), prefix) for prefix in python_prefixes(source.python)]
    return [
        *prefixes,
        *(each for each in packages if each.source.is_dir()),
        Bind(script, "/usr/bin/spacelift-launcher"),
    ]


def python_prefixes(python: Path) -> list[str]:
    """Return the directories an interpreter needs, outermost first, leaving out what `/usr` shows anyway."""
    if python == Path(sys.executable):
        found = [sys.base_prefix, sys.prefix]
    else:
        question = "import json, sys; print(json.dumps([sys.base_prefix, sys.prefix]))"
        answer = subprocess.run(
            [python, "-c", question], check=True, capture_output=True, text=True, timeout=30
        )
        found = json.loads(answer.stdout)
    found += [str(Path(prefix).resolve()) for prefix in found]
    unique = sorted(
        {prefix for prefix in found if not prefix.startswith("/usr/") and prefix != "/usr"}, key=len
    )
    return [each for each in unique if not any(each.startswith(f"{other}/") for other in unique)]
