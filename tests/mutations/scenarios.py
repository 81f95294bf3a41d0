"""What goes wrong around runs, one thing at a time. Without a mutation none of these shows any sign.

Each scenario is named after what happens. The last line of each is the calm after it: the judge looks at what is left.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from app import vocabulary as words
from app.cluster.errors import Unavailable
from app.cluster.resources import PODS, SECRETS, WORKERPOOLS, WORKERS
from protocol.messages import (
    Inventory,
    Message,
    RunAccepted,
    RunCanceled,
    RunFinished,
    RunPod,
    RunRejected,
    RunReleased,
    RunScheduled,
    Unregister,
)
from protocol.runs import Outcome, Reason, Rejection, Result
from tests.mutations import signs
from tests.mutations.driver import FOREGROUND
from tests.mutations.operator import Crash
from tests.mutations.stage import Stage
from tests.unit.agent import builders as a

Json = dict[str, Any]
M = TypeVar("M", bound=Message)


def two_runs(stage: Stage) -> None:
    """Two runs, one after the other."""
    stage.up()
    stage.done(stage.at_work())
    stage.done(stage.at_work("failed"), code=3)


def replayed_schedule(stage: Stage) -> None:
    """The broker delivers an old run_scheduled again, long after its run."""
    stage.up()
    run = stage.at_work()
    stage.done(run)
    stage.inject_down(stage.scheduled(run), _ulid(stage))
    stage.run(30)


def replay_beside_a_run(stage: Stage) -> None:
    """A process was stopped with an old run_scheduled in its hands, and goes on while the next run is at work."""
    stage.up()
    sleeper = stage.operator
    sleeper.caches["workers"].frozen = True
    letter_at, stage.operators = len(stage.operators), []
    stage.start_operator()
    run = stage.at_work()
    stage.done(run)
    second = stage.at_work()
    # The one that slept still believes in the Worker as it was before both runs.
    stage.operators.insert(letter_at - 1, sleeper)
    sleeper.time = stage.time
    sleeper.receive(_ulid(stage), stage.scheduled(run))
    stage.rest()
    sleeper.stop()
    stage.operators.remove(sleeper)
    stage.done(second)


def pod_gone_by_force(stage: Stage) -> None:
    """Somebody takes the Pod of a run at work away, finalizer and all; its processes end with it."""
    stage.up()
    run = stage.at_work("lost", "failed")
    stage.remove("pods", _pod(stage, run))
    stage.run(400, step=10)


def ended_pod_collected(stage: Stage) -> None:
    """While no operator runs, a run ends and its Pod is garbage-collected."""
    stage.up()
    run = stage.at_work()
    stage.kill_operator()
    # On its way out the launcher couldn't report: the Pod is the only evidence.
    stage.kubelet.finish(run, report=False)
    stage.api.delete(PODS, a.NAMESPACE, _pod(stage, run))
    stage.run(10)
    stage.start_operator()


def ghost(stage: Stage) -> None:
    """A driver falls back onto an old Worker list and makes the Pod again, after the run and its Pod are gone."""
    stage.harmless |= {signs.SECOND_POD}
    stage.up()
    old = _scheduled_view(stage)
    run = stage.at_work()
    stage.done(run)
    assert stage.pods() == []
    stage.driver.fall_back("workers", old())
    stage.run(30)
    stage.driver.frozen.clear()
    stage.run(10)


def ghost_beside_the_next_attempt(stage: Stage) -> None:
    """The first Pod is evicted before its start; a ghost of it asks for the start while the next attempt is at work."""
    stage.harmless |= {signs.SECOND_POD, signs.GHOST_AT_CLAIM}
    stage.up()
    old = _scheduled_view(stage)
    stage.kubelet.holding = True
    run = stage.submit()
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    secret = stage.api.objects["secrets", a.NAMESPACE, _pod(stage, run)]
    stage.kubelet.evict(run)
    stage.until(lambda: not stage.phase(run) or _sequence(stage, run) > 2, "the first attempt is over")
    stage.kubelet.holding = False
    stage.until(lambda: stage.kubelet.at_work(run), "the next attempt is at work", 300)
    # The kubelet still has the Secret of the first attempt, as kubelets do.
    stage.driver.fall_back("workers", old())
    stage.driver.step()
    _mount_from_cache(stage, secret)
    stage.run(5)
    stage.driver.frozen.clear()
    stage.done(run)
    stage.run(10)


def ghost_beside_a_partitioned_pod(stage: Stage) -> None:
    """A node loses the API server, its Pod is removed by force and made again elsewhere while the first one works on."""
    stage.harmless |= {signs.SECOND_POD, signs.GHOST_AT_CLAIM}
    stage.up()
    old = _scheduled_view(stage)
    run = stage.at_work("succeeded", "lost", "failed")
    stage.kubelet.cut_off.add(stage.kubelet.of(run).uid)
    stage.kill_operator()
    stage.remove("pods", _pod(stage, run))
    stage.driver.fall_back("workers", old())
    stage.run(10)
    stage.driver.frozen.clear()
    stage.kubelet.finish(run)
    stage.start_operator()
    stage.run(400, step=10)


def second_pod_reported(stage: Stage) -> None:
    """As before, and a process that saw only the second Pod reports that one."""
    stage.harmless |= {signs.SECOND_POD, signs.GHOST_AT_CLAIM}
    stage.up()
    old = _scheduled_view(stage)
    run = stage.at_work("succeeded", "lost", "failed")
    first = stage.kubelet.of(run).uid
    stage.kubelet.cut_off.add(first)
    stage.kill_operator()
    stage.remove("pods", _pod(stage, run))
    stage.driver.fall_back("workers", old())
    stage.kubelet.holding = True
    stage.driver.step()
    reported = _said(stage, RunPod)
    (second,) = (pod["metadata"]["uid"] for pod in stage.pods())
    stage.inject_up(reported, _with(reported, pod_uid=second))
    stage.kubelet.holding = False
    stage.run(10)
    stage.driver.frozen.clear()
    stage.kubelet.finish(run)
    stage.start_operator()
    stage.run(400, step=10)


def two_pods_before_the_report(stage: Stage) -> None:
    """Two Pods of one attempt ask for the start before the operator has said which is the one."""
    stage.harmless |= {signs.SECOND_POD, signs.GHOST_AT_CLAIM}
    stage.up()
    run = stage.submit()
    _kill_after(stage, "merge_patch", "workers")
    stage.rest()
    stage.run(1)
    first = stage.kubelet.of(run)
    stage.kubelet.cut_off.add(first.uid)
    stage.remove("pods", first.name)
    stage.run(2)
    stage.start_operator()
    stage.run(5)
    stage.done(run)


def grant_answer_lost(stage: Stage) -> None:
    """The answer to the start claim is lost; `init` asks again."""
    stage.up()
    stage.kubelet.lose_answers = 1
    stage.done(stage.at_work())


def cancel_between_look_and_grant(stage: Stage) -> None:
    """A user cancels in the instant between the look at the attempt and the grant's transaction."""
    stage.harmless |= {signs.GHOST_AT_CLAIM}
    stage.up()
    stage.kubelet.holding = True
    run = stage.submit("canceled")
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    database = stage.control.mothership.database
    honest = database.write

    def write(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - as the database's
        if more.get("durable") and stage.control.state(run) != "canceled":
            stage.control.stop(run)
        return honest(*args, **more)

    database.write = write  # type: ignore[method-assign]
    stage.kubelet.holding = False
    stage.run(10)


def long_run(stage: Stage) -> None:
    """A run works for longer than any start may take."""
    stage.up()
    run = stage.at_work()
    stage.run(1200, step=10)
    stage.done(run)


def partition(stage: Stage) -> None:
    """A node is cut off from everything; the run stops itself before anybody calls it lost."""
    stage.up()
    run = stage.at_work("lost", "failed")
    uid = stage.kubelet.of(run).uid
    stage.kubelet.alone.add(uid)
    stage.run(240, step=5)
    stage.kubelet.alone.clear()
    stage.remove("pods", _pod(stage, run))
    stage.run(300, step=10)


def partition_and_pod_removed(stage: Stage) -> None:
    """A node is cut off from the API server, and the Pod's object is removed by force while the run works on."""
    stage.up()
    run = stage.at_work("lost", "stopped", "failed")
    stage.kubelet.cut_off.add(stage.kubelet.of(run).uid)
    stage.remove("pods", _pod(stage, run))
    stage.run(60, step=2)
    stage.kubelet.finish(run)
    stage.run(300, step=10)


def released_lost_for_hours(stage: Stage) -> None:
    """The operator is away when a run ends, and comes back when the mothership has forgotten it; an inventory is lost."""
    stage.up()
    run = stage.at_work()
    stage.operator.hands.before = _unavailable("workers", "merge_patch")
    stage.kubelet.finish(run)
    stage.kill_operator()
    stage.run(2 * 3600, step=30)
    stage.broker.loses = lambda message: isinstance(message, Inventory)
    stage.start_operator()
    stage.run(600, step=10)


def released_while_running(stage: Stage) -> None:
    """A run_released comes for a run that is at work."""
    stage.up()
    run = stage.at_work()
    stage.inject_down(_of_attempt(RunReleased, stage, run), _ulid(stage))
    stage.run(5)
    stage.done(run)


def canceled_while_running(stage: Stage) -> None:
    """A run_canceled comes for a run that is at work: the cancel and the grant crossed."""
    stage.up()
    run = stage.at_work()
    stage.inject_down(_of_attempt(RunCanceled, stage, run), _ulid(stage))
    stage.run(5)
    stage.done(run)


def cancels_lost(stage: Stage) -> None:
    """The first cancels are lost, and so is every inventory."""
    stage.up()
    stage.kubelet.holding = True
    run = stage.submit("canceled")
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    until = stage.time + 10
    stage.broker.loses = lambda m: (
        isinstance(m, Inventory) or (isinstance(m, RunCanceled) and stage.time < until)
    )
    stage.control.stop(run)
    stage.run(60)
    stage.kubelet.holding = False


def first_of_each_lost(stage: Stage) -> None:
    """The first message of every kind about the run is lost, in both directions, and so is every inventory."""
    stage.up()
    seen: set[type[Message]] = set()

    def loses(message: Message) -> bool:
        first = isinstance(message, RunScheduled | RunPod | RunFinished | RunReleased | RunAccepted)
        first = first and type(message) not in seen
        seen.add(type(message))
        return first or isinstance(message, Inventory)

    stage.broker.loses = loses
    run = stage.at_work()
    stage.kubelet.finish(run)
    stage.until(lambda: stage.phase(run) == "", "the Worker is free again", 300)


def worker_gone_by_force(stage: Stage) -> None:
    """Somebody takes an idle Worker away by force; the mothership gives it the next run."""
    stage.up(2)
    newest = max(stage.workers(), key=lambda found: str(found["spec"]["sequence"]))
    stage.driver.off = True
    _scale(stage, 1)
    stage.remove("workers", newest["metadata"]["name"])
    stage.driver.off = False
    stage.done(stage.at_work())


def foreign_schedule(stage: Stage) -> None:
    """Another cluster holds the same token; a run_scheduled for its pool object comes here."""
    stage.up()
    run = stage.at_work()
    stage.judge.foreign_pools.add("another-clusters-pool")
    message = _with(
        stage.scheduled(run), pool_uid="another-clusters-pool", worker_uid="another-clusters-worker"
    )
    stage.inject_down(message, _ulid(stage))
    stage.run(5)
    stage.done(run)


def old_pod_list(stage: Stage) -> None:
    """The operator restarts onto a Pod list from before the run's Pod."""
    stage.up()
    run = stage.at_work()
    stage.kill_operator()
    operator = stage.start_operator()
    operator.caches["pods"].found.clear()
    operator.roster._pods.clear()
    operator.woken[a.NAMESPACE, stage.worker_of(run)["metadata"]["name"]] = stage.time
    stage.run(10)
    stage.done(run)


def old_worker_list(stage: Stage) -> None:
    """A driver falls back onto the list of Workers from before the claim."""
    stage.up()
    idle = stage.driver.snapshot("workers")
    run = stage.at_work()
    stage.driver.fall_back("workers", idle)
    stage.run(10)
    stage.driver.frozen.clear()
    stage.done(run)


def old_worker_list_after_a_run(stage: Stage) -> None:
    """The same, with a Worker that had a run before."""
    stage.up()
    stage.done(stage.at_work())
    idle = stage.driver.snapshot("workers")
    run = stage.at_work()
    stage.driver.fall_back("workers", idle)
    stage.run(10)
    stage.driver.frozen.clear()
    stage.done(run)


def unreadable_status(stage: Stage) -> None:
    """A newer version wrote a phase that this one doesn't know, while the run is at work."""
    stage.up()
    run = stage.at_work()
    worker = stage.worker_of(run)
    strange = copy.deepcopy(worker)
    strange["status"]["run"]["phase"] = "Pausing"
    stage.api.put(WORKERS, strange)
    stage.run(10)
    again = copy.deepcopy(stage.api.objects["workers", a.NAMESPACE, worker["metadata"]["name"]])
    again["status"] |= {"run": worker["status"]["run"], "assignment": worker["status"]["assignment"]}
    stage.api.put(WORKERS, again)
    stage.done(run)


def secret_gone_before_the_pod(stage: Stage) -> None:
    """A claim's Secret is deleted before there is a Pod, and there never is one."""
    stage.up()
    stage.driver.off = True
    run = stage.submit("failed")
    stage.until(lambda: stage.phase(run) == "Scheduled", "the run is claimed")
    stage.remove("secrets", stage.worker_of(run)["status"]["run"]["secretName"])
    stage.run(60)
    assert stage.control.state(run) in ("failed", "queued", "accepted", "assigned")
    stage.driver.off = False


def secret_gone_before_the_start(stage: Stage) -> None:
    """A claim's Secret is deleted when there is a Pod that hasn't mounted it: the Pod waits for ever."""
    stage.up()
    stage.kubelet.holding = True
    run = stage.submit("failed")
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    stage.remove("secrets", _pod(stage, run))
    stage.kubelet.holding = False
    stage.run(120)


def late_rejection(stage: Stage) -> None:
    """A rejection that was long on its way comes after the grant."""
    stage.up()
    run = stage.at_work()
    said = _said(stage, RunAccepted)
    rejected = RunRejected(
        worker_uid=said.worker_uid,
        pool_uid=said.pool_uid,
        run=said.run,
        stage=said.stage,
        sequence=said.sequence,
        assignment=said.assignment,
        reason=Rejection.BUSY,
        message="",
    )
    stage.inject_up(said, rejected)
    stage.run(15)
    stage.done(run)


def unregistered_while_running(stage: Stage) -> None:
    """The mothership hears that a Worker is no more while its run is at work."""
    stage.up(2)
    run = stage.at_work()
    said = _said(stage, RunAccepted)
    stage.inject_up(said, Unregister(worker_uid=said.worker_uid, pool_uid=said.pool_uid))
    stage.run(15)
    stage.done(run)
    stage.run(300, step=10)


def evicted_before_the_start(stage: Stage) -> None:
    """A Pod is evicted before its start: nothing was done, so the run is scheduled again by itself."""
    stage.up()
    stage.kubelet.holding = True
    run = stage.submit()
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    stage.kubelet.evict(run)
    stage.run(5)
    stage.kubelet.holding = False
    stage.until(lambda: stage.kubelet.at_work(run), "the next attempt is at work", 300)
    stage.done(run)


def evicted_at_work(stage: Stage) -> None:
    """A Pod is evicted at work: the run is never executed again by itself."""
    stage.up()
    run = stage.at_work("failed", "lost")
    stage.kubelet.evict(run)
    stage.run(60)


def deleted_worker_is_given_a_run(stage: Stage) -> None:
    """A Worker is deleted in the instant in which it is given a run."""
    stage.up(2)
    stage.driver.off = True
    newest = max(stage.workers(), key=lambda found: str(found["spec"]["sequence"]))
    stage.broker.loses = lambda message: isinstance(message, Unregister)
    stage.operator.caches["workers"].frozen = False
    run = stage.submit()
    stage.control.step()
    stage.api.delete(WORKERS, a.NAMESPACE, newest["metadata"]["name"])
    stage.run(3)
    stage.driver.off = False
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work", 300)
    stage.done(run)


def worker_without_finalizer(stage: Stage) -> None:
    """The driver hasn't put its finalizer on a Worker yet, which somebody deletes."""
    stage.up(1)
    stage.driver.off = True
    _add_worker(stage, 7)
    _scale(stage, 2)
    stage.run(5)
    run = stage.submit()
    stage.run(5)
    bare = next(found for found in stage.workers() if found["spec"]["sequence"] == 7)
    stage.api.delete(WORKERS, a.NAMESPACE, bare["metadata"]["name"])
    stage.driver.off = False
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work", 300)
    stage.done(run)


def deleted_while_busy(stage: Stage) -> None:
    """Somebody deletes the Worker of a run at work."""
    stage.up()
    run = stage.at_work()
    stage.api.delete(WORKERS, a.NAMESPACE, stage.worker_of(run)["metadata"]["name"])
    stage.run(10)
    stage.done(run)
    stage.run(30)


def deleted_before_the_release(stage: Stage) -> None:
    """A Worker is deleted between its run's verdict and the mothership's release."""
    stage.up()
    run = stage.at_work()
    stage.broker.loses = lambda message: isinstance(message, RunFinished)
    stage.kubelet.finish(run)
    stage.run(5)
    stage.api.delete(WORKERS, a.NAMESPACE, stage.worker_of(run)["metadata"]["name"])
    stage.run(10)
    stage.broker.loses = lambda _: False
    stage.run(60)


def deleted_in_the_foreground(stage: Stage) -> None:
    """A Worker at work is deleted in the foreground: the garbage collector follows its dependents."""
    stage.up()
    run = stage.at_work()
    worker = copy.deepcopy(stage.worker_of(run))
    worker["metadata"]["finalizers"].append(FOREGROUND)
    worker["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    stage.api.put(WORKERS, worker)
    stage.run(10)
    stage.done(run)
    stage.run(30)


def pool_deleted_while_busy(stage: Stage) -> None:
    """The pool is deleted while a run is at work."""
    stage.up(2)
    run = stage.at_work()
    stage.api.delete(WORKERPOOLS, a.NAMESPACE, a.POOL)
    stage.run(10)
    stage.done(run)
    stage.run(60)


def somebodys_secret_of_that_name(stage: Stage) -> None:
    """A run's Secret is replaced by somebody's own, of the same name."""
    stage.up()
    run = stage.at_work()
    name = _pod(stage, run)
    stage.remove("secrets", name)
    stage.api.create(SECRETS, a.NAMESPACE, {"metadata": {"name": name}, "data": {}})
    stage.done(run)


def name_of_the_secret_is_taken(stage: Stage) -> None:
    """Somebody has a Secret of the name that the run's would have: that Worker can't take the run."""
    stage.up()
    stage.driver.off = True
    stage.operator.hands.before = _take_name(stage)
    stage.submit("failed")
    stage.run(10)
    stage.driver.off = False


def somebodys_finalizer(stage: Stage) -> None:
    """Somebody puts a finalizer on a run Pod, which the operator's cache doesn't show yet."""
    stage.up()
    run = stage.at_work()
    stage.kubelet.finish(run)
    stage.operator.hands.before = _once_before_finalizer(stage, run)
    stage.run(5)
    pod = copy.deepcopy(stage.api.objects.get(("pods", a.NAMESPACE, _pod_name(run))))
    if pod is not None:
        stage.remove("pods", pod["metadata"]["name"])


def api_away_at_the_claim(stage: Stage) -> None:
    """The API server can't be written while a run is given to a Worker."""
    stage.up()
    stage.operator.hands.before = _unavailable("workers", "merge_patch")
    run = stage.submit()
    stage.run(10)
    stage.operator.hands.before = lambda *_: None
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work")
    stage.done(run)


def secret_not_deletable(stage: Stage) -> None:
    """The API server refuses for a while to delete the run's Secret."""
    stage.up()
    run = stage.at_work()
    stage.operator.hands.before = _unavailable("secrets", "delete")
    stage.kubelet.finish(run)
    stage.run(10)
    stage.operator.hands.before = lambda *_: None
    stage.run(10)


def worker_made_again(stage: Stage) -> None:
    """A Worker went by force and came back under its name; a message for the former one comes."""
    stage.up()
    worker = stage.workers()[0]
    stage.driver.off = True
    run = stage.submit()
    stage.control.step()
    stage.remove("workers", worker["metadata"]["name"])
    again = copy.deepcopy(worker)
    again["metadata"]["uid"] = "another-worker-uid"
    stage.api.put(WORKERS, again)
    stage.rest()
    stage.driver.off = False
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work", 300)
    stage.done(run)


def surplus_workers(stage: Stage) -> None:
    """A driver that restarted onto an old list has made Workers too many."""
    stage.up(1)
    stage.driver.off = True
    for number in (5, 6):
        _add_worker(stage, number, managed=True)
    stage.run(5)
    stage.driver.off = False


def scaled_down_behind_the_cache(stage: Stage) -> None:
    """The pool is smaller than the operator's cache says, and there are surplus Workers."""
    stage.up(1)
    stage.driver.off = True
    operator = stage.operator
    operator.caches["workerpools"].frozen = True
    cached = operator.caches["workerpools"].found[a.NAMESPACE, a.POOL]
    cached["spec"]["poolSize"] = 3
    for number in (5, 6):
        _add_worker(stage, number, managed=True)
    stage.run(5)
    stage.driver.off = False


def gap_in_the_worker_list(stage: Stage) -> None:
    """The driver's list lacks one Worker of a batch that it made itself."""
    stage.up(3)
    _, middle, _ = sorted(stage.workers(), key=lambda found: str(found["spec"]["sequence"]))
    pool = copy.deepcopy(stage.pool())
    pool["status"]["sequence"] = 0
    stage.api.put(WORKERPOOLS, pool)
    stage.driver.hidden.add(middle["metadata"]["name"])
    stage.driver.step()
    stage.driver.step()
    if len(stage.workers()) > 3:
        stage.judge.signs.add(signs.TOO_MANY_WORKERS)
    stage.driver.hidden.clear()


def stranger_reports_the_end(stage: Stage) -> None:
    """A Worker reports the end of a run that is another one's."""
    stage.up(2)
    run = stage.at_work()
    said = _said(stage, RunAccepted)
    other = next(found for found in stage.workers() if found["metadata"]["uid"] != said.worker_uid)
    finished = RunFinished(
        worker_uid=other["metadata"]["uid"],
        pool_uid=said.pool_uid,
        run=said.run,
        stage=said.stage,
        sequence=said.sequence,
        assignment=said.assignment,
        pod_uid=stage.kubelet.of(run).uid,
        outcome=Outcome(Result.FAILED, Reason.NON_ZERO_EXIT, "", {"worker": 1}),
    )
    stage.inject_up(said, finished)
    stage.run(5)
    stage.done(run)


def kept_pod(stage: Stage) -> None:
    """The pool keeps its successful Pods."""
    stage.up(1, keepSuccessfulPods=True)
    stage.done(stage.at_work())
    stage.run(5)
    if not stage.pods():
        stage.judge.signs.add(signs.KEPT_POD_DROPPED)


def crash_before_each_write(stage: Stage) -> None:
    """The operator is killed before each of its writes in turn, from the claim to the release."""
    stage.up()
    for number in range(12):
        stage.operator.hands.before = _kill_at_write(number)
        run = stage.submit()
        for _ in range(120):
            if not stage.operators:
                stage.start_operator()
            if stage.kubelet.at_work(run):
                stage.kubelet.finish(run)
            if stage.control.state(run) == "succeeded" and not stage.phase(run):
                break
            stage.run(1)


def busy_when_scaled_down(stage: Stage) -> None:
    """A pool is scaled to 0 with a run at work."""
    stage.up(2)
    run = stage.at_work()
    _scale(stage, 0)
    stage.run(10)
    stage.done(run)
    stage.run(30)


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    name.replace("_", "-"): found
    for name, found in list(globals().items())
    if callable(found) and getattr(found, "__module__", "") == __name__ and not name.startswith("_")
}


# --- what scenarios share ---


def _ulid(stage: Stage) -> str:
    (worker,) = stage.workers()
    ulid: str = worker["metadata"]["labels"][words.ULID_LABEL]
    return ulid


def _pod(stage: Stage, run: str) -> str:
    return (
        stage.kubelet.of(run).name
        if any(box.run == run for box in stage.kubelet.sandboxes.values())
        else _pod_name(run)
    )


def _pod_name(run: str) -> str:
    return f"{run.lower()}-preparing-2"


def _sequence(stage: Stage, run: str) -> int:
    return int(stage.worker_of(run)["status"]["run"]["sequence"])


def _scheduled_view(stage: Stage) -> Callable[[], dict[str, Json]]:
    """Return what gives the Workers as they were when the first run was just recorded."""
    kept: dict[str, Json] = {}

    def watch(resource: Any, _old: Json | None, new: Json | None) -> None:  # noqa: ANN401 - a resource
        run = ((new or {}).get("status") or {}).get("run") or {}
        if resource is WORKERS and new is not None and run.get("phase") == "Scheduled" and not kept:
            kept[new["metadata"]["name"]] = copy.deepcopy(new)

    stage.api.watchers.append(watch)
    return lambda: kept


def _mount_from_cache(stage: Stage, secret: Json) -> None:
    """Let Pods start that wait for a Secret which is gone: their kubelet still has it."""
    name = secret["metadata"]["name"]
    before = stage.api.objects.get(("secrets", a.NAMESPACE, name))
    stage.api.objects["secrets", a.NAMESPACE, name] = secret
    stage.kubelet.step()
    if before is None:
        del stage.api.objects["secrets", a.NAMESPACE, name]


def _scale(stage: Stage, size: int) -> None:
    pool = copy.deepcopy(stage.pool())
    pool["spec"]["poolSize"] = size
    stage.api.put(WORKERPOOLS, pool)


def _add_worker(stage: Stage, sequence: int, *, managed: bool = False) -> None:
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


def _said(stage: Stage, kind: type[M]) -> M:
    """Return the last message of a kind that the operator sent."""
    return [message for _, message in stage.broker.up if isinstance(message, kind)][-1]


def _with(message: M, **changes: Any) -> M:  # noqa: ANN401 - fields of the message
    return replace(message, **changes)


def _of_attempt(kind: Any, stage: Stage, run: str) -> Message:  # noqa: ANN401 - a kind of message
    scheduled = stage.scheduled(run)
    found: Message = kind(
        worker_uid=scheduled.worker_uid, pool_uid=scheduled.pool_uid, run=run, sequence=scheduled.sequence
    )
    return found


def _unavailable(plural: str, verb: str) -> Callable[[str, str, str], None]:
    def before(called: str, kind: str, _name: str) -> None:
        if (called, kind) == (verb, plural):
            raise Unavailable("the API server is away", status=503)

    return before


def _kill_after(stage: Stage, verb: str, plural: str) -> None:
    """Kill the operator right after its next call of that kind."""

    def after(called: str, kind: str, _name: str) -> None:
        if (called, kind) == (verb, plural):
            raise Crash

    stage.operator.hands.after = after


def _kill_at_write(number: int) -> Callable[[str, str, str], None]:
    """Kill the process before its write of that number, counted from now."""
    left = [number]

    def before(called: str, _kind: str, _name: str) -> None:
        if called in ("create", "merge_patch", "delete"):
            if left[0] == 0:
                raise Crash
            left[0] -= 1

    return before


def _take_name(stage: Stage) -> Callable[[str, str, str], None]:
    """Have somebody create a Secret just before the operator does."""

    def before(called: str, kind: str, name: str) -> None:
        if (called, kind) == ("create", "secrets") and ("secrets", a.NAMESPACE, name) not in stage.api.objects:
            stage.api.create(SECRETS, a.NAMESPACE, {"metadata": {"name": name}, "data": {}})

    return before


def _once_before_finalizer(stage: Stage, run: str) -> Callable[[str, str, str], None]:
    done: list[bool] = []

    def before(called: str, kind: str, name: str) -> None:
        if (called, kind, name) == ("merge_patch", "pods", _pod_name(run)) and not done:
            done.append(True)
            pod = copy.deepcopy(stage.api.objects["pods", a.NAMESPACE, name])
            pod["metadata"]["finalizers"].append("example.com/hold")
            stage.api.put(PODS, pod)

    return before
