"""``python -m images``: build the images, save them, show their bill of materials, renew their lock files."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from images import catalogue, standin
from images.engines import Engine, ImageError, Order, engine, run


def main(arguments: Sequence[str]) -> int:
    """Run a command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build images and print their names and sizes")
    build.add_argument(
        "--base", default=catalogue.BASE, help="base image, @sha256:... included; local: a stand-in"
    )
    build.add_argument("--fresh", action="store_true", help="take nothing from the cache of earlier builds")
    base = commands.add_parser("base", help="make the local stand-in of the base, if it isn't there")
    base.add_argument("--again", action="store_true", help="make it anew")
    save = commands.add_parser("save", help="write images as archives, for where no registry is")
    save.add_argument("--to", type=Path, required=True, help="folder")
    sbom = commands.add_parser("sbom", help="print the bill of materials of a built image")
    for command in (build, save, sbom):
        command.add_argument("--registry", default="", help="what comes before the images' names")
        command.add_argument("images", nargs="*" if command is not sbom else 1, help="short names; none: all")
    commands.add_parser("locks", help="write the lock files anew from requirements.txt")
    chosen = parser.parse_args(arguments)
    try:
        _COMMANDS[chosen.command](chosen)
    except (ImageError, ValueError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def _say(text: str) -> None:
    print(f"images: {text}", file=sys.stderr, flush=True)


def _origin() -> catalogue.Origin:
    revision = _git("rev-parse", "HEAD") or "unknown"
    if _git("status", "--porcelain"):
        revision += "-changed"
    source = os.environ.get("SOURCE_URL") or catalogue.public_source(_git("remote", "get-url", "origin"))
    return catalogue.Origin(
        version=catalogue.version(), revision=revision, source=source, epoch=catalogue.epoch(os.environ)
    )


def _git(*arguments: str) -> str:
    try:
        return run(["git", *arguments]).strip()
    except (ImageError, OSError):
        return ""


def _build(chosen: argparse.Namespace) -> None:
    images = catalogue.chosen(chosen.images)
    with_engine, origin = engine(), _origin()
    local = chosen.base == "local"
    if local:
        _stand_in(with_engine, again=False)
    base = catalogue.BASE if local else chosen.base
    for image in images:
        tag = catalogue.reference(image, origin, chosen.registry)
        values = catalogue.arguments(image, origin, base)
        began = time.monotonic()
        command = with_engine.build(
            Order(
                dockerfile=image.dockerfile,
                tag=tag,
                arguments=values,
                labels=catalogue.labels(values),
                epoch=origin.epoch,
                pull=not local,
                fresh=chosen.fresh,
            )
        )
        if subprocess.run(command, cwd=catalogue.ROOT, stdout=sys.stderr, check=False).returncode:
            hint = "" if local else "; BASE=local builds on a stand-in where no registry answers"
            raise ImageError(f"{image.dockerfile} could not be built with {with_engine.name}{hint}")
        found = with_engine.facts(tag)
        print(
            f"{tag}  {found.size / 1e6:.0f} MB  {time.monotonic() - began:.0f} s  {found.identity}",
            flush=True,
        )


def _stand_in(with_engine: Engine, *, again: bool) -> None:
    if with_engine.name != "buildah":
        raise ImageError(
            "the local stand-in is made by buildah. On Debian: apt-get install buildah debootstrap"
        )
    if again or not with_engine.has(catalogue.BASE):
        standin.make(_say)


def _base(chosen: argparse.Namespace) -> None:
    _stand_in(engine(), again=chosen.again)


def _save(chosen: argparse.Namespace) -> None:
    with_engine, origin = engine(), _origin()
    chosen.to.mkdir(parents=True, exist_ok=True)
    for image in catalogue.chosen(chosen.images):
        tag = catalogue.reference(image, origin, chosen.registry)
        target = (chosen.to / f"{image.name}-{origin.version}{image.flavour}.tar").absolute()
        target.unlink(missing_ok=True)
        if with_engine.name == "docker":
            run(["docker", "save", "--output", str(target), tag])
        else:
            run(["buildah", "push", "--quiet", tag, f"docker-archive:{target}:{tag}"])
        print(target)


def _sbom(chosen: argparse.Namespace) -> None:
    with_engine, origin = engine(), _origin()
    (image,) = catalogue.chosen(chosen.images)
    tag = catalogue.reference(image, origin, chosen.registry)
    print(with_engine.read(tag, catalogue.SBOM), end="")


def _locks(_chosen: argparse.Namespace) -> None:
    for name in sorted(path.stem for path in (catalogue.ROOT / "images/locks").glob("*.in")):
        run(
            [
                *(str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--universal"),
                *("--python-version=3.11", "--generate-hashes", "--no-emit-index-url", "--no-annotate"),
                *("--custom-compile-command", "make locks", "--constraints", "requirements-dev.txt"),
                *(f"images/locks/{name}.in", "--output-file", f"images/locks/{name}.txt"),
            ]
        )


_COMMANDS = {"build": _build, "base": _base, "save": _save, "sbom": _sbom, "locks": _locks}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
