"""What the mothership's messages do to a Worker: read one, decide, store the effect.

Called by the engine, one message at a time, with the newest view of the Worker. Whatever a message asks for is
stored before it is acknowledged; what has no effect any more is acknowledged and dropped, for its sender repeats
what matters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from app import vocabulary as words
from app.agent import effects, patches
from app.agent.decisions import claim, draining, leaving, progress, released, verdict, worker_events
from app.agent.memory import Memory
from app.agent.pool_state import PoolView
from app.agent.runtime import Clock, Cluster, Counters
from app.agent.session import Session
from app.agent.status import StatusWriter
from app.agent.worker_state import WorkerView
from app.cluster.errors import Conflict, Forbidden, Invalid, NotFound
from app.logs import redact_text
from protocol.messages import (
    Drain,
    Message,
    Registered,
    RunCanceled,
    RunReleased,
    RunScheduled,
    Unregister,
    Unregistered,
)
from protocol.runs import Outcome, Rejection, Result
from protocol.sealing import SealError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a message arrives: the pool as it is now (None: it is gone) and the session it came through."""

    session: Session
    pool: PoolView | None
    memory: Memory
    finish: Callable[[WorkerView, Outcome, str | None], WorkerView]
    ask_for_inventory: Callable[[], None]


class Mail:
    """Handles the messages for Workers that exist, and answers for those that don't."""

    def __init__(
        self,
        cluster: Cluster,
        status: StatusWriter,
        revisions: effects.RevisionStore,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._cluster, self._status, self._revisions = cluster, status, revisions
        self._clock, self._counters = clock, counters

    def handle(self, worker: WorkerView, message: Message, setting: Setting) -> WorkerView:
        """Store the effect of a message that names this very Worker object; return the Worker's newest view."""
        match message:
            case RunScheduled():
                return self._scheduled(worker, message, setting)
            case RunReleased():
                return self._released(worker, message, setting)
            case RunCanceled():
                return self._canceled(worker, message, setting)
            case Registered():
                return self._registered(worker, message, setting)
            case Unregistered():
                return self._unregistered(worker, setting)
            case Drain():
                return self._drain(worker, message, setting)
        self._counters.add("messages_dropped_unexpected")
        return worker

    def answer_for_absent(
        self, worker_ulid: str, message: Message, session: Session, present: WorkerView | None = None
    ) -> None:
        """Answer for a Worker object that doesn't exist, so that the mothership forgets it.

        `present` is another object under its ULID: an attempt that it holds is left alone.
        """

        def may_be_held(run: str, sequence: int) -> bool:
            if present is None:
                return False
            return not present.understood or (present.run is not None and present.run.key == (run, sequence))

        if isinstance(message, RunScheduled):
            namespace, pool_ulid = session.pool_key[0], session.pool_ulid
            if not may_be_held(message.run, message.sequence):
                effects.delete_unclaimed_secret(self._cluster.api, namespace, worker_ulid, pool_ulid, message)
            unknown = claim.Reject(Rejection.UNKNOWN, "there is no such worker", record=False)
            reject(session, worker_ulid, message, unknown)
            return
        if isinstance(message, RunCanceled | RunReleased) and not may_be_held(message.run, message.sequence):
            self._sweep_secret(session.pool_key[0], worker_ulid, message)
        if isinstance(message, Registered | Drain | RunReleased | RunCanceled):
            unregister = Unregister(worker_uid=message.worker_uid, pool_uid=session.pool_uid)
            session.publish(worker_ulid, f"unregister:{message.worker_uid}", unregister)

    # --- scheduled ---

    def _scheduled(self, worker: WorkerView, message: RunScheduled, setting: Setting) -> WorkerView:
        decision = self._decide(worker, message, setting.pool)
        if isinstance(decision, claim.AnswerAgain):
            run = worker.run
            setting.memory.made_secret = None
            if run is not None:
                if decision.over:
                    effects.delete_secret_of(self._cluster.api, worker, run)
                for kind in ("accepted", "pod", "started", "finished"):
                    setting.memory.sent.pop(f"{kind}:{run.run}:{run.sequence}", None)
            return worker
        if isinstance(decision, claim.Claim) and setting.pool is not None:
            # What is recorded is what was judged, also when the run left its image to the pool.
            chosen = replace(message, runner_image=decision.runner_image)
            claimed = self._claim(worker, chosen, setting, setting.pool)
            if isinstance(claimed, WorkerView):
                return claimed
            decision = claimed
        assert isinstance(decision, claim.Reject)  # noqa: S101 - the other two kinds are dealt with
        return self._reject(worker, message, decision, setting)

    @staticmethod
    def _decide(worker: WorkerView, message: RunScheduled, pool: PoolView | None) -> claim.Decision:
        if pool is None or not leaving.belongs(worker, pool.uid):
            return claim.Reject(Rejection.DRAINING, "the worker's pool is gone")
        return claim.decide(worker, message, pool)

    def _claim(
        self, worker: WorkerView, message: RunScheduled, setting: Setting, pool: PoolView
    ) -> WorkerView | claim.Reject:
        """Record the run: revision and Secret first, then the one patch that makes it a claim."""
        try:
            claimed = self._record(worker, message, setting, pool)
        except (SealError, effects.NameTaken) as error:
            return claim.Reject(Rejection.INVALID, str(error))
        except Invalid as error:
            # Repeating it won't help; saying so at least gives the run an end, and the user the API's text.
            return claim.Reject(Rejection.INVALID, f"the run could not be recorded: {error.message}")
        except (Forbidden, NotFound) as error:
            # A quota, a role that is being replaced, a namespace that goes: the run waits or moves on, unharmed.
            text = f"Run {message.run} can't be recorded yet: {error.message}"
            self._event(worker, words.EVENT_WARNING, words.RUN_NOT_RECORDED_EVENT, redact_text(text))
            raise
        _log.info("run_claimed", run=message.run, sequence=message.sequence, assignment=message.assignment)
        text = f"Scheduled run {message.run} ({message.stage}, sequence {message.sequence})"
        self._event(worker, words.EVENT_NORMAL, words.RUN_SCHEDULED_EVENT, text)
        return claimed

    def _record(
        self, worker: WorkerView, message: RunScheduled, setting: Setting, pool: PoolView
    ) -> WorkerView:
        credentials = setting.session.credentials
        payload = credentials.opening_key.open(message.payload)
        settings = self._revisions.ensure(pool, worker.pool_ulid, self._clock.monotonic())
        if setting.memory.made_secret is not None:
            # An earlier try may be recorded though its answer was lost: a recorded claim's Secret is never replaced.
            live = self._status.live((worker.namespace, worker.name))
            if live is None or live.resource_version != worker.resource_version:
                raise Conflict("the Worker has changed since the last try")
        secret = effects.create_run_secret(self._cluster.api, worker, message, payload, credentials.token.ca)
        name, uid = secret["metadata"]["name"], secret["metadata"]["uid"]
        setting.memory.made_secret = name, uid
        facts = patches.ClaimFacts(name, uid, settings, self._clock.timestamp())
        claimed = self._status.write(worker, patches.claimed(worker, message, facts))
        setting.memory.made_secret = None
        return claimed

    def _reject(
        self, worker: WorkerView, message: RunScheduled, decision: claim.Reject, setting: Setting
    ) -> WorkerView:
        # The same words for the mothership, the condition and the Event.
        decision = replace(decision, message=redact_text(decision.message))
        if decision.record:
            verdict_on = _verdict_on(message, decision)
            worker = self._status.write(worker, patches.answered(worker, message.assignment), verdict_on)
            reason = decision.verdict or decision.reason
            text = f"Refused run {message.run}: {reason.value}: {decision.message}"
            self._event(worker, words.EVENT_WARNING, words.RUN_REJECTED_EVENT, text)
        if worker.run is None or worker.run.key != (message.run, message.sequence):
            # By name, not by memory: a try before a restart may have left it.
            effects.delete_unclaimed_secret(
                self._cluster.api, worker.namespace, worker.ulid, worker.pool_ulid, message
            )
        setting.memory.made_secret = None
        _log.info("run_rejected", run=message.run, sequence=message.sequence, reason=decision.reason.value)
        self._counters.add(f"runs_rejected_{decision.reason.value}")
        reject(setting.session, worker.ulid, message, decision)
        return worker

    # --- the others ---

    def _released(self, worker: WorkerView, message: RunReleased, setting: Setting) -> WorkerView:
        run = worker.run
        if run is None or not released.releases(worker, message):
            return self._over(worker, message)
        if setting.memory.secret_gone != run.key:
            # The mothership closed it before it heard of the verdict: afterwards nobody knows the Secret's name.
            effects.delete_secret_of(self._cluster.api, worker, run)
        free = self._status.write(worker, patches.released(worker))
        _log.info("run_released", run=message.run, sequence=message.sequence)
        self._event(worker, *worker_events.run_released(run))
        return free

    def _canceled(self, worker: WorkerView, message: RunCanceled, setting: Setting) -> WorkerView:
        if worker.run is None or not released.cancels(worker, message):
            return self._over(worker, message)
        pod = progress.pod_of(worker.run, self._status.pods(worker))
        return setting.finish(worker, verdict.canceled(), pod.uid if pod else None)

    def _over(self, worker: WorkerView, message: RunCanceled | RunReleased) -> WorkerView:
        """Clear up after an attempt that is closed and that this Worker doesn't hold: its claim may have been cut."""
        if released.holds_nothing_of(worker, message):
            self._sweep_secret(worker.namespace, worker.ulid, message)
        return worker

    def _sweep_secret(self, namespace: str, worker_ulid: str, message: RunCanceled | RunReleased) -> None:
        run, stage, sequence = message.run, message.stage, message.sequence
        if stage and effects.sweep_run_secret(
            self._cluster.api, namespace, worker_ulid, run, stage, sequence
        ):
            self._counters.add("orphans_swept_Secret")
            _log.warning("orphan_secret_swept", run=run, sequence=sequence)

    def _registered(self, worker: WorkerView, message: Registered, setting: Setting) -> WorkerView:
        held = worker.run.key if worker.run else (None, None)
        if message.run is not None and (message.run, message.sequence) != held:
            # Perhaps it is still on its way to us, perhaps one of us is wrong: the inventory settles it.
            setting.ask_for_inventory()
        pending = worker.registration == words.REGISTRATION_PENDING and not worker.deleting
        known = worker.registration == words.REGISTRATION_REGISTERED
        if pending:
            # Registering says: not draining; the answer says whether it is drained.
            setting.memory.announced_drain = (False, message.drained)
        if not pending and not (known and worker.drained is not message.drained):
            return worker
        registered = self._status.write(worker, patches.registered(worker, drained=message.drained))
        self._tell_drain(worker, registered)
        return registered

    def _unregistered(self, worker: WorkerView, setting: Setting) -> WorkerView:
        if worker.registration == words.REGISTRATION_DEREGISTERING:
            setting.memory.unregistered = True
        elif worker.registration == words.REGISTRATION_REGISTERED and not worker.deleting:
            # The mothership lost it (restored from a backup, for example): introduce it again.
            setting.memory.sent.pop("register", None)
            return self._status.write(worker, patches.unknown_again(worker))
        return worker

    def _drain(self, worker: WorkerView, message: Drain, setting: Setting) -> WorkerView:
        # Repeated until worker_state shows it: say it again, also when nothing changes.
        setting.memory.announced_drain = None
        setting.memory.sent = {
            key: value for key, value in setting.memory.sent.items() if "state:" not in key
        }
        if worker.drained is message.drained:
            return worker
        changed = self._status.write(worker, patches.drained(worker, drained=message.drained))
        self._tell_drain(worker, changed)
        return changed

    def _tell_drain(self, former: WorkerView, worker: WorkerView) -> None:
        event = draining.draining_event(former, worker)
        if event is not None:
            self._event(worker, *event)

    def _event(self, worker: WorkerView, kind: str, reason: str, text: str) -> None:
        self._cluster.events.emit(worker.reference, kind, reason, text)


def _verdict_on(message: RunScheduled, decision: claim.Reject) -> tuple[str, Outcome] | None:
    """Return the run that a rejection ends and how it ends, None when another worker may take it."""
    if decision.verdict is None:
        return None
    return message.run, Outcome(Result.FAILED, decision.verdict, decision.message)


def reject(session: Session, worker_ulid: str, message: RunScheduled, decision: claim.Reject) -> None:
    """Publish that a scheduled run will not be run by this Worker."""
    key = f"rejected:{message.run}:{message.sequence}"
    session.publish(worker_ulid, key, claim.rejected(message, decision))
