"""The work on one Worker: gather what is observed, ask the decisions, carry them out, look again later.

`Engine.reconcile` is called by a work queue, never twice at a time for one Worker. Everything in it can be repeated:
a crash between any two lines is mended by the next call, from Worker status, Pods and the mothership's repeats.

Order at the end of a run, which fences rely on: Finished is patched, the run's Secret deleted, then `run_finished`
published; the Pod's finalizer comes off only once the verdict is stored.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog

from app import vocabulary as words
from app.agent import effects, patches
from app.agent.case import Case
from app.agent.decisions import (
    conditions,
    history,
    outbox,
    progress,
    released,
    verdict,
    worker_events,
)
from app.agent.guard import LostPoolError
from app.agent.inbox import Inbox, Letter
from app.agent.keeping import Keeping
from app.agent.leaving import Leaving
from app.agent.live import LivePods, Shown
from app.agent.mail import Mail, Setting
from app.agent.memory import Memory
from app.agent.namespaces import blame_namespace
from app.agent.orphans import Orphans
from app.agent.pod_state import PodView
from app.agent.pool_state import PoolView
from app.agent.reader import LetterReader
from app.agent.refusals import Denial, Refusals
from app.agent.roster import Roster
from app.agent.runtime import AgentSettings, Clock, Cluster, Counters, Key
from app.agent.session import Session
from app.agent.status import StatusWriter
from app.agent.waiting import StartWatch
from app.agent.worker_state import Attempt, WorkerView
from app.cluster.errors import (
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from app.cluster.resources import SECRETS
from app.logs import redact_text
from protocol.messages import RunScheduled
from protocol.runs import Outcome, Phase, Reason, Result

PAUSE_WITHOUT_SCHEMA = 5.0
LOOK_AGAIN = 1.0
MOST_LOOK_PAUSE = 60.0
ASK_AGAIN = 15.0
"""Seconds after which a Pod that doesn't come is asked for once more: Metacontroller's own pause after calls that
failed doubles each time, up to 1,000 seconds, and every change in between doubles it once more."""
DELETED_WAIT = 60.0
"""Seconds after which a deleted Worker's run without a Pod is given back: it was never started."""

_log = structlog.get_logger(__name__)


class _ClaimWaits(Exception):  # noqa: N818 - a state, not a fault
    """A scheduled run is not looked at yet, because one before it was refused."""


class Pools(Protocol):
    """What the engine asks of the pools."""

    def view(self, key: Key) -> PoolView | None:
        """Return the pool as it is known now, None when it doesn't exist."""

    def session(self, key: Key) -> Session | None:
        """Return the pool's session, None when it has none."""

    def admitted(self, key: Key, worker_uid: str) -> bool:
        """Return whether a Worker may be registered."""

    def changed(self, key: Key) -> None:
        """Learn that something pool-wide policies look at has changed."""

    def ask_for_inventory(self, key: Key) -> None:
        """Send an inventory soon."""


class Engine:
    """Reconciles Workers."""

    def __init__(
        self,
        cluster: Cluster,
        pools: Pools,
        roster: Roster,
        inbox: Inbox,
        revisions: effects.RevisionStore,
        settings: AgentSettings,
        clock: Clock,
        counters: Counters,
        schema_ok: Callable[[], bool],
        wake: Callable[[Key], None],
    ) -> None:
        self._cluster, self._pools, self._roster, self._inbox = cluster, pools, roster, inbox
        self._settings, self._clock, self._counters = settings, clock, counters
        self._schema_ok, self._wake = schema_ok, wake
        self._graces = settings.graces
        self._status = StatusWriter(cluster, roster, clock)
        self._mail = Mail(cluster, self._status, revisions, clock, counters)
        self._keeping = Keeping(cluster, roster, clock)
        self._live = LivePods(cluster, roster)
        self._orphans = Orphans(cluster, roster, counters)
        self._leaving = Leaving(cluster, self._status, pools, settings.graces, clock)
        self._refusals = Refusals(cluster, revisions, settings.graces)
        self._start_watch = StartWatch(cluster, settings.graces)
        self._memories: dict[Key, Memory] = {}
        self._reader = LetterReader(counters)

    def reconcile(self, key: Key) -> float | None:
        """Bring one Worker forward; return after how many seconds to look again, None for at the next change."""
        if not self._schema_ok():
            return PAUSE_WITHOUT_SCHEMA
        try:
            return self._reconcile(key)
        except Conflict:
            # Decided on an old view: read the API itself, and decide again.
            self._counters.add("conflicts")
            self._status.live(key)
            return 0.0

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Worker that doesn't exist any more."""
        self._memories.pop(key, None)

    def _reconcile(self, key: Key) -> float | None:
        worker, failure = self._read_mail(key, self._status.observed(key))
        pause = self._without_worker(key) if worker is None else self._bring_forward(key, worker)
        if failure is not None:
            # Raised only now: a message that can't be carried out must not keep the rest from going on.
            raise failure
        return pause

    def _bring_forward(self, key: Key, worker: WorkerView) -> float | None:
        with structlog.contextvars.bound_contextvars(namespace=key[0], worker=worker.name, uid=worker.uid):
            case = self._case(key, worker)
            worker, pause = self._advance(worker, case)
            self._after_verdict(worker, case)
            worker, expiry = self._trim_history(worker, case)
            worker, farewell = self._leaving.farewell(worker, case)
            worker = self._correct_ready(worker)
            return _soonest(pause, expiry, farewell, self._publish(worker, case))

    def _case(self, key: Key, worker: WorkerView) -> Case:
        memory = self._memories.get(key)
        if memory is None or memory.uid != worker.uid:
            memory = self._memories[key] = Memory(worker.uid)
        pool_key = worker.namespace, worker.pool_name
        session = self._pools.session(pool_key)
        if session is not None and session.pool_ulid != worker.pool_ulid:
            session = None
        if session is not None:
            memory.of_connection(session.connection)
        return Case(key, memory, self._pools.view(pool_key), session)

    # --- messages ---

    def _read_mail(self, key: Key, worker: WorkerView | None) -> tuple[WorkerView | None, ApiError | None]:
        """Carry out what has come; return the newest view, and the error that stopped it, if one did.

        What the API refuses waits, and what came behind it doesn't: a drain is obeyed while a quota keeps a run from
        being claimed. Another run's claim waits with the first one: it would be refused, too.
        """
        passed: list[Letter] = []
        refusal: ApiError | None = None
        while (letter := self._inbox.first(key, passed)) is not None:
            try:
                worker = self._open(key, worker, letter, claims=refusal is None)
            except (Conflict, LostPoolError):
                raise
            except _ClaimWaits:
                passed.append(letter)
                continue
            except (Forbidden, NotFound) as error:
                passed.append(letter)
                refusal = refusal or error
                continue
            except (Unavailable, TooManyRequests, Unauthorized) as error:
                return worker, error
            except Exception:
                # It would fail for ever, and block what comes behind it.
                self._inbox.done(key, letter)
                raise
            self._inbox.done(key, letter)
        return worker, refusal

    def _open(
        self, key: Key, worker: WorkerView | None, letter: Letter, *, claims: bool
    ) -> WorkerView | None:
        message = self._reader.read(letter, worker.owner_uid if worker else "")
        if message is None:
            return worker
        if isinstance(message, RunScheduled) and not claims:
            raise _ClaimWaits
        if worker is None or worker.uid != message.worker_uid:
            worker = self._status.live(key)
        session = self._pools.session((key[0], letter.pool_name))
        if session is None:
            return worker
        if worker is None or worker.uid != message.worker_uid:
            self._mail.answer_for_absent(letter.worker_ulid, message, session, worker)
            return worker
        case = self._case(key, worker)
        pool_key = worker.namespace, worker.pool_name
        setting = Setting(
            session=session,
            pool=case.pool,
            memory=case.memory,
            finish=lambda view, outcome, pod_uid: self._finish(view, case, outcome, pod_uid),
            ask_for_inventory=lambda: self._pools.ask_for_inventory(pool_key),
        )
        with structlog.contextvars.bound_contextvars(namespace=key[0], worker=worker.name, uid=worker.uid):
            return self._mail.handle(worker, message, setting)

    # --- the run ---

    def _advance(self, worker: WorkerView, case: Case) -> tuple[WorkerView, float | None]:
        """Bring the run forward as far as its Pod shows; return the newest view and when to look again."""
        while (run := worker.run) is not None and run.phase is not Phase.FINISHED:
            pods = self._status.pods(worker)
            seen = progress.situation(run, pods, self._graces, case.memory.problem)
            case.memory.problem = seen.problem
            label = f"{run.run}:{run.sequence}:{run.phase}:{seen.label}"
            held = case.memory.hold("pod", label, self._clock.monotonic())
            if not held:
                # The last look was at something else.
                case.memory.next_look = 0.0
            step = progress.decide(run, seen, held, self._graces)
            following, pause = self._take(worker, run, step, case, held)
            if following.run == run:
                return following, pause
            worker = following
        return worker, None

    def _take(
        self, worker: WorkerView, run: Attempt, step: progress.Step, case: Case, held: float
    ) -> tuple[WorkerView, float | None]:
        match step:
            case progress.Advance():
                return self._advance_to(worker, run, step), None
            case progress.Finish():
                return self._conclude(worker, run, step, case)
            case progress.LookLive():
                return self._look_live(worker, run, case)
            case progress.TryCreate():
                return self._try_create(worker, run, case, held)
            case progress.LookForCause():
                return self._look_for_cause(worker, run, case, held)
            case progress.Wait():
                return worker, step.seconds

    def _advance_to(self, worker: WorkerView, run: Attempt, step: progress.Advance) -> WorkerView:
        _log.info("run_advanced", run=run.run, sequence=run.sequence, phase=step.phase.value)
        worker = self._status.write(worker, patches.advanced(worker, run, step.phase, step.pod_uid))
        if step.phase is Phase.RUNNING:
            pod = progress.pod_of(run, self._status.pods(worker))
            self._event(worker, worker_events.run_started(run, pod.node if pod else ""))
        return worker

    def _conclude(
        self, worker: WorkerView, run: Attempt, step: progress.Finish, case: Case
    ) -> tuple[WorkerView, float | None]:
        """Store a verdict, after a look at the Pod itself where time alone speaks for it."""
        if not step.look_first:
            return self._finish(worker, case, step.outcome, step.pod_uid), None
        match self._live.show(worker, run, step.pod_uid):
            case Shown.GONE:
                return self._finish(worker, case, verdict.vanished(step.pod_uid), step.pod_uid), None
            case Shown.NEWER:
                return worker, 0.0
            case Shown.AS_KNOWN:
                return self._finish(worker, case, step.outcome, step.pod_uid), None

    def _look_live(self, worker: WorkerView, run: Attempt, case: Case) -> tuple[WorkerView, float | None]:
        """`lost` is recorded on the API server's own word alone: a watch cache may simply be late."""
        if self._live.show(worker, run, run.pod_uid) is not Shown.GONE:
            return worker, LOOK_AGAIN
        return self._finish(worker, case, verdict.vanished(run.pod_uid), run.pod_uid), None

    def _try_create(
        self, worker: WorkerView, run: Attempt, case: Case, held: float
    ) -> tuple[WorkerView, float | None]:
        left = case.memory.next_look - self._clock.monotonic()
        if left > 0:
            return worker, left
        if self._live.finds(worker, run):
            return worker, 0.0
        denial = self._refusals.judge(worker, run, held)
        self._tell_refusal(worker, run, case, denial)
        outcome = denial.outcome if denial is not None else None
        if outcome is None and worker.deleting and held >= DELETED_WAIT:
            # With the garbage collector's finalizer on it, Metacontroller makes no Pod for this Worker any more.
            text = "the worker was deleted before the run's Pod was made"
            outcome = Outcome(Result.FAILED, Reason.POD_DELETED, text)
        if outcome is not None:
            return self._finish(worker, case, outcome, None), None
        if held >= ASK_AGAIN:
            worker = self._status.write(worker, patches.awaited(worker, self._clock.timestamp()))
        pause = min(max(held, self._graces.run_pod, LOOK_AGAIN), MOST_LOOK_PAUSE)
        case.memory.next_look = self._clock.monotonic() + pause
        return worker, pause

    def _tell_refusal(self, worker: WorkerView, run: Attempt, case: Case, denial: Denial | None) -> None:
        """Tell of a refusal when it is first heard of, not once it has become a verdict, and of each text once."""
        said = redact_text(denial.said) if denial is not None else ""
        if said and case.memory.told_refusal != (run.key, said):
            case.memory.told_refusal = run.key, said
            self._event(worker, worker_events.pod_refused(said))

    def _look_for_cause(
        self, worker: WorkerView, run: Attempt, case: Case, held: float
    ) -> tuple[WorkerView, float | None]:
        left = case.memory.next_look - self._clock.monotonic()
        if left > 0:
            return worker, left
        try:
            self._cluster.api.get(SECRETS, worker.namespace, run.secret_name)
        except NotFound:
            outcome = verdict.without_secret(run.secret_name)
            return self._conclude(worker, run, progress.Finish(outcome, run.pod_uid, True), case)
        pod = progress.pod_of(run, self._status.pods(worker))
        problem = self._start_watch.problem(pod) if pod is not None else None
        if problem is not None and held >= problem.grace:
            return self._conclude(worker, run, progress.Finish(problem.outcome, run.pod_uid, True), case)
        pause = self._start_watch.pause(held, problem)
        case.memory.next_look = self._clock.monotonic() + pause
        return worker, pause

    def _finish(self, worker: WorkerView, case: Case, outcome: Outcome, pod_uid: str | None) -> WorkerView:
        """Store the verdict, together with the Pods that are kept from now on."""
        run = worker.run
        assert run is not None  # noqa: S101 - every caller has one
        outcome = _redacted(blame_namespace(self._cluster.api, worker.namespace, outcome))
        pods = self._status.pods(worker)
        own = next((pod for pod in pods if pod.uid == (run.pod_uid or pod_uid)), None)
        candidate = own if own is not None and history.keepable(own, outcome) else None
        kept = self._keeping.kept(worker, case.pool, candidate).names
        worker = self._status.write(worker, patches.finished(worker, run, outcome, pod_uid, kept))
        self._counters.add(f"runs_{outcome.result.value}")
        _log.info(
            "run_finished",
            run=run.run,
            sequence=run.sequence,
            result=outcome.result.value,
            reason=outcome.reason.value,
            detail=outcome.message,
        )
        if run.phase is not Phase.RUNNING and words.WORKER_CONTAINER in outcome.exit_codes:
            # It began and ended between two looks.
            self._event(worker, worker_events.run_started(run, own.node if own else ""))
        self._event(worker, worker_events.run_ended(run.run, outcome))
        for name in self._keeping.others_with_too_many(worker, case.pool):
            self._wake((worker.namespace, name))
        return worker

    # --- after a run ---

    def _after_verdict(self, worker: WorkerView, case: Case) -> None:
        """Delete the Secret first, then let go of the Pods: a ghost can't start without it (fence 4)."""
        run = worker.run
        if run is not None and run.phase is Phase.FINISHED and case.memory.secret_gone != run.key:
            effects.delete_secret_of(self._cluster.api, worker, run)
            case.memory.secret_gone = run.key
        for pod in self._status.pods(worker):
            if released.guards_nothing(worker, pod):
                self._let_go(pod)

    def _let_go(self, pod: PodView) -> None:
        try:
            effects.remove_verdict_finalizer(self._cluster.api, pod)
        except Conflict:
            # The kubelet was quicker; its change wakes us again with the newer Pod.
            self._counters.add("conflicts")

    def _trim_history(self, worker: WorkerView, case: Case) -> tuple[WorkerView, float | None]:
        """Let go of Pods that the pool keeps no longer; return, too, after how many seconds the next is too old."""
        if not worker.kept_pods:
            return worker, None
        kept = self._keeping.kept(worker, case.pool)
        if kept.names != list(worker.kept_pods):
            worker = self._status.write(worker, patches.kept_pods(worker, kept.names))
        return worker, kept.look_after

    # --- registration and publishing ---

    def _correct_ready(self, worker: WorkerView) -> WorkerView:
        """Tell of a wish of the pool that came or went while no other patch was due."""
        if not conditions.ready_is_stale(worker):
            return worker
        return self._status.write(worker, patches.told(worker))

    def _publish(self, worker: WorkerView, case: Case) -> float | None:
        session = case.session
        if session is None or not session.state.ready:
            waits = worker.in_flight or worker.deleting
            return max(self._graces.verdict_report, LOOK_AGAIN) if waits else None
        memory, now = case.memory, self._clock.monotonic()
        standing = outbox.Standing(
            pool_uid=worker.owner_uid or session.pool_uid,
            controller_version=self._settings.version,
            metadata={"k8s-native": "true", **self._settings.tags},
            admitted=self._pools.admitted((worker.namespace, worker.pool_name), worker.uid),
            secret_gone=worker.run is not None and memory.secret_gone == worker.run.key,
            announced_drain=memory.announced_drain,
        )
        due = outbox.due(worker, standing, memory.sent, now, _jitter(worker.uid))
        for item in due.items:
            if not session.publish(worker.ulid, item.key, item.message):
                return LOOK_AGAIN
            former = memory.sent.get(item.key)
            memory.sent[item.key] = outbox.Sent((former.times if former else 0) + 1, now)
            if item.key.startswith("state:"):
                memory.announced_drain = outbox.drain_state(worker)
        memory.sent = outbox.still_meant(memory.sent, worker)
        return due.next_in

    # --- Workers that don't exist ---

    def _without_worker(self, key: Key) -> float | None:
        """Let go of the Pods of a Worker that somebody removed by force; its runs' end is nobody's to record."""
        self._memories.pop(key, None)
        if not self._roster.pods(key):
            return None
        if self._status.live(key) is not None:
            return 0.0
        self._orphans.sweep(key)
        return None

    def _event(self, worker: WorkerView, event: worker_events.EventText) -> None:
        self._cluster.events.emit(worker.reference, *event)


def _redacted(outcome: Outcome) -> Outcome:
    """Return the verdict without what looks like a secret: its text may come from anywhere."""
    return replace(outcome, message=redact_text(outcome.message))


def _jitter(uid: str) -> float:
    """Return a Worker's own share of the jitter, the same at every look, so that times to wait don't jump about."""
    return random.Random(uid).random()  # noqa: S311 - jitter


def _soonest(*pauses: float | None) -> float | None:
    return min((pause for pause in pauses if pause is not None), default=None)
