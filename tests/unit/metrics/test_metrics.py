"""The metrics are served over HTTP, with bounded labels, as the agent counted them."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Mapping
from typing import Any, cast

import pytest

from app.agent.agent import Agent
from app.assembly import Operator, metrics_of
from app.metrics.exposition import exposition, registry_of
from app.metrics.server import MetricsServer
from app.settings import Address, parse


class Figures:
    """An agent's figures."""

    def __init__(self, late: int = 0, **counts: int) -> None:
        self.late, self.found = late, counts

    def counts(self) -> Mapping[str, int]:
        """Return the counts."""
        return self.found

    def runs_without_verdict(self) -> int:
        """Return the gauge."""
        return self.late


def samples(figures: Figures) -> dict[str, float]:
    """Return each sample's value by its name with labels."""
    lines = exposition(registry_of(figures)).splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_runs_without_verdict_and_orphans_have_the_documented_names() -> None:
    """Alerts are written against these names; what never happened is 0, not absent."""
    found = samples(Figures(late=3, orphans_swept_Secret=2))
    assert found["workerpool_runs_without_verdict"] == 3
    assert found['workerpool_orphans_swept_total{kind="Secret"}'] == 2
    assert found['workerpool_orphans_swept_total{kind="Pod"}'] == 0
    assert found['workerpool_orphans_swept_total{kind="ControllerRevision"}'] == 0


def test_counts_without_a_line_in_the_table_are_not_shown() -> None:
    """No label value comes from outside."""
    assert samples(Figures(messages_dropped_evil=1, orphans_swept_Node=1)) == samples(Figures())


def test_the_same_count_may_have_two_meanings_but_one_name() -> None:
    """`runs_` is the prefix of `runs_rejected_`, too: neither swallows the other."""
    found = samples(Figures(runs_failed=4, runs_rejected_busy=5))
    assert found['workerpool_runs_finished_total{result="failed"}'] == 4
    assert found['workerpool_runs_rejected_total{reason="busy"}'] == 5


def test_metrics_are_served_and_the_server_leaves_nothing() -> None:
    """A scrape is one GET; after the stop port and thread are free."""
    before = threading.active_count()
    server = MetricsServer(Address("127.0.0.1", 0), registry_of(Figures(late=1)))
    server.start()
    port = server.port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        body = answer.read().decode()
    assert "workerpool_runs_without_verdict 1.0" in body
    server.stop()
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_an_address_that_is_taken_stops_nothing_else() -> None:
    """Runs matter more than their figures."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = MetricsServer(Address("127.0.0.1", taken.getsockname()[1]), registry_of(Figures()))
        server.start()
        assert server.port == 0
        server.stop()


@pytest.mark.parametrize(
    ("arguments", "served"),
    [
        ([], False),
        (["--metrics-bind-address=127.0.0.1:0"], False),
        (["--metrics-bind-address=127.0.0.1:0", "--metrics-secure=false"], True),
        (["--metrics-bind-address=0", "--metrics-secure=false"], False),
    ],
)
def test_metrics_are_served_only_where_asked_for_in_plain(arguments: list[str], served: bool) -> None:
    """Who asks for secure serving must not get an open port instead."""
    agent = cast("Agent", Figures())
    assert (metrics_of(parse(arguments, {}), agent) is not None) is served


class Part:
    """A part of the operator that notes what it is told."""

    def __init__(self, said: list[str], name: str) -> None:
        self._said, self._name = said, name

    def start(self) -> None:
        """Note it."""
        self._said.append(f"start {self._name}")

    def stop(self, _deadline: float = 0.0) -> None:
        """Note it."""
        self._said.append(f"stop {self._name}")

    def close(self) -> None:
        """Note it."""
        self._said.append(f"close {self._name}")


def test_the_operator_serves_metrics_for_as_long_as_it_runs() -> None:
    """They start with the agent, and end with it."""
    said: list[str] = []
    api, events, agent, metrics = (
        cast("Any", Part(said, name)) for name in ("api", "events", "agent", "metrics")
    )
    operator = Operator(api, events, agent, cast("Any", None), metrics)
    operator.start()
    operator.stop(5.0)
    assert said == [
        "start events",
        "start agent",
        "start metrics",
        "stop metrics",
        "stop agent",
        "stop events",
        "close api",
    ]
