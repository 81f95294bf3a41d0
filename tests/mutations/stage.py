"""A whole way of runs in one process: real mothership, real agent, real hooks, and an API, a driver and a node in small.

Time is moved by hand, so an hour costs a moment. A scenario plays on a stage, and the judge says by what signs
something was wrong. Nothing is mocked that decides anything.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app import vocabulary as words
from app.cluster.resources import PODS, SECRETS, WORKERPOOLS, WORKERS, Resource
from protocol.messages import Message, RunScheduled, parse
from tests.mutations import signs
from tests.mutations.control import Broker, Control
from tests.mutations.driver import Driver, collect_garbage
from tests.mutations.judge import Judge
from tests.mutations.kubelet import Kubelet
from tests.mutations.operator import Crash, Operator
from tests.unit.agent import builders as a
from tests.unit.agent.world import FakeApi

Json = dict[str, Any]
ROUNDS = 60
"""Steps of all parts after which they must have come to rest."""


class Api(FakeApi):
    """An API server that says when it made an object, with a scheduler that knows one node."""

    def create(self, resource: Resource, namespace: str | None, body: Json, dry_run: bool = False) -> Json:
        """Create, with UID and time."""
        stamped = {**body, "metadata": {**body["metadata"], "creationTimestamp": "2026-01-01T00:00:05Z"}}
        if resource is PODS:
            stamped["spec"] = {**stamped["spec"], "nodeName": "node-1"}
        return super().create(resource, namespace, stamped, dry_run)


class Stage:
    """Everything, and one pool of `size` workers; `spec` are more fields of the WorkerPool."""

    def __init__(self, folder: Path, key: rsa.RSAPrivateKey) -> None:
        self.time = 1000.0
        self.api = Api()
        self.broker = Broker()
        self.control = Control(folder, key, self.broker)
        self.judge = Judge(self.api)
        self.driver = Driver(self.api, self.judge.dropping)
        self.kubelet = Kubelet(self.api, self.control.ask, lambda: self.time)
        self.expected: dict[str, set[str]] = {}
        self.harmless: set[str] = set()
        self._key = key
        self._secret = self._credentials()
        self.operators: list[Operator] = []
        self._heard = 0
        self._acked: dict[int, int] = {}
        self._sent: dict[tuple[int, int], Message] = {}

    # --- what scenarios do ---

    def up(self, size: int = 1, **spec: Any) -> None:  # noqa: ANN401 - fields of a WorkerPool's spec
        """Start everything; return when the workers are registered."""
        self.api.put(SECRETS, self._secret)
        self.api.put(WORKERPOOLS, a.pool_object(poolSize=size, **spec))
        self.start_operator()
        self.run(3)
        assert len(self.registered()) == size, "the pool didn't come up"

    def submit(self, *expected: str) -> str:
        """Trigger a run; `expected` are the verdicts that are true of it (default: succeeded)."""
        run = self.control.trigger()
        self.expected[run] = set(expected or ("succeeded",))
        return run

    def at_work(self, *expected: str) -> str:
        """Trigger a run and return when its command is executed."""
        run = self.submit(*expected)
        self.until(lambda: self.kubelet.at_work(run), "the run is at work")
        return run

    def done(self, run: str, code: int = 0) -> None:
        """Let the run's command end, and everything that follows."""
        self.kubelet.finish(run, code)
        self.run(3)

    def run(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass."""
        end = self.time + seconds
        self.rest()
        while self.time < end:
            passed = min(step, end - self.time)
            self.time += passed
            self.control.move(passed)
            for operator in self.operators:
                operator.pass_to(self.time)
            self.rest()

    def until(self, condition: Callable[[], object], what: str, seconds: float = 120) -> None:
        """Let time pass until the condition holds; a scenario that doesn't get there shows that a run is stuck."""
        end = self.time + seconds
        self.rest()
        while not condition():
            if self.time >= end:
                raise Stuck(f"never came: {what}")
            self.run(1)

    def rest(self) -> None:
        """Step all parts until none of them changes anything; what was woken for later waits."""
        for _ in range(ROUNDS):
            before = self._state()
            self._step()
            if self._state() == before:
                return
        raise Stuck("never came: rest")

    def _step(self) -> None:
        self.control.step()
        self._deliver()
        for operator in list(self.operators):
            with self._dying(operator):
                operator.step()
        self._listen()
        self.driver.step()
        collect_garbage(self.api)
        self.kubelet.step()
        self._watch()

    # --- faults ---

    def start_operator(self) -> Operator:
        """Start a process of the operator; messages go to the newest one."""
        operator = Operator(self._secret, self.api, self.broker, self.time)
        self.operators.append(operator)
        with self._dying(operator):
            operator.start()
        return operator

    @property
    def operator(self) -> Operator:
        """The newest process."""
        return self.operators[-1]

    def kill_operator(self) -> None:
        """Kill the newest process; the broker publishes its last will."""
        operator = self.operators.pop()
        operator.stop()
        settings = operator.link.settings
        self.broker.send_up(settings.will_topic, parse(settings.will_payload).message)

    def inject_down(self, message: Message, worker_ulid: str) -> None:
        """Have the broker deliver a message to a worker, whoever sent it."""
        self.broker.to_workers.append((worker_ulid, message))

    def inject_up(self, topic_like: Message, message: Message) -> None:
        """Have the broker deliver a message to the mothership, on the topic that `topic_like` came on."""
        topic = next(topic for topic, found in self.broker.up if found == topic_like)
        self.broker.to_mothership.append((topic, message))

    def remove(self, plural: str, name: str) -> None:
        """Take an object away by force, finalizers or not."""
        self.judge.by_force = True
        self.api.remove({"pods": PODS, "workers": WORKERS, "secrets": SECRETS}[plural], name)
        self.judge.by_force = False

    # --- what there is ---

    def workers(self) -> list[Json]:
        """Return the Workers."""
        return [found for (plural, _, _), found in self.api.objects.items() if plural == "workers"]

    def registered(self) -> list[Json]:
        """Return those that count as registered."""
        return [found for found in self.workers() if found.get("status", {}).get("registered")]

    def worker_of(self, run: str) -> Json:
        """Return the Worker that holds a run."""
        return next(found for found in self.workers() if (found["status"].get("run") or {}).get("id") == run)

    def phase(self, run: str) -> str:
        """Return the phase that some Worker's status has for a run, empty when none holds it."""
        runs = [found.get("status", {}).get("run") or {} for found in self.workers()]
        return next((found["phase"] for found in runs if found.get("id") == run), "")

    def pods(self) -> list[Json]:
        """Return the Pods."""
        return [found for (plural, _, _), found in self.api.objects.items() if plural == "pods"]

    def scheduled(self, run: str) -> RunScheduled:
        """Return the newest run_scheduled of a run."""
        return [m for _, m in self.broker.down if isinstance(m, RunScheduled) and m.run == run][-1]

    def pool(self) -> Json:
        """Return the WorkerPool."""
        return self.api.objects["workerpools", a.NAMESPACE, a.POOL]

    # --- the end ---

    def verdict(self) -> set[str]:
        """Let everything calm down, and return by what signs something was wrong."""
        self.run(5)
        self.run(300, step=20)
        for run, expected in self.expected.items():
            state = self.control.state(run)
            if state in ("queued", "assigned", "accepted", "started"):
                self.judge.signs.add(signs.NO_VERDICT)
            elif state not in expected:
                self.judge.signs.add(signs.UNTRUE_VERDICT)
        self._leftovers()
        return self.judge.signs - self.harmless

    def _leftovers(self) -> None:
        final = {
            run
            for run in self.expected
            if self.control.state(run) not in ("queued", "assigned", "accepted", "started")
        }
        kept = {name for found in self.workers() for name in found.get("status", {}).get("keptPods") or ()}
        for (plural, _, name), found in self.api.objects.items():
            ours = (found["metadata"].get("labels") or {}).get(words.RUN_LABEL) in final
            if plural == "secrets" and ours:
                self.judge.signs.add(signs.SECRET_LEFT)
            if plural == "pods" and ours and name not in kept:
                self.judge.signs.add(signs.POD_LEFT)
            busy = plural == "workers" and (found.get("status", {}).get("run") or {}).get("id") in final
            if busy or (plural in ("workers", "workerpools") and "deletionTimestamp" in found["metadata"]):
                self.judge.signs.add(signs.WORKER_STUCK)

    def _watch(self) -> None:
        """Look at starts and verdicts, as somebody who watches the runs' own doings."""
        for run in self.expected:
            starts = [start for start in self.kubelet.starts if start[0] == run]
            if len(starts) > 1:
                self.judge.signs.add(signs.SECOND_START)
            state = self.control.state(run) if self.kubelet.at_work(run) else ""
            if state and state not in ("started", "accepted", "assigned"):
                self.judge.signs.add(signs.VERDICT_WHILE_AT_WORK if state != "queued" else signs.SECOND_START)
        if self.kubelet.refused:
            self.judge.signs.add(signs.GHOST_AT_CLAIM)
        serving = [
            each
            for each in self.registered()
            if not each["spec"].get("draining") and "deletionTimestamp" not in each["metadata"]
        ]
        size = self.api.objects.get(
            ("workerpools", a.NAMESPACE, a.POOL), {"spec": {"poolSize": len(serving)}}
        )["spec"]["poolSize"]
        if len([each for each in serving if not each["status"].get("run")]) > size:
            self.judge.signs.add(signs.TOO_MANY_REGISTERED)

    # --- the wires ---

    def _deliver(self) -> None:
        if not self.operators:
            return
        waiting, self.broker.to_workers = self.broker.to_workers, []
        for worker, message in waiting:
            if isinstance(message, RunScheduled):
                self.judge.assigned.setdefault((message.run, message.sequence), message.worker_uid)
            ready = [each for each in self.operators if each.links and each.link.state.ready]
            if not ready:
                self.broker.to_workers.append((worker, message))
                continue
            number = ready[-1].receive(worker, message)
            self._sent[id(ready[-1].link), number] = message
            self._listen_acks(ready[-1])

    def _listen(self) -> None:
        for operator in self.operators:
            self._listen_acks(operator)
        for _, message in self.broker.up[self._heard :]:
            self.judge.said(message)
        self._heard = len(self.broker.up)

    def _listen_acks(self, operator: Operator) -> None:
        for link in operator.links:
            done = self._acked.get(id(link), 0)
            for number in link.acked[done:]:
                message = self._sent.get((id(link), number))
                if message is not None:
                    unsent = [found for _, found in link.published]
                    self.judge.acknowledged(message, [found for _, found in self.broker.up] + unsent)
            self._acked[id(link)] = len(link.acked)

    @contextlib.contextmanager
    def _dying(self, operator: Operator) -> Iterator[None]:
        try:
            yield
        except Crash:
            operator.stop()
            self.operators.remove(operator)

    def _state(self) -> tuple[object, ...]:
        return (
            self.api.version,
            len(self.broker.up),
            len(self.broker.down),
            len(self.broker.to_workers) if self.operators else 0,
            tuple(box.state for box in self.kubelet.sandboxes.values()),
            tuple(len(each.woken) for each in self.operators),
            any(when <= each.time for each in self.operators for when in each.woken.values()),
            any(each.pools_woken for each in self.operators),
        )

    def _credentials(self) -> Json:
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        token = self.control.mothership.token.encode()
        values = {"token": token, "privateKey": base64.b64encode(pem).decode()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": a.NAMESPACE, "name": "creds", "uid": "creds-uid"},
            "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()},
        }

    def close(self) -> None:
        """End it."""
        self.control.close()


class Stuck(Exception):  # noqa: N818 - not an error of the scenario
    """A scenario waited for something that doesn't come; it is told by what."""
