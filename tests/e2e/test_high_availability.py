"""Two replicas of the operator share the pools: one dies, goes, sleeps or is replaced, and every run runs once.

Who serves a pool is read from the replicas' own logs: a pool's connection has the pool object's UID as its client id.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from devcluster import clusters
from devcluster.cluster import Cluster, Options
from devcluster.operator import NAMESPACE
from tests.e2e.audited import standing
from tests.e2e.harness import PATIENCE, Journal, Pool, Shell, make_pool, until

pytestmark = pytest.mark.timeout(600)
REPLICAS = ("operator", "operator-2")
POOLS = ("alpha", "bravo", "delta")
DURATION = 15.0
GAP = 20.0
"""Seconds within which the last run of a rolling replacement has to be done; a lease that had to end takes longer."""


@dataclass(frozen=True)
class Pair:
    """A cluster with two replicas, and the pools in it."""

    cluster: Cluster
    shell: Shell
    pools: list[Pool]

    def lines(self, replica: str, event: str) -> list[dict[str, Any]]:
        """Return the lines of a replica's log about an event."""
        log = self.cluster.component(replica).log_path.read_text().splitlines()
        return [json.loads(line) for line in log if f'"{event}"' in line]

    def connections(self) -> list[tuple[float, str, str]]:
        """Return (time, replica, pool) of every connection that was made so far, oldest first."""
        uids = {str(pool.object()["metadata"]["uid"]): pool.name for pool in self.pools}
        return sorted(
            (stamp(line), replica, uids[line["client"]])
            for replica in REPLICAS
            for line in self.lines(replica, "mqtt_connected")
            if line["client"] in uids
        )

    def holders(self) -> dict[str, str]:
        """Return which replica connected last for each pool."""
        return {pool: replica for _, replica, pool in self.connections()}

    def held_by(self, replica: str) -> set[str]:
        """Return the pools whose last connection is the replica's."""
        return {pool for pool, holder in self.holders().items() if holder == replica}

    def await_shared(self) -> None:
        """Wait until both replicas are ready and each pool is where it belongs, which is the same at any time."""
        until(lambda: all(self.ready(replica) for replica in REPLICAS), "both replicas are ready")
        until(lambda: all(self.serves(replica) for replica in REPLICAS), "every pool is connected")

    def ready(self, replica: str) -> bool:
        """Return whether a replica runs and says that it is ready."""
        component = self.cluster.component(replica)
        return component.running and component.program.ready()

    def serves(self, replica: str) -> bool:
        """Return whether a replica shares with the other one, with every pool of its own connected."""
        checks = self.checks(replica)
        first, _, all_of_them = checks["pools_connected"].partition(" of ")
        return "shares with operator" in checks["replicas"] and first == all_of_them != "0"

    def checks(self, replica: str) -> dict[str, str]:
        """Return what a replica's readiness probe says."""
        port = self.cluster.site.ports[f"{replica}-health"]
        answer = json.loads(self.shell.run("curl", "-s", f"http://127.0.0.1:{port}/readyz"))
        return dict(answer["checks"])

    def trigger(self, journal: Journal, label: str, work: str = "sleep 0.2") -> dict[str, tuple[Pool, str]]:
        """Trigger a run on every pool; return pool and run by the run's name in the journal."""
        names = {f"{label}-{pool.name}": pool for pool in self.pools}
        with ThreadPoolExecutor() as threads:
            runs = threads.map(lambda name: names[name].trigger(*journal.commands(name, work)), names)
            return {name: (names[name], run) for name, run in zip(names, runs, strict=True)}


def stamp(line: dict[str, Any]) -> float:
    """Return the time of a log line in seconds."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def settle(runs: dict[str, tuple[Pool, str]], seconds: float = 120) -> None:
    """Wait until every run has succeeded."""
    for pool, run in runs.values():
        pool.await_state(run, "succeeded", seconds)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Iterator[Pair]:
    """Start a cluster with two replicas and three pools of two workers."""
    folder = tmp_path_factory.mktemp("pair")
    options = Options(allow_paths=(outside,), replicas=2, audit=True)
    with standing(clusters.make(folder / "c", options)) as running:
        shell = Shell({**os.environ, **running.env()})
        pools = [make_pool(shell, name, folder, size=2) for name in POOLS]
        yield Pair(running, shell, pools)


@pytest.fixture(autouse=True)
def shared(pair: Pair) -> Iterator[None]:
    """Begin each test with both replicas at work, and revive what a test left."""
    yield
    for replica in REPLICAS:
        component = pair.cluster.component(replica)
        if component.running:
            component.thaw()
        else:
            component.start()
    pair.await_shared()


def test_pools_are_divided_and_served(pair: Pair, journal: Journal) -> None:
    """Each replica holds some; one Lease each says who is there."""
    pair.await_shared()
    assert all(pair.held_by(replica) for replica in REPLICAS)
    runs = pair.trigger(journal, "shared")
    settle(runs)
    journal.judge(list(runs))
    leases = pair.shell.items("leases", "-n", NAMESPACE, "-l", "workers.spacelift.io/replica=true")
    assert {lease["metadata"]["name"] for lease in leases} == {
        f"workerpool-replica-{replica}" for replica in REPLICAS
    }


def test_idle_costs_one_write_for_each_replica_and_renewal(pair: Pair) -> None:
    """Twenty seconds in which nothing happens: Leases change every five, and nothing else of ours does."""
    pair.await_shared()

    def versions(*kinds: str) -> dict[str, str]:
        found = pair.shell.items(",".join(kinds), "-A")
        return {
            f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
            for each in found
        }

    kinds = ("workerpools", "workers", "pods", "controllerrevisions", "secrets", "events")
    before, writes = versions(*kinds), lease_writes(pair, 20.0)
    assert versions(*kinds) == before
    for replica in REPLICAS:
        assert writes[f"workerpool-replica-{replica}"] in (3, 4, 5), writes
    assert set(writes) == {f"workerpool-replica-{replica}" for replica in REPLICAS}


def lease_writes(pair: Pair, seconds: float) -> Counter[str]:
    """Return how often each Lease of the operator's namespace changed."""
    known: dict[str, str] = {}
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for lease in pair.shell.items("leases", "-n", NAMESPACE):
            name, version = lease["metadata"]["name"], lease["metadata"]["resourceVersion"]
            counts[name] += known.get(name, version) != version
            known[name] = version
        time.sleep(0.2)
    return counts


def move(pair: Pair, replica: str, how: Callable[[], None]) -> dict[str, float]:
    """Let a replica go away; return after how many seconds the other one had each of its pools."""
    pair.await_shared()
    (other,) = set(REPLICAS) - {replica}
    lost = pair.held_by(replica)
    assert lost
    began = time.time()
    how()
    until(lambda: lost <= pair.held_by(other), f"{other} has taken over {lost}", DURATION + 15)
    return {
        pool: when - began
        for when, holder, pool in pair.connections()
        if when > began and holder == other and pool in lost
    }


def test_a_killed_replicas_pools_are_served_within_its_leases_duration(pair: Pair, journal: Journal) -> None:
    """Kill -9 with runs in flight: they are finished by the other one, and new ones are run."""
    runs = pair.trigger(journal, "before", "sleep 3")
    until(lambda: len(journal.counts("start")) >= len(POOLS), "runs are in flight", 60)
    component = pair.cluster.component("operator-2")
    took = move(pair, "operator-2", lambda: component.kill(signal.SIGKILL))
    assert max(took.values()) < DURATION + 3, took
    runs |= pair.trigger(journal, "after")
    settle(runs)
    journal.judge(list(runs))


def test_a_replica_that_is_told_to_go_hands_over_at_once(pair: Pair, journal: Journal) -> None:
    """SIGTERM: its pools are connected again by the other within two seconds of the signal, long before a Lease ends."""
    runs = pair.trigger(journal, "before", "sleep 3")
    until(lambda: len(journal.counts("start")) >= len(POOLS), "runs are in flight", 60)
    took = move(pair, "operator", pair.cluster.component("operator").stop)
    assert max(took.values()) < 2 * PATIENCE, took
    runs |= pair.trigger(journal, "after")
    settle(runs)
    journal.judge(list(runs))


def test_a_replica_that_slept_does_no_harm_when_it_wakes(pair: Pair, journal: Journal) -> None:
    """SIGSTOP for longer than a Lease is good for: no run twice, and every pool moves there and back only."""
    pair.await_shared()
    before, known = pair.holders(), len(pair.connections())
    runs = pair.trigger(journal, "before", "sleep 3")
    until(lambda: len(journal.counts("start")) >= len(POOLS), "runs are in flight", 60)
    component = pair.cluster.component("operator")
    # Arbiter and worker, as a paused virtual machine would have it.
    component.freeze()
    asleep = time.monotonic()
    runs |= pair.trigger(journal, "asleep")
    until(lambda: pair.held_by("operator-2") == set(POOLS), "the other one has them all", DURATION + 15)
    time.sleep(max(25 - (time.monotonic() - asleep), 0))
    component.thaw()
    runs |= pair.trigger(journal, "awake")
    until(lambda: pair.holders() == before, "pools are where they were", 40)
    settle(runs)
    pair.await_shared()
    time.sleep(5)
    journal.judge(list(runs))
    moved = Counter(pool for _, _, pool in pair.connections()[known:])
    assert all(moved[pool] <= (2 if holder == "operator" else 0) for pool, holder in before.items()), moved


def test_replacing_one_after_the_other_under_load_is_not_noticed(pair: Pair, journal: Journal) -> None:
    """A rolling update: runs are triggered all the time, each runs once, and none waits for long."""
    runs: dict[str, tuple[Pool, str]] = {}
    pair.await_shared()
    for replica in REPLICAS:
        component = pair.cluster.component(replica)
        component.stop()
        runs |= pair.trigger(journal, f"without-{replica}")
        component.start()
        runs |= pair.trigger(journal, f"with-{replica}")
    settle(runs, GAP)
    journal.judge(list(runs))
