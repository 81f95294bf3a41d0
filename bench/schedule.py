"""From scheduled to Pod: how long it takes between the mothership's assignment and the Pod in the API."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from bench.site import Site


@dataclass(frozen=True)
class Latency:
    """Seconds from assignment to Pod over a number of runs, and runs without a Pod at the end."""

    p50: float
    p99: float
    total: float
    runs: int


def at_rate(site: Site, pool: str, rate: float, runs: int) -> Latency:
    """Trigger `runs` runs at `rate` a second and wait for their Pods."""
    started = time.monotonic()
    triggered = []
    for number in range(runs):
        time.sleep(max(0.0, started + number / rate - time.monotonic()))
        triggered.append(_trigger(site, pool))
    return _latency(site, triggered, started)


def burst(site: Site, pool: str, runs: int) -> Latency:
    """Put `runs` runs into the queue at once, then give the pool its workers' worth of them."""
    started = time.monotonic()
    return _latency(site, [_trigger(site, pool) for _ in range(runs)], started)


def _trigger(site: Site, pool: str) -> str:
    made = site.mothership.call("POST", "/v1/runs", {"pool": pool, "commands": ["true"]})
    return str(made["id"])


def _latency(site: Site, triggered: list[str], started: float) -> Latency:
    wanted = {run.lower() for run in triggered}
    site.pods.wait(
        lambda found: wanted <= {item["metadata"]["name"].split("-")[0] for item in found},
        f"a Pod for each of {len(wanted)} runs",
        240,
    )
    total = time.monotonic() - started
    seen = {name.split("-")[0]: when for name, when in site.pods.first_seen.items()}
    waits = sorted(seen[run.lower()] - _assigned_at(site, run) for run in triggered)
    return Latency(
        statistics.median(waits), waits[min(len(waits) - 1, int(len(waits) * 0.99))], total, len(waits)
    )


def _assigned_at(site: Site, run: str) -> float:
    attempts = site.mothership.call("GET", f"/v1/runs/{run}")["attempts"]
    return float(attempts[-1]["assignedAt"])
