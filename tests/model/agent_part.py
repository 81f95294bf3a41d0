"""The agent in the model: its decisions on a Worker and its Pods, each a remembered function of interned values.

The functions here do what the engine does around a decision: gather, ask the product's decision, apply the product's
patch. They are called through their modules, so that a test can put another function in the place of a rule.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from app import vocabulary as words
from app.agent import patches
from app.agent.decisions import (
    claim,
    history,
    inventory,
    outbox,
    progress,
    refusal,
    registration,
    released,
    verdict,
)
from app.agent.pod_state import PodView, parse_pod
from app.agent.pool_state import PoolView, parse_pool
from app.agent.worker_state import WorkerView, attempt_name, parse_worker
from protocol.messages import (
    Drain,
    Inventory,
    Message,
    Registered,
    RunCanceled,
    RunReleased,
    RunScheduled,
    Unregistered,
)
from protocol.runs import Outcome, Phase, Reason, Rejection, Result
from tests.model.interning import Objects

Json = dict[str, Any]

NAMESPACE = "default"
POOL_NAME = "pool"
SETTINGS = "pool-0123456789"
PATIENCE = 1e6
"""Seconds after which every grace is over."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process remembers of one Worker (``app.agent.memory``), as far as it steers anything."""

    sent: frozenset[str] = frozenset()
    announced: tuple[bool, bool] | None = None
    secret_gone: tuple[str, int] | None = None
    unregistered: bool = False
    admitted: bool = False


class Move(NamedTuple):
    """A step of a run by name, the Worker after it, and the Worker if the API server doesn't have the Pod (0: as it was)."""

    name: str
    after: int = 0
    gone: int = 0


@dataclass(frozen=True, slots=True)
class Took:
    """What became of a message: the patched Worker (None: no patch), what is remembered, what is deleted or said.

    `drops_secret` is a Secret's name and the UID that it must have (empty: any).
    """

    worker: int | None = None
    memory: Memory | None = None
    claims: str = ""
    drops_secret: tuple[str, str] = ("", "")
    says: tuple[Message, ...] = ()
    wants_inventory: bool = False


def worker_object(ulid: str, uid: str, sequence: int, pool_ulid: str, *, registered: bool) -> Json:
    """Return a Worker that nothing has happened to."""
    status: Json = {}
    if registered:
        status = {"registration": "Registered", "registered": True, "drained": False, "state": "IDLE"}
    return {
        "apiVersion": words.API_VERSION,
        "kind": words.WORKER_KIND,
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"{POOL_NAME}-{ulid.lower()}",
            "uid": uid,
            "resourceVersion": "1",
            "labels": {words.ULID_LABEL: ulid, words.POOL_LABEL: pool_ulid},
            "annotations": {words.POOL_NAME_ANNOTATION: POOL_NAME},
            "finalizers": [words.WORKER_FINALIZER] if registered else [],
        },
        "spec": {"sequence": sequence, "draining": False},
        "status": status,
    }


def pool_view(size: int, pool_uid: str) -> PoolView:
    """Return the pool as the agent sees it."""
    metadata = {"namespace": NAMESPACE, "name": POOL_NAME, "uid": pool_uid, "resourceVersion": "1"}
    return parse_pool({"metadata": metadata, "spec": {"poolSize": size}})


def merge(old: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """Apply RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


class Agent:
    """Decisions on numbers of objects; memory is handed in and out."""

    def __init__(self, objects: Objects, pool: PoolView, *, keeps_pods: bool) -> None:
        self.objects, self.pool, self.keeps_pods = objects, pool, keeps_pods
        self._memo: dict[tuple[Any, ...], Any] = {}

    def worker(self, number: int) -> WorkerView:
        """Return a Worker's view."""
        key = "worker", number
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = parse_worker(self.objects.value(number))
        return found

    def pod(self, number: int) -> PodView:
        """Return a Pod's view."""
        key = "pod", number
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = parse_pod(self.objects.value(number))
        return found

    def patched(self, number: int, patch: Json) -> int:
        """Return a Worker after a patch of its status."""
        old = self.objects.value(number)
        return self.objects.number({**old, "status": merge(old.get("status"), patch["status"])})

    # --- messages ---

    def take(self, number: int, memory: Memory, message: Message) -> Took:
        """Return what a message for this very Worker does, apart from a claim, which takes several steps."""
        worker = self.worker(number)
        match message:
            case RunScheduled():
                return self._scheduled(number, worker, memory, message)
            case RunReleased():
                if worker.run is None or not released.releases(worker, message):
                    return Took(drops_secret=self._swept(worker, message))
                known = memory.secret_gone == worker.run.key
                secret = ("", "") if known else (worker.run.secret_name, "")
                return Took(self.patched(number, patches.released(worker)), drops_secret=secret)
            case RunCanceled():
                return Took(drops_secret=self._swept(worker, message))
            case Registered():
                return self._registered(number, worker, memory, message)
            case Unregistered():
                if worker.registration == words.REGISTRATION_DEREGISTERING:
                    return Took(memory=changed(memory, unregistered=True))
                if worker.registration == words.REGISTRATION_REGISTERED and not worker.deleting:
                    return Took(self.patched(number, patches.unknown_again(worker)))
            case Drain():
                return self._drained(number, worker, memory, message)
        return Took()

    def _drained(self, number: int, worker: WorkerView, memory: Memory, message: Drain) -> Took:
        said = frozenset(key for key in memory.sent if not key.startswith("state:"))
        again = changed(memory, announced=None, sent=said)
        if worker.drained is message.drained:
            return Took(memory=again)
        return Took(self.patched(number, patches.drained(worker, drained=message.drained)), again)

    @staticmethod
    def _swept(worker: WorkerView, message: RunReleased | RunCanceled) -> tuple[str, str]:
        """Return the Secret that a claim may have left which was cut before it was recorded."""
        if not message.stage or not released.holds_nothing_of(worker, message):
            return "", ""
        return attempt_name(message.run, message.stage, message.sequence), ""

    def _scheduled(self, number: int, worker: WorkerView, memory: Memory, message: RunScheduled) -> Took:
        decision = claim.decide(worker, message, self.pool)
        if isinstance(decision, claim.AnswerAgain):
            suffix = f":{message.run}:{message.sequence}"
            said = frozenset(key for key in memory.sent if not key.endswith(suffix))
            name = attempt_name(message.run, message.stage, message.sequence)
            return Took(memory=changed(memory, sent=said), drops_secret=(name if decision.over else "", ""))
        if isinstance(decision, claim.Claim):
            return Took(claims=decision.runner_image)
        held = worker.run is not None and worker.run.key == (message.run, message.sequence)
        return Took(
            self.patched(number, patches.answered(worker, message.assignment)) if decision.record else None,
            drops_secret=("" if held else attempt_name(message.run, message.stage, message.sequence), ""),
            says=(rejected(message, decision.reason),),
        )

    def _registered(self, number: int, worker: WorkerView, memory: Memory, message: Registered) -> Took:
        held = worker.run.key if worker.run else (None, None)
        wants = message.run is not None and (message.run, message.sequence) != held
        pending = worker.registration == words.REGISTRATION_PENDING and not worker.deleting
        known = worker.registration == words.REGISTRATION_REGISTERED
        if pending:
            memory = changed(memory, announced=(False, message.drained))
        if not pending and not (known and worker.drained is not message.drained):
            return Took(wants_inventory=wants)
        after = self.patched(number, patches.registered(worker, drained=message.drained))
        return Took(after, memory, wants_inventory=wants)

    def claimed(self, number: int, message: RunScheduled, secret_uid: str) -> tuple[int, bool]:
        """Return the Worker with a claim recorded, and whether the patch insists on an unchanged Worker."""
        worker = self.worker(number)
        name = attempt_name(message.run, message.stage, message.sequence)
        patch = patches.claimed(worker, message, patches.ClaimFacts(name, secret_uid, SETTINGS, "2026-01-01"))
        return self.patched(number, patch), "resourceVersion" in patch["metadata"]

    def canceled(self, number: int, pods: tuple[int, ...], message: RunCanceled) -> int | None:
        """Return the Worker after a cancel, None when there is nothing to cancel."""
        worker = self.worker(number)
        if worker.run is None or not released.cancels(worker, message):
            return None
        pod = progress.pod_of(worker.run, [self.pod(each) for each in pods])
        return self._finished(number, pods, verdict.canceled(), pod.uid if pod else None)

    # --- the run ---

    def advance(self, number: int, pods: tuple[int, ...], *, patient: bool) -> Move:
        """Return the next step of a run; `pods` are its Worker's, as the agent's cache shows them.

        `patient`: whether what is to be seen has lasted longer than any grace.
        """
        worker = self.worker(number)
        run = worker.run
        if run is None:
            return Move("wait")
        views = [self.pod(each) for each in pods]
        seen = progress.situation(run, views)
        step = progress.decide(run, seen, PATIENCE if patient else 0.0)
        match step:
            case progress.Advance():
                patch = patches.advanced(worker, run, step.phase, step.pod_uid)
                return Move("advance", self.patched(number, patch))
            case progress.Finish():
                after = self._finished(number, pods, step.outcome, step.pod_uid)
                if not step.look_first:
                    return Move("finish", after)
                gone = self._finished(number, pods, verdict.vanished(step.pod_uid), step.pod_uid)
                return Move("look, then finish", after, gone)
            case progress.LookLive():
                gone = self._finished(number, pods, verdict.vanished(run.pod_uid), run.pod_uid)
                return Move("look live", 0, gone)
            case progress.TryCreate():
                return Move(
                    "try create", self._finished(number, pods, verdict.without_secret(run.secret_name), None)
                )
            case progress.LookForCause():
                lost = verdict.without_secret(run.secret_name)
                return Move("look for cause", self._finished(number, pods, lost, run.pod_uid))
        return Move("wait")

    def never_made(self, number: int, text: str) -> int:
        """Return the Worker after a verdict on a Pod that can't be made any more."""
        outcome = refusal.judge(refusal.Refusal.FORBIDDEN, text, PATIENCE) if text else None
        deleted = Outcome(
            Result.FAILED, Reason.POD_DELETED, "the worker was deleted before the run's Pod was made"
        )
        return self._finished(number, (), outcome or deleted, None)

    def _finished(self, number: int, pods: tuple[int, ...], outcome: Outcome, pod_uid: str | None) -> int:
        worker = self.worker(number)
        run = worker.run
        assert run is not None
        own = next((pod for each in pods if (pod := self.pod(each)).uid == (run.pod_uid or pod_uid)), None)
        kept = list(worker.kept_pods) if self.keeps_pods else []
        if self.keeps_pods and own is not None and history.keepable(own, outcome):
            kept.append(own.name)
        return self.patched(number, patches.finished(worker, run, outcome, pod_uid, kept))

    def trimmed(self, number: int) -> int:
        """Return the Worker after its kept Pods were let go."""
        return self.patched(number, patches.kept_pods(self.worker(number), []))

    def lets_go(self, number: int, pod: int) -> bool:
        """Return whether the verdict finalizer comes off a Pod."""
        return released.guards_nothing(self.worker(number), self.pod(pod))

    def unheard(self, number: int) -> int | None:
        """Return a leaving Worker that gives up on its verdict, None while it has none."""
        worker = self.worker(number)
        if worker.run is None or worker.run.phase is not Phase.FINISHED or not worker.deleting:
            return None
        return self.patched(number, patches.released(worker))

    # --- registration and publishing ---

    def farewell(self, number: int, memory: Memory, *, patient: bool) -> tuple[registration.Farewell, int]:
        """Return the next step of a Worker that goes away, and the Worker after it (0: as it was)."""
        worker = self.worker(number)
        step = registration.farewell(
            worker,
            admitted=memory.admitted,
            answered=memory.unregistered,
            waited=PATIENCE if patient else 0.0,
        )
        match step:
            case registration.Farewell.BEGIN:
                return step, self.patched(number, patches.deregistering(worker))
            case registration.Farewell.CONFIRMED | registration.Farewell.UNCONFIRMED:
                return step, self.patched(number, patches.gone(worker))
        return step, 0

    def admissible(self, numbers: tuple[int, ...], admitted: frozenset[str], size: int) -> set[str]:
        """Return which Workers may be registered."""
        entries = [registration.roster_entry(self.worker(each)) for each in numbers]
        return registration.admissible(entries, admitted, size)

    def due(self, number: int, memory: Memory) -> tuple[outbox.Item, ...]:
        """Return the messages that may go out now: what is repeated, and what this connection hasn't carried yet."""
        worker = self.worker(number)
        standing = outbox.Standing(
            pool_uid=self.pool.uid,
            controller_version="1",
            metadata={},
            admitted=memory.admitted,
            secret_gone=worker.run is not None and memory.secret_gone == worker.run.key,
            announced_drain=memory.announced,
        )
        sent = {key: outbox.Sent(1, 0.0) for key in memory.sent}
        return outbox.due(worker, standing, sent, PATIENCE).items

    def published(self, number: int, memory: Memory, item: outbox.Item) -> Memory:
        """Return what is remembered after a message went out."""
        worker = self.worker(number)
        # What is repeated may go out at any time: only what is said once needs remembering.
        sent = memory.sent if item.repeats else memory.sent | {item.key}
        if item.key.startswith("state:"):
            memory = changed(memory, announced=outbox.drain_state(worker))
        return self.remembered(number, changed(memory, sent=sent))

    def remembered(self, number: int, memory: Memory) -> Memory:
        """Return what is worth remembering of a Worker as it is."""
        worker = self.worker(number)
        kept = outbox.still_meant({key: outbox.Sent(1, 0.0) for key in memory.sent}, worker)
        gone = memory.secret_gone if worker.run is not None and worker.run.key == memory.secret_gone else None
        return changed(memory, sent=frozenset(kept), secret_gone=gone)

    def inventory(self, numbers: tuple[int, ...], admitted: frozenset[str]) -> tuple[Inventory, ...]:
        """Return the inventory of these Workers."""
        views = [self.worker(each) for each in numbers]
        return tuple(inventory.parts(views, admitted, self.pool.uid, "replica-1"))


def changed(memory: Memory, **changes: Any) -> Memory:  # noqa: ANN401 - fields of Memory
    """Return a memory with some fields changed."""
    fields = {name: getattr(memory, name) for name in Memory.__slots__}
    return Memory(**{**fields, **changes})


def rejected(message: RunScheduled, reason: Rejection) -> Message:
    """Return the answer to a run that this Worker won't run; it has no words, which would only make more states."""
    return claim.rejected(message, claim.Reject(reason, ""))
