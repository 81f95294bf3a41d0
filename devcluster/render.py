"""Writes the one-file forms of the manifests: `python -m devcluster.render`.

    manifests/                -> manifests/install.yaml
    manifests/metacontroller/ -> manifests/install-metacontroller.yaml

With --image or --metacontroller-image the files name these instead, for a registry of one's own.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster import build
from devcluster.paths import REPOSITORY
from devcluster.progress import say_to_stderr

HEAD = "# Made by `make install-yaml` from {source}; what is changed here is lost. Apply with: kubectl apply --server-side -f\n"
FILES: Mapping[str, str] = {
    "manifests/install.yaml": "manifests",
    "manifests/install-metacontroller.yaml": "manifests/metacontroller",
}
IMAGES = {"operator": "workerpool-operator", "metacontroller": "ghcr.io/metacontroller/metacontroller"}
_TAGGED = re.compile(r"[^\s:@]+(:[0-9]+)?(/[^\s:@]+)*(:[A-Za-z0-9_.-]+|@sha256:[0-9a-f]{64})")


def kustomized(kubectl: str, folder: str) -> str:
    """Return what kustomize makes of a folder of the repository."""
    done = subprocess.run(
        [kubectl, "kustomize", str(REPOSITORY / folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        msg = f"kubectl kustomize {folder}: {done.stderr.strip()}"
        raise RuntimeError(msg)
    return done.stdout


def rendered(kubectl: str, images: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the contents of each file; `images` replaces images by the name that the sources give them."""
    found = {}
    for file, source in FILES.items():
        text = kustomized(kubectl, source)
        for name, image in (images or {}).items():
            text = re.sub(rf"(?m)^(\s+image: ){re.escape(name)}:\S+$", rf"\g<1>{image}", text)
        found[file] = HEAD.format(source=f"{source}/") + text
    return found


def stale(kubectl: str) -> list[str]:
    """Return the committed files that aren't what the sources make."""
    return [
        file
        for file, text in rendered(kubectl).items()
        if not (REPOSITORY / file).exists() or (REPOSITORY / file).read_text(encoding="utf-8") != text
    ]


def image(text: str) -> str:
    """Return the name of an image with a version; raises ValueError for one that floats."""
    if not _TAGGED.fullmatch(text) or text.endswith(":latest"):
        msg = f"{text!r}: expected NAME:TAG or NAME@sha256:DIGEST, and a tag other than latest"
        raise argparse.ArgumentTypeError(msg)
    return text


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with --check say which are stale; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devcluster.render", description=__doc__)
    parser.add_argument("--image", type=image, help="the operator's image, NAME:TAG")
    parser.add_argument("--metacontroller-image", type=image, help="Metacontroller's image, NAME:TAG")
    parser.add_argument("--to", type=Path, default=REPOSITORY / "manifests", help="folder to write to")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a committed file is stale"
    )
    chosen = parser.parse_args(arguments)
    kubectl = str(build.tools(say_to_stderr) / "kubectl")
    if chosen.check:
        found = stale(kubectl)
        for file in found:
            sys.stderr.write(f"{file} is stale: run make install-yaml\n")
        return 1 if found else 0
    given = {"operator": chosen.image, "metacontroller": chosen.metacontroller_image}
    images = {IMAGES[name]: value for name, value in given.items() if value}
    for file, text in rendered(kubectl, images).items():
        target = chosen.to / Path(file).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        sys.stderr.write(f"wrote {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
