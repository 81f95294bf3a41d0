"""What scenarios share: looking things up, making messages, and failing calls."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from app import vocabulary as words
from app.cluster.errors import Unavailable
from app.cluster.resources import PODS, WORKERPOOLS, WORKERS
from protocol.messages import (
    Message,
)
from tests.mutations.operator import Crash
from tests.mutations.stage import Stage
from tests.unit.agent import builders as a

Json = dict[str, Any]
M = TypeVar("M", bound=Message)


def ulid(stage: Stage) -> str:
    """Return the ULID of the only Worker."""
    (worker,) = stage.workers()
    ulid: str = worker["metadata"]["labels"][words.ULID_LABEL]
    return ulid


def pod(stage: Stage, run: str) -> str:
    """Return the name of a run's newest Pod."""
    return (
        stage.kubelet.of(run).name
        if any(box.run == run for box in stage.kubelet.sandboxes.values())
        else pod_name(run)
    )


def pod_name(run: str) -> str:
    """Return the name of the Pod of a run's first attempt."""
    return f"{run.lower()}-preparing-2"


def sequence(stage: Stage, run: str) -> int:
    """Return the sequence that a Worker holds of a run."""
    return int(stage.worker_of(run)["status"]["run"]["sequence"])


def scheduled_view(stage: Stage) -> Callable[[], dict[str, Json]]:
    """Return what gives the Workers as they were when the first run was just recorded."""
    kept: dict[str, Json] = {}

    def watch(resource: Any, _old: Json | None, new: Json | None) -> None:  # noqa: ANN401 - a resource
        run = ((new or {}).get("status") or {}).get("run") or {}
        if resource is WORKERS and new is not None and run.get("phase") == "Scheduled" and not kept:
            kept[new["metadata"]["name"]] = copy.deepcopy(new)

    stage.api.watchers.append(watch)
    return lambda: kept


def mount_from_cache(stage: Stage, secret: Json) -> None:
    """Let Pods start that wait for a Secret which is gone: their kubelet still has it."""
    name = secret["metadata"]["name"]
    before = stage.api.objects.get(("secrets", a.NAMESPACE, name))
    stage.api.objects["secrets", a.NAMESPACE, name] = secret
    stage.kubelet.step()
    if before is None:
        del stage.api.objects["secrets", a.NAMESPACE, name]


def scale(stage: Stage, size: int) -> None:
    """Run kubectl scale."""
    pool = copy.deepcopy(stage.pool())
    pool["spec"]["poolSize"] = size
    stage.api.put(WORKERPOOLS, pool)


def add_worker(stage: Stage, sequence: int, *, managed: bool = False) -> None:
    """Make a Worker as a driver with an old list would."""
    worker = copy.deepcopy(stage.workers()[0])
    ulid = f"0000000000{sequence:016d}"
    worker["metadata"] |= {
        "name": f"{a.POOL}-{ulid}",
        "uid": f"surplus-{sequence}",
        "finalizers": [words.WORKER_FINALIZER] if managed else [],
        "labels": {**worker["metadata"]["labels"], words.ULID_LABEL: ulid},
    }
    worker |= {"spec": {"sequence": sequence, "draining": False}, "status": {}}
    stage.api.put(WORKERS, worker)


def said(stage: Stage, kind: type[M]) -> M:
    """Return the last message of a kind that the operator sent."""
    return [message for _, message in stage.broker.up if isinstance(message, kind)][-1]


def of_attempt(kind: Any, stage: Stage, run: str) -> Message:  # noqa: ANN401 - a kind of message
    """Return a message of the mothership about a run's newest attempt."""
    scheduled = stage.scheduled(run)
    known = {each.name for each in fields(kind)}
    more = {"stage": scheduled.stage} if "stage" in known else {}
    found: Message = kind(
        worker_uid=scheduled.worker_uid,
        pool_uid=scheduled.pool_uid,
        run=run,
        sequence=scheduled.sequence,
        **more,
    )
    return found


def run_that_hears(kind: Any, stage: Stage) -> None:  # noqa: ANN401 - a kind of message
    """Let a message of the mothership come for a run that is at work, and bring the run to its end."""
    run = stage.at_work()
    stage.inject_down(of_attempt(kind, stage, run), ulid(stage))
    stage.run(5)
    stage.done(run)


def run_beside_an_old_list(stage: Stage) -> None:
    """Let a driver fall back onto the idle Workers of now while a run is at work, and bring the run to its end."""
    idle = stage.driver.snapshot("workers")
    run = stage.at_work()
    stage.driver.fall_back("workers", idle)
    stage.run(10)
    stage.driver.frozen.clear()
    stage.done(run)


def unavailable(plural: str, verb: str) -> Callable[[str, str, str], None]:
    """Return what makes one kind of call fail, as while the API server is away."""

    def before(called: str, kind: str, _name: str) -> None:
        if (called, kind) == (verb, plural):
            raise Unavailable("the API server is away", status=503)

    return before


def kill_after(stage: Stage, verb: str, plural: str) -> None:
    """Kill the operator right after its next call of that kind."""

    def after(called: str, kind: str, _name: str) -> None:
        if (called, kind) == (verb, plural):
            raise Crash

    stage.operator.hands.after = after


def kill_at_write(number: int) -> Callable[[str, str, str], None]:
    """Kill the process before its write of that number, counted from now."""
    left = [number]

    def before(called: str, _kind: str, _name: str) -> None:
        if called in ("create", "merge_patch", "delete"):
            if left[0] == 0:
                raise Crash
            left[0] -= 1

    return before


def once_before_finalizer(stage: Stage, run: str) -> Callable[[str, str, str], None]:
    """Have somebody put a finalizer on the Pod just before ours is taken off, once."""
    done: list[bool] = []

    def before(called: str, kind: str, name: str) -> None:
        if (called, kind, name) == ("merge_patch", "pods", pod_name(run)) and not done:
            done.append(True)
            pod = copy.deepcopy(stage.api.objects["pods", a.NAMESPACE, name])
            pod["metadata"]["finalizers"].append("example.com/hold")
            stage.api.put(PODS, pod)

    return before


def first_attempt_is_over(stage: Stage, run: str) -> bool:
    """Tell whether the run has its verdict, or was queued again."""
    return (
        stage.control.state(run) in ("failed", "queued") or stage.phase(run) == "" or sequence(stage, run) > 2
    )


def let_it_end(stage: Stage, run: str) -> None:
    """Let a run that was queued again come to its end."""
    if stage.control.state(run) == "failed":
        return
    stage.until(lambda: stage.kubelet.at_work(run), "the next attempt is at work", 300)
    stage.done(run)
