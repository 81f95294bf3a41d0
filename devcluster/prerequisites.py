"""What the local cluster needs from the operating system, installed or named with the command that does it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster.progress import ClusterError, Say


@dataclass(frozen=True)
class Requirement:
    """A command, the package that brings it, and the components that need it."""

    command: str
    package: str
    why: str
    needed_by: frozenset[str]


REQUIREMENTS = (
    Requirement("mosquitto", "mosquitto", "the MQTT broker", frozenset({"mosquitto"})),
    Requirement(
        "bwrap", "bubblewrap", "the mount namespaces of the process node's containers", frozenset({"node"})
    ),
    Requirement("git", "git", "the launcher checks repositories out", frozenset({"node"})),
    Requirement(
        "openssl", "openssl", "keys and certificate requests, as users make them", frozenset({"mothership"})
    ),
)
FOR_TESTS = (
    Requirement("curl", "curl", "hooks are asked as a user would", frozenset()),
    Requirement("busybox", "busybox-static", "the executor runs in the smallest of images", frozenset()),
    Requirement("proot", "proot", "the process node where user namespaces are refused", frozenset()),
    Requirement("buildah", "buildah", "builds the images", frozenset()),
    Requirement("debootstrap", "debootstrap", "the images' base where no registry answers", frozenset()),
)
"""What single tests need beyond that; without it they are skipped."""
INSTALL = {"apt-get": "apt-get install -y", "dnf": "dnf install -y", "brew": "brew install"}
# A package's service does not start when this file says so (Debian policy, invoke-rc.d): the cluster runs its own broker.
POLICY = Path("/usr/sbin/policy-rc.d")
# Debian puts daemons where the PATH of an ordinary user does not look.
SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(command: str) -> str | None:
    """Return the path of a command, looking where daemons live too."""
    places = [*os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_PATH]
    return shutil.which(command, path=os.pathsep.join(places))


def provide(components: Collection[str], say: Say) -> None:
    """Make sure that everything these components need is there."""
    install(
        [need for need in REQUIREMENTS if need.needed_by & set(components) and not find(need.command)], say
    )


def install(missing: Sequence[Requirement], say: Say) -> None:
    """Install what is missing, or say what it is and how it is installed."""
    if not missing:
        return
    packages = [need.package for need in missing]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {', '.join(packages)} with apt-get")
        _apt_install(packages, say)
    still = [need for need in missing if not find(need.command)]
    if still:
        raise ClusterError(explanation(still, managers=[name for name in INSTALL if shutil.which(name)]))


def provide_for_tests(say: Say) -> None:
    """Install what single tests need, where that is possible; say which are skipped otherwise."""
    missing = [need for need in FOR_TESTS if not find(need.command)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [need.package for need in missing]
        say(f"installing {', '.join(packages)} with apt-get")
        _apt_install(packages, say)
    for need in FOR_TESTS:
        if not find(need.command):
            say(f"tests are skipped without {need.command}: {need.why}")


def explanation(missing: Collection[Requirement], *, managers: Collection[str]) -> str:
    """Say what is missing, what for, and what to type."""
    lines = [f"missing: {need.command} ({need.why})" for need in missing]
    packages = " ".join(need.package for need in missing)
    commands = [_command(name, packages) for name in managers] or [f"the packages {packages} of your system"]
    return "\n".join([*lines, f"install with: {' or '.join(commands)}"])


def _command(manager: str, packages: str) -> str:
    prefix = "" if manager == "brew" or os.geteuid() == 0 else "sudo "
    return f"{prefix}{INSTALL[manager]} {packages}"


def _apt_install(packages: list[str], say: Say) -> None:
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    with _no_services():
        if _run(install).returncode != 0:
            say("refreshing apt's package lists")
            _run(["apt-get", "update", "-q"])
            done = _run(install)
            if done.returncode != 0:
                msg = f"{' '.join(install)} failed:\n{(done.stderr or done.stdout).strip()}"
                raise ClusterError(msg)
    if "mosquitto" in packages and shutil.which("systemctl"):
        # Not at the next start of the machine either.
        _run(["systemctl", "disable", "mosquitto"])


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
