"""Pools that come and go between replicas: what the agent does, and leaves, when a pool isn't its own."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from app.agent.agent import Agent
from app.agent.guard import Guard, GuardedApi, GuardedEvents, LostPoolError
from app.agent.inbox import Letter
from app.agent.link import AckToken, ConnectionState
from app.agent.ownership import Everything, LeaseKeeper
from app.agent.runtime import AgentSettings
from app.agent.session import Session
from app.assembly import assemble, replica_name, sharing_of
from app.cluster.client import KubernetesApi
from app.cluster.errors import ConfigurationError
from app.cluster.resources import PODS, SECRETS, WORKERPOOLS, WORKERS
from app.settings import parse
from protocol.messages import Inventory, RunFinished
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import claim, finish, to_running
from tests.unit.agent.world import FakeApi, World

KEY = (a.NAMESPACE, a.POOL)


def changed(world: World, *, mine: bool) -> None:
    """Have the pool change hands, as the agent learns of it."""
    world.mine = mine
    world.pools.release()
    world.pools_woken.add(KEY)
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()


def test_a_pool_of_another_replica_is_left_alone(world: World) -> None:
    """Nothing is opened, written or told, whatever changes in it."""
    world.mine = False
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object())
    world.api.put(WORKERS, a.worker_object(status=a.busy_status("Running")))
    world.settle()
    assert world.links == []
    assert world.api.calls == []
    assert world.events == []


def test_a_lost_pools_session_ends_at_once_and_a_pool_that_comes_is_taken_up(world: World) -> None:
    """With a session of its own, and an inventory: what the former owner said may be lost."""
    link = world.up(a.worker_object())
    changed(world, mine=False)
    assert link.stopped
    assert world.pools.session(KEY) is None
    assert world.pools.known() == []
    world.api.calls.clear()
    changed(world, mine=True)
    assert len(world.links) == 2
    world.link.connect(session_present=True)
    world.settle()
    assert [type(each) for _, each in world.link.published if isinstance(each, Inventory)] == [Inventory]


def test_nothing_is_published_for_a_pool_that_is_not_ours(world: World) -> None:
    """Not even by a thread that holds the session already."""
    link = world.up(a.worker_object())
    session = world.pools.session(KEY)
    assert session is not None
    world.mine = False
    assert (
        session.publish(a.WORKER_ULID, "x", Inventory(pool_uid="u", replica="r", part=1, parts=1, workers=()))
        is False
    )
    assert link.published == []


def test_a_session_that_was_opened_while_the_pool_was_lost_is_closed(world: World) -> None:
    """The pool changes hands while its Secret is being read: nothing connects."""
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object())

    def lose(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("get", "secrets"):
            world.mine = False
            world.pools.release()

    world.api.fail = lose
    world.work.on_pool(KEY)
    assert world.links == []
    assert world.pools.sessions() == []


def test_a_session_of_a_released_pool_never_stays_open(world: World) -> None:
    """Lost and regained while its Secret was being read: the session of the old state ends, a new one is opened."""
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object())

    def lose(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("get", "secrets"):
            world.mine = False
            world.pools.release()
            world.mine = True

    world.api.fail = lose
    world.work.on_pool(KEY)
    assert [link.stopped for link in world.links] == [True]
    assert world.pools.sessions() == []
    world.api.fail = lambda *_: None
    world.work.on_pool(KEY)
    assert [link.stopped for link in world.links] == [True, False]


def test_a_claim_that_was_begun_before_the_pool_was_lost_is_not_recorded(
    world: World, material: Material
) -> None:
    """Lost between Secret and patch: nothing more is written, said or acknowledged; the next owner gets the message.

    The Secret that is left is replaced when that one claims, or deleted by its name when it can't.
    """
    link = world.up(a.worker_object())

    def lose(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("create", "secrets"):
            world.mine = False

    world.api.fail = lose
    claim(world, material)
    assert "run" not in world.status()
    assert (link.acked, link.take(), len(world.inbox)) == ([], [], 0)
    assert world.api.count("patch", "workers") == 0
    assert len(world.secrets()) == 1
    world.api.fail = lambda *_: None
    changed(world, mine=False)
    changed(world, mine=True)
    world.link.connect()
    claim(world, material)
    assert world.status()["run"]["phase"] == "Scheduled"
    assert len(world.secrets()) == 1


def test_what_was_remembered_of_a_worker_is_forgotten_with_its_pool(world: World, material: Material) -> None:
    """Another replica worked on it meanwhile: what this one sent then is sent again when it comes back."""
    world.up(a.worker_object())
    to_running(world, material)
    changed(world, mine=False)
    assert world.engine._memories == {}
    changed(world, mine=True)
    world.link.connect()
    world.settle()
    finish(world)
    assert [type(each) for each in world.link.take() if isinstance(each, RunFinished)] == [RunFinished]


def test_a_guarded_thread_reads_and_writes_nothing_for_a_lost_pool() -> None:
    """Reads go through; each kind of write is refused; a thread that works on no pool may write."""
    owned = True
    api, told = FakeApi(), list[str]()

    class Events:
        def emit(self, reference_object: a.Json, type: str, reason: str, message: str) -> None:  # noqa: A002, ARG002
            told.append(reason)

    guard = Guard(lambda _pool: owned)
    guarded, events = GuardedApi(api, guard), GuardedEvents(Events(), guard)
    pod = {"metadata": {"name": "p", "namespace": a.NAMESPACE}}
    with guard.working_on(KEY):
        guarded.create(PODS, a.NAMESPACE, pod)
        events.emit(pod, "Normal", "Before", "")
        owned = False
        assert guarded.get(PODS, a.NAMESPACE, "p")["metadata"]["name"] == "p"
        assert guarded.list(PODS, a.NAMESPACE, "").items == []
        events.emit(pod, "Normal", "After", "")
        writes: list[Callable[[], object]] = [
            lambda: guarded.create(PODS, a.NAMESPACE, pod),
            lambda: guarded.merge_patch(PODS, a.NAMESPACE, "p", {}),
            lambda: guarded.delete(PODS, a.NAMESPACE, "p"),
        ]
        for write in writes:
            with pytest.raises(LostPoolError):
                write()
        with guard.working_on(("other", "pool")):
            pass
        assert not guard.allowed()
    guarded.delete(PODS, a.NAMESPACE, "p")
    assert told == ["Before"]


class Shares(Everything):
    """An ownership that the test moves; it notes what it is asked."""

    def __init__(self, calls: list[str]) -> None:
        self.calls, self.mine = calls, True

    def start(self, changed: Callable[[], None], fit: Callable[[], bool]) -> None:  # noqa: ARG002
        """Note it."""
        self.calls.append("start")

    def owns(self, pool: tuple[str, str]) -> bool:  # noqa: ARG002
        """Say what the test says."""
        return self.mine

    def reconsider(self) -> None:
        """Note it."""
        self.calls.append("reconsider")

    def stop(self, deadline: float) -> bool:  # noqa: ARG002
        """Note it."""
        self.calls.append("lease")
        return True


class Ending:
    """A session, or anything else, that notes when it is ended."""

    def __init__(self, name: str, calls: list[str], *, taken_over: bool = False) -> None:
        self._name, self._calls = name, calls
        self.state = ConnectionState(taken_over=taken_over)
        self.pool_key = KEY

    def stop(self, deadline: float) -> bool:  # noqa: ARG002
        """Note it."""
        self._calls.append(self._name)
        return True


def agent_of(ownership: Everything) -> Agent:
    """Return an agent that has no cluster."""
    api = KubernetesApi(cast("Any", None))
    return Agent(
        api, World({}), lambda *_: None, AgentSettings(replica="r", version="1"), ownership=ownership
    )


def test_the_agent_says_goodbye_before_its_lease_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes over must not meet our sessions; the watches end last."""
    calls: list[str] = []
    agent = agent_of(Shares(calls))
    monkeypatch.setattr(agent._pools, "sessions", lambda: [Ending("session", calls)])
    monkeypatch.setattr(agent, "_informers", (Ending("informer", calls),))
    assert agent.stop(5)
    assert calls == ["session", "lease", "informer"]


def test_a_session_that_another_client_took_makes_the_agent_look_at_the_leases() -> None:
    """An ordinary loss says nothing about who owns the pool (fact 10)."""
    calls: list[str] = []
    agent = agent_of(Shares(calls))
    agent.on_session_lost(cast("Session", Ending("s", calls)))
    assert calls == []
    agent.on_session_lost(cast("Session", Ending("s", calls, taken_over=True)))
    assert calls == ["reconsider"]


def test_lost_pools_are_released_before_anything_else_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sessions don't wait for the queues, whose threads may hang in calls to the API server."""
    calls: list[str] = []
    agent = agent_of(Shares(calls))
    monkeypatch.setattr(agent._pools, "release", lambda: calls.append("release"))
    monkeypatch.setattr(agent, "_resync", lambda: calls.append("resync"))
    agent._ownership_changed()
    assert calls == ["release", "resync"]


def test_a_replica_takes_no_pools_before_it_knows_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose pools it takes stops working on them at once; complete caches come first."""
    calls: list[str] = []
    agent = agent_of(Shares(calls))
    cache = SimpleNamespace(synced=False)
    monkeypatch.setattr(agent, "_informers", (cache,))
    for check in ("_check_schema", "_check_version"):
        monkeypatch.setattr(agent, check, lambda: 60.0)
    monkeypatch.setattr(agent, "_sweep", lambda: None)
    keeping = threading.Thread(target=agent._keep)
    keeping.start()
    try:
        keeping.join(0.2)
        assert calls == []
        cache.synced = True
        deadline = time.monotonic() + 5
        while not calls and time.monotonic() < deadline:
            keeping.join(0.01)
        assert calls == ["start"]
    finally:
        agent._stopping.set()
        keeping.join(5)
        for queue in (agent._queue, agent._pool_queue):
            queue.stop(5)


def test_draining_is_told_by_one_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every replica's watch shows the change."""
    shares = Shares([])
    agent = agent_of(shares)
    told: list[str] = []
    monkeypatch.setattr(agent._cluster.events, "emit", lambda *event: told.append(event[2]))
    busy = a.worker_object(status=a.busy_status("Running"))
    draining = a.worker_object(status=a.busy_status("Running"), draining=True)
    shares.mine = False
    agent._worker_changed("MODIFIED", busy, draining)
    assert told == []
    shares.mine = True
    agent._worker_changed("MODIFIED", draining, busy)
    assert told == ["WorkerUndrained"]


def test_letters_of_a_lost_pool_go_back_to_the_broker(world: World) -> None:
    """Unacknowledged, they come again to whoever owns the pool; and nothing is kept of them."""
    world.up(a.worker_object())
    acknowledged: list[AckToken] = []
    key = (a.NAMESPACE, a.WORKER_NAME)
    world.inbox.put(
        key, Letter(b"{}", "uid", a.POOL, a.WORKER_ULID, lambda: acknowledged.append(AckToken(1, 1)))
    )
    world.mine = False
    world.work.on_worker(key)
    assert len(world.inbox) == 0
    assert acknowledged == []


def test_a_worker_that_is_gone_belongs_to_the_pool_in_its_name(world: World) -> None:
    """Messages for it must be answered by the pool's owner, and by nobody else."""
    asked: list[tuple[str, str]] = []
    world.work._guard.owns = lambda pool: not asked.append(pool)  # type: ignore[func-returns-value]
    world.work.on_worker((a.NAMESPACE, f"my-pool-{a.WORKER_ULID.lower()}"))
    assert asked[0] == (a.NAMESPACE, "my-pool")


def write_kubeconfig(folder: Path) -> str:
    """Write a kubeconfig of a cluster that isn't there, and return its path."""
    cluster = {"server": "http://127.0.0.1:9"}
    body = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(body))
    return str(path)


@pytest.mark.parametrize(("flags", "kind"), [([], Everything), (["--leader-elect"], LeaseKeeper)])
def test_leader_election_is_what_the_flag_says(tmp_path: Path, flags: list[str], kind: type) -> None:
    """Without it one replica owns everything and no Lease is written."""
    settings = parse([f"--kubeconfig={write_kubeconfig(tmp_path)}", *flags], {})
    operator = assemble(settings)
    assert isinstance(cast("Any", operator)._agent._ownership, kind)
    with pytest.raises(ConfigurationError):
        sharing_of(parse(["--kubeconfig=/nowhere"], {}), "one")


@pytest.mark.parametrize(
    ("host", "name"),
    [("operator-abc12", "operator-abc12"), ("My_Machine.local", "my-machine-local"), ("", "operator")],
)
def test_a_replica_is_named_after_its_host(monkeypatch: pytest.MonkeyPatch, host: str, name: str) -> None:
    """In letters that an object's name may have."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert replica_name() == name
