"""What the fault suite stands on, on a real node: relays between its parts, and parts that stand still.

The suite itself runs there by `NODE=containerd python -m tests.faults --short`, in `make test-node`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import clusters
from devcluster.cluster import CONTAINERS, Cluster, Options
from devcluster.links import LINKS, SERVICE
from tests.e2e.conftest import GRACES, open_folder
from tests.e2e.harness import Journal, Pool, Shell, make_pool, remove_pool, until
from tests.faults import clients
from tests.faults.api_faults import ApiFaults, Call, Refusal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SLOW = 180.0
"""Seconds for what takes a few on an idle machine."""
KEPT = LINKS.keys() - {SERVICE, "launcher-mothership"}
"""Links whose clients always have a connection; the others connect when they have something to say."""


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of this machine that runs write their journals to."""
    return open_folder(tmp_path_factory, "outside")


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    outside: Path,
    means_at_hand: None,  # noqa: ARG001
) -> Iterator[Cluster]:
    """Start a cluster with a relay in each link."""
    options = Options(
        node=CONTAINERS,
        arguments={"operator": GRACES},
        allow_paths=(outside,),
        relays=frozenset({"all"}),
    )
    running = clusters.make(tmp_path_factory.mktemp("relays") / "c", options)
    try:
        running.up()
        yield running
    finally:
        running.down()


@pytest.fixture(scope="module")
def pool(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Return a pool of two workers."""
    shell = Shell({**os.environ, **cluster.env()})
    made = make_pool(shell, "relayed", tmp_path_factory.mktemp("pool"), 2)
    yield made
    remove_pool(made)


def test_no_link_goes_past_its_relay(cluster: Cluster, pool: Pool, outside: Path) -> None:
    """Every client that stays connected is seen; a run's launcher is while it runs, and finds the mothership again."""

    def connected() -> bool:
        return all(cluster.relays[link].connections for link in KEPT)

    until(connected, f"connections on {sorted(KEPT)}", SLOW)
    journal, gate = Journal(outside / "run.journal"), outside / "gate"
    run = pool.trigger(*journal.commands("run", f"while [ ! -e {gate} ]; do sleep 0.2; done"))
    link = cluster.relays["launcher-mothership"]
    until(lambda: journal.counts("start"), "the run began", SLOW)
    until(lambda: link.connections, "its launcher speaks to the mothership", SLOW)
    link.cut()
    until(lambda: not link.connections, "nobody does", SLOW)
    link.heal()
    gate.touch()
    pool.await_state(run, "succeeded", SLOW)
    journal.judge(["run"])


def test_hooks_are_called_through_their_relay(cluster: Cluster, pool: Pool) -> None:
    """While it swallows everything, what a user wants is asked and not made; once it is healed it is."""
    relay = cluster.relays[SERVICE]
    relay.reset()
    relay.blackhole()
    pool.scale(3)
    until(lambda: relay.connections, "what drives the hooks asks the operator", SLOW)
    assert len(pool.workers()) == 2
    relay.heal()
    pool.await_registered(3, SLOW)


def test_a_proxy_answers_the_operator_in_the_api_servers_place(cluster: Cluster, pool: Pool) -> None:
    """It listens where the parts are; with it gone the operator works on."""
    asked: list[Call] = []

    def refuse(call: Call) -> Refusal:
        asked.append(call)
        return Refusal(503)

    proxy, relay = ApiFaults(cluster, refuse), cluster.relays["operator-api"]
    straight = relay.backends
    proxy.start()
    try:
        relay.set_backends([proxy.address])
        relay.reset()
        until(lambda: len(asked) >= 3, "the operator asks", SLOW)
    finally:
        relay.set_backends(straight)
        relay.reset()
        proxy.close()
    pool.scale(2)
    pool.await_registered(2, SLOW)


def test_a_part_stands_still_and_goes_on(cluster: Cluster) -> None:
    """A frozen Deployment answers nothing, is known to run without the API server, and goes on as it was."""
    part, mothership = cluster.component("mothership"), clients.mothership(cluster)
    before = part.processes()
    part.freeze()
    try:
        with pytest.raises(clients.CallError):
            mothership.call("GET", "/v1/pools")
        cluster.component("kube-apiserver").kill(signal.SIGKILL)
        assert part.running
        cluster.component("kube-apiserver").start()
    finally:
        part.thaw()
    part.wait_ready()
    assert mothership.call("GET", "/v1/pools")
    assert part.processes() == before
    mothership.close()
