"""The metrics, each with its name, its meaning and its bounded labels; read from the agent at each scrape.

The agent counts by plain names (``app.agent.runtime.Counters``) and knows nothing of Prometheus. A new metric is one
line in ``FAMILIES``; counts that no line names are not shown, so no label value comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from protocol.runs import Rejection, Result


@dataclass(frozen=True, slots=True)
class Family:
    """One counter: the agent counts it as `prefix` followed by the label's value, or as `prefix` alone.

    `name` is without the ``_total`` that every counter ends in.
    """

    name: str
    meaning: str
    prefix: str
    label: str = ""
    values: tuple[str, ...] = ("",)


FAMILIES: Final = (
    Family(
        "workerpool_orphans_swept",
        "Objects removed that served no attempt any more, by their kind.",
        "orphans_swept_",
        "kind",
        ("Secret", "Pod", "ControllerRevision"),
    ),
    Family(
        "workerpool_runs_finished",
        "Attempts that got their verdict, by its result.",
        "runs_",
        "result",
        tuple(each.value for each in Result),
    ),
    Family(
        "workerpool_runs_rejected",
        "Attempts that were refused, by the reason that the mothership was given.",
        "runs_rejected_",
        "reason",
        tuple(each.value for each in Rejection),
    ),
    Family(
        "workerpool_messages_dropped",
        "Messages of the mothership without an effect, by what was wrong with them.",
        "messages_dropped_",
        "kind",
        ("oversized", "not_json", "unknown_type", "invalid", "foreign_pool", "misplaced", "unexpected"),
    ),
    Family(
        "workerpool_write_conflicts",
        "Writes that were decided on an old view and had no effect; each was decided again.",
        "conflicts",
    ),
    Family("workerpool_mqtt_connections_lost", "Connections to brokers that broke.", "mqtt_connections_lost"),
    Family(
        "workerpool_mqtt_publish_refused",
        "Messages that a broker refused, or that it closed the connection for.",
        "mqtt_publish_refused",
    ),
    Family(
        "workerpool_mqtt_acknowledged_unhandled",
        "Messages acknowledged before their effect was stored, because the API server was away too long.",
        "mqtt_acknowledged_unhandled",
    ),
    Family(
        "workerpool_mqtt_messages_oversized",
        "Messages not sent because they are larger than the protocol allows.",
        "mqtt_messages_oversized",
    ),
)
"""Every counter that is shown."""


class Source(Protocol):
    """What the metrics are read from, at each scrape and in the scrape's thread."""

    def counts(self) -> Mapping[str, int]:
        """Return what was counted since the start, by name."""
        ...

    def runs_without_verdict(self) -> int:
        """Return how many attempts have been without a verdict for longer than their grace."""
        ...


def registry_of(source: Source) -> CollectorRegistry:
    """Return a registry of the operator's metrics and nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OperatorCollector(source))
    return registry


def exposition(registry: CollectorRegistry) -> str:
    """Return the metrics in Prometheus' text format."""
    return generate_latest(registry).decode("utf-8")


class _OperatorCollector(Collector):
    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        yield GaugeMetricFamily(
            "workerpool_runs_without_verdict",
            "Attempts whose Pod is gone, has ended, or never came, for longer than their grace without a verdict. "
            "Alert when above 0 for 5 minutes.",
            value=self._source.runs_without_verdict(),
        )
        yield from _counters(self._source.counts)


def _counters(counts: Callable[[], Mapping[str, int]]) -> Iterator[Metric]:
    found = counts()
    for family in FAMILIES:
        metric = CounterMetricFamily(
            family.name, family.meaning, labels=[family.label] if family.label else []
        )
        for value in family.values:
            metric.add_metric([value] if family.label else [], found.get(family.prefix + value, 0))
        yield metric
