"""The API's answers as typed values.

Where the API's schema promises a value, its absence is an error that names the field: a zero in its place would shrink
a pool that is scaled by it. A root that is null is None, and its series are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from exporter.answers import Json
from exporter.errors import AnswerError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PublicPool:
    """The account's share of the public workers."""

    parallelism: int
    busy_workers: int
    pending_runs: int


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool and its workers."""

    id: str
    name: str
    pending_runs: int
    busy_workers: int
    workers: int
    """Drained ones counted."""

    drained: int


@dataclass(frozen=True, slots=True)
class Usage:
    """The current billing period."""

    period_start: int
    period_end: int
    """Both seconds since 1970."""

    private_minutes: int
    public_minutes: int
    seats: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of stacks and runs; None where the API has none."""

    stacks_by_state: Mapping[str, float]
    resources_by_drift: Mapping[str, float]
    average_stack_size: float | None
    average_run_duration: float | None
    median_run_duration: float | None
    """Both as the API gives them: nanoseconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the scrape's query answers."""

    pools: tuple[Pool, ...]
    public_pool: PublicPool | None
    usage: Usage | None
    statistics: Statistics | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What only some backends tell of the account's runs; None for a root that is null."""

    public_schedulable: int | None
    needing_approval: int | None
    requiring_attention: int | None


def snapshot_of(data: Json) -> Snapshot:
    """Read the scrape's answer; raises AnswerError with the field's path."""
    pools = tuple(_pool(each, path) for each, path in _items(data, "workerPools", ""))
    for name, count in Counter(pool.id for pool in pools).items():
        if count > 1:
            raise AnswerError(f"workerPools: the id {name!r} is there twice")
    return Snapshot(
        pools=pools,
        public_pool=_root(data, "publicWorkerPool", _public_pool),
        usage=_root(data, "usage", _usage),
        statistics=_root(data, "metrics", _statistics),
    )


def schedulable_of(data: Json) -> Mapping[str, int]:
    """Read how many runs need a worker now, by pool id; raises AnswerError."""
    return {
        _text(each, "id", path): _integer(each, "schedulableRunsCount", path)
        for each, path in _items(data, "workerPools", "")
    }


def waiting_of(data: Json) -> Waiting:
    """Read how many runs wait for a person; raises AnswerError."""

    def counted(name: str) -> Callable[[Json, str], int]:
        return lambda found, path: sum(1 for _ in _items(found, name, path))

    return Waiting(
        public_schedulable=_root(
            data, "publicWorkerPool", lambda found, path: _integer(found, "schedulableRunsCount", path)
        ),
        needing_approval=_root(data, "metrics", counted("needsApprovalRuns")),
        requiring_attention=_root(data, "metrics", counted("runsRequiringAttention")),
    )


def _pool(found: Json, path: str) -> Pool:
    drained = [_boolean(worker, "drained", place) for worker, place in _items(found, "workers", path)]
    return Pool(
        id=_text(found, "id", path),
        name=_text(found, "name", path),
        pending_runs=_integer(found, "pendingRuns", path),
        busy_workers=_integer(found, "busyWorkers", path),
        workers=len(drained),
        drained=sum(drained),
    )


def _public_pool(found: Json, path: str) -> PublicPool:
    return PublicPool(
        parallelism=_integer(found, "parallelism", path),
        busy_workers=_integer(found, "busyWorkers", path),
        pending_runs=_integer(found, "pendingRuns", path),
    )


def _usage(found: Json, path: str) -> Usage:
    return Usage(
        period_start=_integer(found, "billingPeriodStart", path),
        period_end=_integer(found, "billingPeriodEnd", path),
        private_minutes=_integer(found, "usedPrivateMinutes", path),
        public_minutes=_integer(found, "usedPublicMinutes", path),
        seats=_integer(found, "usedSeats", path),
    )


def _statistics(found: Json, path: str) -> Statistics:
    return Statistics(
        stacks_by_state=_by_label(found, "stacksCountByState", path),
        resources_by_drift=_by_label(found, "resourcesCountByDrift", path),
        average_stack_size=_first(found, "avgStackSizeByResourceCount", path),
        average_run_duration=_first(found, "averageRunDuration", path),
        median_run_duration=_first(found, "medianRunDuration", path),
    )


def _by_label(found: Json, name: str, path: str) -> Mapping[str, float]:
    """Return points by their first label; those without one say nothing of what they count."""
    values: dict[str, float] = {}
    for point, place in _points(found, name, path):
        labels = point.get("labels")
        if not labels:
            continue
        if not isinstance(labels, list) or not isinstance(labels[0], str):
            raise AnswerError(f"{place}.labels: expected texts")
        if labels[0] in values:
            raise AnswerError(f"{path}.{name}: the label {labels[0]!r} is there twice")
        values[labels[0]] = _number(point, "value", place)
    return values


def _first(found: Json, name: str, path: str) -> float | None:
    for point, place in _points(found, name, path):
        return _number(point, "value", place)
    return None


def _points(found: Json, name: str, path: str) -> Iterator[tuple[Json, str]]:
    """Return data points. Nothing is scaled by them, so a list or a value that is null only leaves a series out."""
    if found.get(name) is not None:
        yield from (each for each in _items(found, name, path) if each[0].get("value") is not None)


def _root(data: Json, name: str, read: Callable[[Json, str], _T]) -> _T | None:
    found = data.get(name)
    return None if found is None else read(_mapping(found, name), name)


def _items(found: Json, name: str, path: str) -> Iterator[tuple[Json, str]]:
    place = f"{path}.{name}" if path else name
    value = found.get(name)
    if not isinstance(value, list):
        raise AnswerError(f"{place}: expected a list, not {_kind(value)}")
    for index, each in enumerate(value):
        yield _mapping(each, f"{place}[{index}]"), f"{place}[{index}]"


def _mapping(value: object, place: str) -> Json:
    if not isinstance(value, dict):
        raise AnswerError(f"{place}: expected an object, not {_kind(value)}")
    return value


def _text(found: Json, name: str, path: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise AnswerError(f"{path}.{name}: expected a text, not {_kind(value)}")
    return value


def _integer(found: Json, name: str, path: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise AnswerError(f"{path}.{name}: expected an integer, not {_kind(value)}")
    return value


def _number(found: Json, name: str, path: str) -> float:
    value = found.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise AnswerError(f"{path}.{name}: expected a number, not {_kind(value)}")
    return float(value)


def _boolean(found: Json, name: str, path: str) -> bool:
    value = found.get(name)
    if not isinstance(value, bool):
        raise AnswerError(f"{path}.{name}: expected true or false, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if value is None:
        return "null or nothing"
    return {bool: "a boolean", int: "an integer", float: "a number", str: "a text", list: "a list"}.get(
        type(value), "an object"
    )
