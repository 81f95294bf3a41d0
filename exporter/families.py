"""The metrics: each with its name, labels, help and where its values come from. A function of what one scrape found.

Names, labels and help are those of the public exporter, which queries and dashboards of users are written against: of
its release the first seventeen and the last two, of its development the others. `docs/exporter.md` has the same table. A
metric without a value is left out.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.snapshot import Pool, PublicPool, Snapshot, Statistics, Usage, Waiting

_T = TypeVar("_T")


class Outcome(Enum):
    """What came of asking for a part."""

    GOT = "got"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


PARTS: Final = (
    "publicworkerpool",
    "workerpools",
    "usage",
    "aggregates",
    "schedulableruns",
    "waitingruns",
)
"""Values of the label `collector`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Which exporter this is."""

    version: str
    commit: str
    runtime: str = f"python{platform.python_version()}"
    """Stands in the label `goversion`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """What one scrape found."""

    snapshot: Snapshot
    build: Build
    seconds: float
    """How long the API took."""

    outcomes: Mapping[str, Outcome]
    """By part; what was not asked for is absent."""

    schedulable: Mapping[str, int] | None = None
    """By pool id."""

    waiting: Waiting | None = None


Sample = tuple[tuple[str, ...], float]
_Values = Callable[[Scrape], Iterator[Sample]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; all are gauges."""

    name: str
    help: str
    values: _Values
    labels: tuple[str, ...] = ()


def metrics_of(scrape: Scrape) -> list[Metric]:
    """Return the metrics of a scrape."""
    found: list[Metric] = []
    for family in FAMILIES:
        metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        for labels, value in family.values(scrape):
            metric.add_metric(labels, value)
        if metric.samples:
            found.append(metric)
    return found


class OneScrape(Collector):
    """Metrics of one scrape, as prometheus_client's encoders take them."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        """Return them."""
        return self._metrics

    def registry(self) -> CollectorRegistry:
        """Return a registry that holds nothing else."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry


def _one(part: Callable[[Scrape], _T | None], read: Callable[[_T], float | None]) -> _Values:
    """Return the values of a metric without labels, of a part that may not be there."""

    def values(scrape: Scrape) -> Iterator[Sample]:
        found = part(scrape)
        value = None if found is None else read(found)
        if value is not None:
            yield (), value

    return values


def _public_pool(scrape: Scrape) -> PublicPool | None:
    return scrape.snapshot.public_pool


def _usage(scrape: Scrape) -> Usage | None:
    return scrape.snapshot.usage


def _statistics(scrape: Scrape) -> Statistics | None:
    return scrape.snapshot.statistics


def _waiting(scrape: Scrape) -> Waiting | None:
    return scrape.waiting


def _pools(read: Callable[[Pool], float]) -> _Values:
    return lambda scrape: (((pool.id, pool.name), read(pool)) for pool in scrape.snapshot.pools)


def _states(read: Callable[[Statistics], Mapping[str, float]]) -> _Values:
    def values(scrape: Scrape) -> Iterator[Sample]:
        statistics = _statistics(scrape)
        for state, value in (read(statistics) if statistics else {}).items():
            yield (state,), value

    return values


def _schedulable(scrape: Scrape) -> Iterator[Sample]:
    counts = scrape.schedulable or {}
    for pool in scrape.snapshot.pools:
        if pool.id in counts:
            yield (pool.id, pool.name), counts[pool.id]


def _build(scrape: Scrape) -> Iterator[Sample]:
    yield (scrape.build.version, scrape.build.commit, scrape.build.runtime), 1


def _outcomes(good: Callable[[Outcome], bool]) -> _Values:
    return lambda scrape: (
        ((part,), float(good(scrape.outcomes[part]))) for part in PARTS if part in scrape.outcomes
    )


_POOL: Final = ("worker_pool_id", "worker_pool_name")
_BILLING: Final = "spacelift_current_billing_period"

FAMILIES: Final = (
    Family(
        "spacelift_public_worker_pool_runs_pending",
        "The number of runs in your account currently queued and waiting for a public worker",
        _one(_public_pool, lambda found: found.pending_runs),
    ),
    Family(
        "spacelift_public_worker_pool_workers_busy",
        "The number of currently busy workers in the public worker pool for this account",
        _one(_public_pool, lambda found: found.busy_workers),
    ),
    Family(
        "spacelift_public_worker_pool_parallelism",
        "The maximum number of simultaneously executing runs on the public worker pool for this account",
        _one(_public_pool, lambda found: found.parallelism),
    ),
    Family(
        "spacelift_worker_pool_runs_pending",
        "The number of runs currently queued and waiting for a worker from a particular pool",
        _pools(lambda pool: pool.pending_runs),
        _POOL,
    ),
    Family(
        "spacelift_worker_pool_workers_busy",
        "The number of currently busy workers in a worker pool",
        _pools(lambda pool: pool.busy_workers),
        _POOL,
    ),
    Family(
        "spacelift_worker_pool_workers",
        "The number of workers in a worker pool",
        _pools(lambda pool: pool.workers),
        _POOL,
    ),
    Family(
        "spacelift_worker_pool_workers_drained",
        "The number of workers in a worker pool that have been drained",
        _pools(lambda pool: pool.drained),
        _POOL,
    ),
    Family(
        f"{_BILLING}_start_timestamp_seconds",
        "The timestamp of the start of the current billing period",
        _one(_usage, lambda found: found.period_start),
    ),
    Family(
        f"{_BILLING}_end_timestamp_seconds",
        "The timestamp of the end of the current billing period",
        _one(_usage, lambda found: found.period_end),
    ),
    Family(
        f"{_BILLING}_used_private_seconds",
        "The amount of private worker usage in the current billing period",
        _one(_usage, lambda found: found.private_minutes * 60),
    ),
    Family(
        f"{_BILLING}_used_public_seconds",
        "The amount of public worker usage in the current billing period",
        _one(_usage, lambda found: found.public_minutes * 60),
    ),
    Family(
        f"{_BILLING}_used_seats",
        "The number of seats used in the current billing period",
        _one(_usage, lambda found: found.seats),
    ),
    Family(
        "spacelift_current_stacks_count_by_state",
        "The number of stacks grouped by state",
        _states(lambda found: found.stacks_by_state),
        ("state",),
    ),
    Family(
        "spacelift_current_resources_count_by_drift",
        "The number of drifted resources",
        _states(lambda found: found.resources_by_drift),
        ("state",),
    ),
    Family(
        "spacelift_current_avg_stack_size_by_resource_count",
        "The average stack size by resource count",
        _one(_statistics, lambda found: found.average_stack_size),
    ),
    Family(
        "spacelift_current_average_run_duration",
        "The average run duration",
        _one(_statistics, lambda found: found.average_run_duration),
    ),
    Family(
        "spacelift_current_median_run_duration",
        "The median run duration",
        _one(_statistics, lambda found: found.median_run_duration),
    ),
    Family(
        "spacelift_worker_pool_runs_schedulable",
        "The number of schedulable runs on a worker pool",
        _schedulable,
        _POOL,
    ),
    Family(
        "spacelift_public_worker_pool_runs_schedulable",
        "The number of schedulable runs on the public worker pool for this account",
        _one(_waiting, lambda found: found.public_schedulable),
    ),
    Family(
        "spacelift_runs_needing_approval",
        "The number of runs currently needing approval",
        _one(_waiting, lambda found: found.needing_approval),
    ),
    Family(
        "spacelift_runs_requiring_attention",
        "The number of runs requiring attention",
        _one(_waiting, lambda found: found.requiring_attention),
    ),
    Family(
        "spacelift_scrape_collector_success",
        "Whether a part of the API's data was got at this scrape (1) or not (0)",
        _outcomes(lambda outcome: outcome is Outcome.GOT),
        ("collector",),
    ),
    Family(
        "spacelift_scrape_collector_supported",
        "Whether the backend has a part of the API's data for this API key (1) or not (0)",
        _outcomes(lambda outcome: outcome is not Outcome.UNSUPPORTED),
        ("collector",),
    ),
    Family(
        "spacelift_scrape_duration_seconds",
        "The duration in seconds of the request to the Spacelift API for metrics",
        _one(lambda scrape: scrape, lambda found: found.seconds),
    ),
    Family(
        "spacelift_build_info",
        "Contains build information about the exporter",
        _build,
        ("version", "commit", "goversion"),
    ),
)
"""Every metric, in the order of the public exporter's list; those that it doesn't have before its last two."""
