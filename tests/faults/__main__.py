"""`python -m tests.faults`: the short set, every scenario, single ones, or chaos from a seed.

Exit status 0 only when nothing was lost, doubled or left without verdict, and nothing leaked.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from devcluster.cluster import CONTAINERS, NODES, Options
from devcluster.realnode import means
from tests.faults import scenario
from tests.faults.scenario import Scenario
from tests.faults.suite import Suite, run_all

SHORT_RUNS = 12
"""Runs of a scenario in the short set, on average."""
ENDINGS = (signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run what was asked for and print the closing line."""
    arguments = _parser().parse_args()
    try:
        chosen = _chosen(arguments)
    except (ModuleNotFoundError, ValueError) as error:
        print(f"faults: {error}", file=sys.stderr)
        return 2
    node = Options().node
    if trouble := _trouble(node):
        print(f"faults: NODE={node}: {trouble}", file=sys.stderr)
        return 2
    if arguments.list:
        for item in chosen:
            print(f"{item.name:44} {'short' if item.short else '':6} {item.about}")
        return 0
    for number in ENDINGS:
        signal.signal(number, lambda *_: sys.exit(143))
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="workerpool-faults-", dir=arguments.keep))
    # Runs aren't root, and their journals are below it.
    folder.chmod(0o755)
    seed = arguments.seed or os.environ.get("SEED") or secrets.token_hex(4)
    print(
        f"faults: SEED={seed}, {len(chosen)} scenarios on NODE={node}, working in {folder}",
        flush=True,
    )
    began = time.monotonic()
    suite = Suite(folder, seed, lambda line: print(line, flush=True), node)
    try:
        few = SHORT_RUNS * len(chosen) if arguments.short else None
        run_all(suite, chosen, arguments.runs or few)
    finally:
        suite.close()
    status = _close(suite, time.monotonic() - began)
    if status == 0 and arguments.keep is None:
        shutil.rmtree(folder)
    return status


def _close(suite: Suite, took: float) -> int:
    report = suite.report
    memory = ", ".join(f"{part} {peak:.0f} MiB" for part, peak in sorted(report.peaks.items()))
    print(
        f"faults: {report.faults} injected in {took:.0f} s; memory at rest at most: {memory or 'not measured'}"
    )
    for line in report.skipped:
        print(f"faults: left out {line}")
    if report.broken:
        print(f"faults: leaks or worse in {', '.join(report.broken)}")
    print(report.closing_line(), flush=True)
    return 0 if report.clean else 1


def _trouble(node: str) -> str:
    """Say why there can be no cluster with that kind of node; empty when there can."""
    if node not in NODES:
        return f"choose {' or '.join(NODES)}"
    return means.unavailable() or "" if node == CONTAINERS else ""


def _chosen(arguments: argparse.Namespace) -> list[Scenario]:
    if arguments.scenario:
        return [scenario.load(name.replace("-", "_")) for name in arguments.scenario]
    found = scenario.every()
    return [item for item in found if item.short] if arguments.short else found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("scenario", nargs="*", help="names of scenarios; default: every one")
    parser.add_argument("--short", action="store_true", help="the short set only")
    parser.add_argument("--runs", type=int, default=None, help="runs in all, divided among the scenarios")
    parser.add_argument("--seed", help="what decides all that is random (or SEED); default: a fresh one")
    parser.add_argument("--keep", type=Path, help="folder for journals and the logs of failures")
    parser.add_argument("--list", action="store_true", help="show the scenarios and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
