"""A node in small: the processes of run Pods, which live on when nobody sees them.

`init` asks the real mothership for the start, with the token of the Pod's Secret. What happens to a Pod's object and to
its processes are two things: `cut_off` is a node that the API server doesn't reach, `alone` one that reaches nobody.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.cluster.errors import ApiError
from app.cluster.resources import PODS
from tests.unit.agent import builders as a
from tests.unit.agent.world import FakeApi

Json = dict[str, Any]
Ask = Callable[[str, int, str, str, Json], tuple[int, Json]]
"""Calls the mothership: run, sequence, call, token, body; returns the HTTP status and the answer."""

LOST_AFTER = 120.0
"""Seconds after which an executor that can't renew its lease stops its run (fence 7)."""


@dataclass(slots=True)
class Sandbox:
    """The processes of one Pod: `state` is created, asking, working or ended."""

    uid: str
    name: str
    namespace: str
    run: str
    sequence: int
    secret: str
    state: str = "created"
    token: str = ""
    code: int = 0
    renewed: float = 0.0


class Kubelet:
    """Starts what is bound to its node, ends what is deleted, reports what it may."""

    def __init__(self, api: FakeApi, ask: Ask, clock: Callable[[], float]) -> None:
        self._api, self._ask, self._clock = api, ask, clock
        self.sandboxes: dict[str, Sandbox] = {}
        self.starts: list[tuple[str, int, str, float]] = []
        self.refused: list[str] = []
        self.holding = False
        self.cut_off: set[str] = set()
        self.alone: set[str] = set()
        self.lose_answers = 0

    def step(self) -> None:
        """Bring every sandbox forward once."""
        for pod in self._pods():
            uid = pod["metadata"]["uid"]
            if uid not in self.sandboxes and "deletionTimestamp" not in pod["metadata"]:
                self.sandboxes[uid] = _sandbox(pod)
        for box in list(self.sandboxes.values()):
            self._follow(box)
            if box.state == "created" and not self.holding:
                self._mount(box)
            if box.state == "asking":
                self._claim(box)
            if box.state == "working":
                self._renew(box)

    def at_work(self, run: str) -> list[Sandbox]:
        """Return the Pods in which the run is executed now."""
        return [box for box in self.sandboxes.values() if box.run == run and box.state == "working"]

    def of(self, run: str) -> Sandbox:
        """Return the newest Pod of a run."""
        return [box for box in self.sandboxes.values() if box.run == run][-1]

    def finish(self, run: str, code: int = 0, *, report: bool = True) -> None:
        """Let the run's command end; launcher-grpc reports it unless it can't."""
        for box in self.at_work(run):
            if report and box.uid not in self.alone:
                self._ask(
                    box.run, box.sequence, "result", box.token, {"outcome": _outcome(code), "phases": []}
                )
            self._end(box, code)

    def evict(self, run: str) -> None:
        """Kill a Pod's containers as an eviction does, whether they have begun or not."""
        self._end(self.of(run), 137, "Evicted")

    def _follow(self, box: Sandbox) -> None:
        pod = self._pod(box)
        gone = pod is None or "deletionTimestamp" in pod["metadata"]
        if gone and box.state != "ended" and box.uid not in self.cut_off | self.alone:
            self._end(box, 143)

    def _mount(self, box: Sandbox) -> None:
        secret = self._api.objects.get(("secrets", box.namespace, box.secret))
        if secret is not None:
            box.token = base64.b64decode(secret["data"]["run-token"]).decode()
            box.state = "asking"

    def _claim(self, box: Sandbox) -> None:
        if box.uid in self.alone:
            return
        status, _ = self._ask(box.run, box.sequence, "claim", box.token, {"podUID": box.uid})
        if status == 200 and self.lose_answers:
            self.lose_answers -= 1
            return
        if status == 200:
            box.state, box.renewed = "working", self._clock()
            self.starts.append((box.run, box.sequence, box.uid, self._clock()))
            self._report(
                box, "Running", a.running("worker"), a.running("launcher-grpc"), init=a.ended("init")
            )
        elif status in (401, 403, 409):
            self.refused.append(box.uid)
            box.state, box.code = "ended", 1
            self._report(
                box, "Failed", a.waiting("worker"), a.waiting("launcher-grpc"), init=a.ended("init", 1)
            )

    def _renew(self, box: Sandbox) -> None:
        if box.uid in self.alone:
            if self._clock() - box.renewed > LOST_AFTER:
                self._end(box, 19)
            return
        if self._clock() - box.renewed < 10:
            return
        status, answer = self._ask(box.run, box.sequence, "lease", box.token, {})
        if status == 200:
            box.renewed = self._clock()
        if status == 200 and answer["action"] != "continue":
            self._end(box, 143)

    def _end(self, box: Sandbox, code: int, why: str = "") -> None:
        began = box.state == "working"
        box.state, box.code = "ended", code
        phase = "Succeeded" if code == 0 else "Failed"
        if began:
            self._report(box, phase, a.ended("worker", code), a.ended("launcher-grpc"), init=a.ended("init"))
        else:
            self._report(box, phase, reason=why)

    def _report(self, box: Sandbox, phase: str, *containers: Json, **changes: Any) -> None:  # noqa: ANN401
        if box.uid in self.cut_off | self.alone or self._pod(box) is None:
            return
        status = a.pod_object(*containers, phase=phase, **changes)["status"]
        try:
            self._api.merge_patch(PODS, box.namespace, box.name, {"status": status}, "status")
        except ApiError:
            return

    def _pod(self, box: Sandbox) -> Json | None:
        found = self._api.objects.get(("pods", box.namespace, box.name))
        return found if found is not None and found["metadata"]["uid"] == box.uid else None

    def _pods(self) -> list[Json]:
        return [found for (plural, _, _), found in self._api.objects.items() if plural == "pods"]


def _sandbox(pod: Json) -> Sandbox:
    metadata = pod["metadata"]
    labels = metadata["labels"]
    return Sandbox(
        uid=metadata["uid"],
        name=metadata["name"],
        namespace=metadata["namespace"],
        run=labels["workers.spacelift.io/run-id"],
        sequence=int(labels["workers.spacelift.io/sequence"]),
        secret=metadata["name"],
    )


def _outcome(code: int) -> Json:
    result, reason = ("succeeded", "Completed") if code == 0 else ("failed", "NonZeroExit")
    return {"result": result, "reason": reason, "message": "", "exitCodes": {"worker": code}}
