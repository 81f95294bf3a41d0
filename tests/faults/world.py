"""What a scenario acts on: the cluster's parts and links, the pool, the load."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from devcluster.cluster import Cluster
from devcluster.processes import Component
from devcluster.relay import Relay
from tests.e2e.harness import Pool, Shell
from tests.faults import leaks
from tests.faults.api_faults import ApiFaults, Rule
from tests.faults.clients import MERGE_PATCH, CallError, JsonClient
from tests.faults.journal import Journal
from tests.faults.load import Load
from tests.faults.wire import Hear, Wire

NAMESPACE = "default"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
WORKERS = f"{leaks.GROUP}/namespaces/{NAMESPACE}/workers"
POLL = 0.05


class World:
    """One scenario's world."""

    def __init__(
        self,
        cluster: Cluster,
        clients: tuple[JsonClient, JsonClient],
        shell: Shell,
        load: Load,
        journal: Journal,
        pool: Pool,
        seed: str,
        patience: float = 1.0,
    ) -> None:
        self.cluster, self.shell, self.load, self.journal, self.pool = cluster, shell, load, journal, pool
        self.api, self.mothership = clients
        self.seed = seed
        self.patience = patience
        """How many times as long as on the process node everything may take."""
        self.random = random.Random(seed)  # noqa: S311 - has to repeat itself
        self.round = 0
        """Which injection this is, from 0."""
        self.notes: list[str] = []
        """What scenarios that choose at random chose."""
        self.undo: list[Callable[[], None]] = []
        """What `mend` calls after the last round, latest first: for faults that outlive an injection."""

    # --- parts

    def kill(self, part: str) -> None:
        """Kill -9 a part with all its processes."""
        self._part(part).kill(signal.SIGKILL)

    def start(self, part: str) -> None:
        """Start a part and wait until it is ready."""
        self._part(part).start()

    def crash(self, part: str, down: float = 0.0) -> None:
        """Kill -9 a part and start it again, after so many seconds of absence."""
        self.kill(part)
        self.wait(down)
        self.start(part)

    def stop(self, part: str) -> None:
        """Ask a part to end and wait for it."""
        self._part(part).stop()

    def freeze(self, part: str) -> None:
        """Stop every process of a part where it is (SIGSTOP): it holds all it has and does nothing."""
        self._part(part).freeze()

    def thaw(self, part: str) -> None:
        """Let a frozen part go on, without its knowing that time has passed."""
        self._part(part).thaw()

    def pause(self, part: str, seconds: float) -> None:
        """Freeze a part for so long."""
        self.freeze(part)
        self.wait(seconds)
        self.thaw(part)

    def empty_broker(self) -> None:
        """Kill the broker and start it without anything it had stored: sessions, queued messages, subscriptions."""
        self.kill("mosquitto")
        store = self.cluster.site.root / "broker" / "data"
        for path in store.iterdir():
            path.unlink()
        self.start("mosquitto")

    # --- links

    def link(self, name: str) -> Relay:
        """Return the relay in a link (devcluster/links.py names them)."""
        return self.cluster.relays[name]

    @contextlib.contextmanager
    def cut(self, name: str) -> Iterator[None]:
        """Refuse and reset a link's connections meanwhile."""
        with self._healed(name):
            self.link(name).cut()
            yield

    @contextlib.contextmanager
    def silenced(self, name: str) -> Iterator[None]:
        """Let a link's connections stand half-open meanwhile."""
        with self._healed(name):
            self.link(name).blackhole()
            yield

    @contextlib.contextmanager
    def delayed(self, name: str, seconds: float) -> Iterator[None]:
        """Delay everything on a link meanwhile, in each direction."""
        with self._healed(name):
            self.link(name).delay(seconds)
            yield

    @contextlib.contextmanager
    def api_answers(self, link: str, rule: Rule) -> Iterator[ApiFaults]:
        """Let a proxy that follows a rule stand between a part and the API server meanwhile."""
        relay = self.link(link)
        straight = relay.backends
        proxy = ApiFaults(self.cluster, rule)
        proxy.start()
        try:
            relay.set_backends([proxy.address])
            relay.reset()
            yield proxy
        finally:
            relay.set_backends(straight)
            relay.reset()
            proxy.close()

    @contextlib.contextmanager
    def overheard(self, hear: Hear) -> Iterator[Wire]:
        """Hear the pool's messages meanwhile, and publish what `hear` answers."""
        wire = Wire(self.cluster, self.pool, hear)
        try:
            yield wire
        finally:
            wire.close()

    # --- waiting

    def wait(self, seconds: float) -> None:
        """Let the fault last so long."""
        time.sleep(seconds)

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:  # noqa: ANN401 - as given
        """Return the condition's first true value; fail, saying what was awaited, after so many seconds of patience."""
        seconds *= self.patience
        deadline = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except CallError as error:
                last = error
            time.sleep(POLL)
        raise AssertionError(f"not within {seconds:.0f} s: {what}" + (f" ({last})" if last else ""))

    def await_started(self, runs: int, seconds: float = 90.0) -> None:
        """Wait until so many runs have begun."""
        self.until(lambda: len(self.journal.read().starts) >= runs, f"{runs} runs have begun", seconds)

    def await_phase(self, phase: str, seconds: float = 30.0) -> dict[str, Any]:
        """Return a Worker whose run is in a phase, once there is one."""

        def found() -> dict[str, Any] | None:
            return next((worker for worker in self.workers() if phase_of(worker) == phase), None)

        worker: dict[str, Any] = self.until(found, f"a Worker is in {phase}", seconds)
        return worker

    # --- objects

    def workers(self) -> list[dict[str, Any]]:
        """Return the pool's Workers."""
        return leaks.workers(self.api, self.pool.ulid)

    def pods(self) -> list[dict[str, Any]]:
        """Return the pool's run Pods."""
        return leaks.pods(self.api, self.pool.ulid)

    def delete(self, path: str, name: str, grace: int | None = None) -> bool:
        """Delete an object; return whether the API did: one that is gone already is no error."""
        query = {} if grace is None else {"gracePeriodSeconds": str(grace)}
        return self._done("DELETE", f"{path}/{name}", None, query)

    def evict(self, pod: str) -> bool:
        """Evict a Pod through the API, as a drained node does; return whether the API did."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": NAMESPACE},
        }
        return self._done("POST", f"{PODS}/{pod}/eviction", body)

    def strike(self, phase: str, act: Callable[[str], bool], seconds: float = 30.0) -> str:
        """Do something to a Pod whose run is in a phase, again until the API did it; return the Pod's name."""

        def struck() -> str | None:
            found = (pod_of(worker) for worker in self.workers() if phase_of(worker) == phase)
            return next((pod for pod in found if act(pod)), None)

        pod: str = self.until(struck, f"a Pod of a run in {phase} is met", seconds)
        return pod

    def patch(self, path: str, body: object) -> None:
        """Merge a patch into an object."""
        self.api.call("PATCH", path, body, content_type=MERGE_PATCH)

    # --- for the suite

    def note(self, text: str) -> None:
        """Remember what was done, to be told with a failure."""
        self.notes.append(f"round {self.round + 1}: {text}")

    def close(self) -> None:
        """Trigger no more and close the connections of the suite."""
        self.load.abandon()
        for client in (self.api, self.mothership):
            client.close()

    def mend(self) -> None:
        """End every fault: undo what was left, heal links, continue and start parts."""
        while self.undo:
            self.undo.pop()()
        for relay in self.cluster.relays.values():
            relay.heal()
        for name, part in self.cluster.components.items():
            if part.running:
                self.thaw(name)
        for part in self.cluster.components.values():
            if not part.running:
                part.start(wait=False)
        for part in self.cluster.components.values():
            part.wait_ready()

    def _done(self, method: str, path: str, body: object, query: dict[str, str] | None = None) -> bool:
        try:
            self.api.call(method, path, body, query=query)
        except CallError:
            return False
        return True

    def _part(self, name: str) -> Component:
        return self.cluster.component(name)

    @contextlib.contextmanager
    def _healed(self, name: str) -> Iterator[None]:
        try:
            yield
        finally:
            self.link(name).heal()


def phase_of(worker: dict[str, Any]) -> str | None:
    """Return the phase of a Worker's run, None while it is idle."""
    phase: str | None = worker.get("status", {}).get("run", {}).get("phase")
    return phase


def pod_of(worker: dict[str, Any]) -> str:
    """Return the name that the Pod of a Worker's run has."""
    run = worker["status"]["run"]
    return f"{run['id'].lower()}-{run['stage']}-{run['sequence']}"
