"""`python -m bench`: measure, print a table, write ``bench/results.json``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import hooks, schedule, single_controller
from bench.site import PARTS, Site
from devcluster.cluster import Cluster
from devcluster.paths import REPOSITORY
from devcluster.ports import Ports

RESULTS = Path(__file__).with_name("results.json")
POOL = "bench"
Figures = dict[str, dict[str, float | str | None]]


def main() -> int:
    """Measure both shapes and return the exit code."""
    arguments = _arguments()
    driver = "Metacontroller" if os.environ.get("METACONTROLLER_BIN") else "the stand-in"
    print(f"hooks driven by {driver}, {arguments.workers} workers, {os.cpu_count()} cores", flush=True)
    figures: Figures = {}
    with _site() as site:
        _grow(site, arguments, figures, prefix="")
        _measure_hooks(site, figures)
        _schedule(site, arguments, figures, prefix="")
    with _site() as site, _single_controller(site):
        _grow(site, arguments, figures, prefix="single_controller_")
        _schedule(site, arguments, figures, prefix="single_controller_")
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--workers", type=int, default=1000, help="size of the pool")
    parser.add_argument("--rate", type=float, default=5.0, help="runs a second")
    parser.add_argument("--runs", type=int, default=200, help="runs at that rate")
    parser.add_argument("--burst", type=int, default=500, help="runs at once, on further workers")
    return parser.parse_args()


def _note(figures: Figures, name: str, value: float, unit: str, budget: float | None = None) -> None:
    figures[name] = {"value": round(value, 2), "unit": unit, "floor": None, "budget": budget}
    within = "" if budget is None else f"   (budget {budget:g})"
    print(f"{name:46} {value:10.1f} {unit}{within}", flush=True)


def _grow(site: Site, arguments: argparse.Namespace, figures: Figures, prefix: str) -> None:
    site.make_pool(POOL, 0)
    _note(figures, prefix + "operator_memory_idle_mib", site.operator_memory_mib(), "MiB")
    _note(figures, prefix + "scale_up_1000_s", site.scale(POOL, arguments.workers), "s", 8)
    _note(figures, prefix + "operator_memory_mib", site.operator_memory_mib(), "MiB", 128)
    time.sleep(3)  # the scale-up's own syncs are not part of what follows


def _schedule(site: Site, arguments: argparse.Namespace, figures: Figures, prefix: str) -> None:
    latency = schedule.at_rate(site, POOL, arguments.rate, arguments.runs)
    _note(figures, prefix + "schedule_to_pod_p50_ms", latency.p50 * 1000, "ms", 40)
    _note(figures, prefix + "schedule_to_pod_p99_ms", latency.p99 * 1000, "ms", 150)
    crowd = schedule.burst(site, POOL, arguments.burst)
    _note(figures, prefix + f"burst_{arguments.burst}_s", crowd.total, "s")
    _note(figures, prefix + "operator_memory_after_burst_mib", site.operator_memory_mib(), "MiB", 128)


def _measure_hooks(site: Site, figures: Figures) -> None:
    rows = {
        "pool_hook_1000_ms": hooks.pool_hook_ms(site, POOL),
        "pool_hook_1000_busy_ms": hooks.pool_hook_ms(site, POOL, busy=True),
        "pool_hook_1000_busy_inline_2k_ms": hooks.pool_hook_ms(site, POOL, 2 * 1024, busy=True),
        "pool_hook_1000_busy_inline_20k_ms": hooks.pool_hook_ms(site, POOL, 20 * 1024, busy=True),
    }
    for name, value in rows.items():
        _note(figures, name, value, "ms", 25)


@contextmanager
def _site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="workerpool-bench-") as folder:
        cluster = Cluster(Path(folder) / "cluster", components=PARTS)
        with cluster:
            site = Site(cluster, Path(folder))
            try:
                yield site
            finally:
                site.close()


@contextmanager
def _single_controller(site: Site) -> Iterator[None]:
    """Put the other shape in the place of the product's two controllers."""
    ports = Ports(("hooks",))
    endpoint = f"http://127.0.0.1:{ports['hooks']}"
    server = subprocess.Popen(
        [
            sys.executable, "-m", "gunicorn", "bench.single_controller:application", "--log-level=warning",
            f"--bind=127.0.0.1:{ports['hooks']}", "--worker-class=gthread", "--threads=8", "--timeout=120",
        ],
        cwd=REPOSITORY,
    )  # fmt: skip
    try:
        kubectl = site.cluster.kubectl
        kubectl("delete", "decoratorcontroller", "worker")
        kubectl("delete", "compositecontroller", "workerpool")
        kubectl.apply([single_controller.controller(endpoint)])
        yield
    finally:
        server.terminate()
        server.wait()
        ports.release()


if __name__ == "__main__":
    sys.exit(main())
