"""``python -m crdgen``: write the CRDs, or with ``--check`` show how the committed ones differ from their sources."""

from __future__ import annotations

import argparse
import sys

from crdgen import apiserver, files
from devcluster.progress import ClusterError, say_to_stderr


def main() -> int:
    """Return 0, or 1 when the files differ or no API server could be asked."""
    parser = argparse.ArgumentParser(prog="python -m crdgen", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail with a diff when files differ"
    )
    check = parser.parse_args().check
    try:
        published = apiserver.ask_new(say_to_stderr)
    except ClusterError as error:
        print(f"crdgen: {error}", file=sys.stderr)
        return 1
    texts = files.texts(published.openapi, published.version)
    return _compare(texts) if check else _write(texts, published.version)


def _compare(texts: dict[str, str]) -> int:
    difference = files.differences(texts)
    if not difference:
        print("crdgen: the files in crds/ are what the sources make", file=sys.stderr)
        return 0
    print(difference, end="")
    print("crdgen: crds/ differs from its sources: run `make crds` and commit the result", file=sys.stderr)
    return 1


def _write(texts: dict[str, str], version: str) -> int:
    for name, text in texts.items():
        (files.FOLDER / name).write_text(text, encoding="utf-8")
        print(f"crdgen: {name}, {len(text)} bytes, Kubernetes {version}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
