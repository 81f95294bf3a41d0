"""Packs the chart into a repository that any web server can serve: `python -m devcluster.charts`.

The same sources give the same bytes: times are SOURCE_DATE_EPOCH's, or 1980 without it, and never the clock's.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import re
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from devcluster import helm
from devcluster.paths import REPOSITORY
from devcluster.progress import ClusterError
from images import catalogue

CHARTS = REPOSITORY / "charts"
CHART = CHARTS / "spacelift-workerpool-controller"


def repository(command: Path, target: Path, *, url: str = "", epoch: int = catalogue.EPOCH) -> list[Path]:
    """Write an archive of each chart and their index; return the files.

    `url` is where the archives will be found, empty beside the index; `epoch` are seconds since 1970. Raises
    ClusterError with helm's words when a chart is wrong.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for chart in sorted(CHARTS.glob("*/Chart.yaml")):
            helm.run(command, "package", str(chart.parent), "--destination", temporary)
        for archive in folder.glob("*.tgz"):
            archive.write_bytes(timeless(archive.read_bytes(), epoch))
        helm.run(command, "repo", "index", temporary, *(["--url", url] if url else []))
        index = folder / "index.yaml"
        index.write_text(dated(index.read_text(encoding="utf-8"), epoch), encoding="utf-8")
        written = []
        for file in sorted(folder.iterdir()):
            written.append(target / file.name)
            written[-1].write_bytes(file.read_bytes())
    return written


def timeless(archive: bytes, epoch: int) -> bytes:
    """Return a gzipped tar with the same files, without who made it and when."""
    packed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as source,
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as copy,
    ):
        for member in sorted(source.getmembers(), key=lambda each: each.name):
            entry = tarfile.TarInfo(member.name)
            entry.size, entry.mtime, entry.mode = member.size, epoch, 0o644
            copy.addfile(entry, source.extractfile(member))
    return packed.getvalue()


def dated(index: str, epoch: int) -> str:
    """Return a repository's index with one time in the place of the clock's."""
    when = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return re.sub(r"(?m)^(\s*)(created|generated): .*$", rf'\g<1>\g<2>: "{when}"', index)


def main(arguments: Sequence[str]) -> int:
    """Write the repository; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devcluster.charts", description=__doc__)
    parser.add_argument("--to", type=Path, default=REPOSITORY / "dist" / "charts", help="folder to write to")
    parser.add_argument("--url", default="", help="where the archives will be found; empty: beside the index")
    chosen = parser.parse_args(arguments)
    try:
        for file in repository(helm.helm(), chosen.to, url=chosen.url, epoch=catalogue.epoch(os.environ)):
            sys.stderr.write(f"wrote {file}\n")
    except (ClusterError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
