"""What each message of a worker does: read the attempt, apply the rule, store it, answer.

Runs inside the dispatcher's transaction. Everything that must reach a worker for sure is stored as due and sent from
the tables; what is returned here are answers whose loss is healed by the question being repeated.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
import structlog

from mothership.adoption import take_over
from mothership.decisions import attempts as rules_of_attempts
from mothership.decisions.recovery import Found, started
from mothership.decisions.states import Case, Rules
from mothership.inventories import Inventories
from mothership.outgoing import Outgoing
from mothership.storage import cycles, pools, runs, workers
from mothership.storage.workers import WorkerKey
from protocol import PROTOCOL_VERSION
from protocol.messages import (
    AttemptMessage,
    Inventory,
    Message,
    Offline,
    Online,
    Register,
    Registered,
    RunAccepted,
    RunCanceled,
    RunFinished,
    RunPod,
    RunRejected,
    RunReleased,
    RunStarted,
    Unregister,
    Unregistered,
    WorkerMessage,
    WorkerState,
)
from protocol.runs import Rejection
from protocol.topics import Topic

BUSY_HOLD_SECONDS = 10.0
"""A worker that says it is busy gets nothing for this long, or rejections would go round as fast as the network."""

ASK_AGAIN_SECONDS = 15.0
"""Shortest time between two inventories that doubts about a worker cause."""

_log = structlog.get_logger(component="desk")


class Desk:
    """Handles the messages of workers, one at a time, in the caller's transaction."""

    def __init__(self, rules: Rules, inventories: Inventories) -> None:
        self._rules = rules
        self.inventories = inventories
        self._of_worker: dict[type[Message], Callable[..., list[Outgoing]]] = {
            Register: self._register,
            Unregister: self._unregister,
            WorkerState: self._worker_state,
            RunAccepted: self._attempt,
            RunStarted: self._attempt,
            RunPod: self._attempt,
            RunRejected: self._attempt,
            RunFinished: self._attempt,
        }
        self._of_pool: dict[type[Message], Callable[..., list[Outgoing]]] = {
            Online: self._online,
            Offline: self._offline,
            Inventory: self._inventory,
        }

    def handle(self, conn: sa.Connection, topic: Topic, message: Message, now: float) -> list[Outgoing]:
        """Apply one message; return the answers. Raises KeyError for a message that doesn't belong on the topic."""
        if topic.is_pool_level:
            return self._of_pool[type(message)](conn, topic, message, now)
        return self._of_worker[type(message)](conn, topic, message, now)

    def _register(self, conn: sa.Connection, topic: Topic, message: Register, now: float) -> list[Outgoing]:
        key = _key(topic, message)
        if message.protocol != PROTOCOL_VERSION or pools.find_pool(conn, topic.pool) is None:
            _log.warning(
                "registration refused", worker=topic.worker, pool=topic.pool, protocol=message.protocol
            )
            return [_unregistered(topic, message)]
        for old in workers.namesakes(conn, key, message.pool_uid):
            self.part_with(conn, old, now)
        worker = workers.register(
            conn,
            key,
            pool_uid=message.pool_uid,
            metadata=message.metadata,
            version=message.controller_version,
            now=now,
        )
        pools.ensure_connection(conn, key.pool, message.pool_uid, now)
        cycles.remind_of(conn, key, message.pool_uid, now)
        _log.info("worker registered", worker=key.worker, pool=key.pool)
        runs.resend_assignments(conn, pool=key.pool, worker_uid=key.worker_uid, now=now)
        held = [case.attempt for case in self._held(conn, key) if not case.attempt.is_closed]
        believed = held[0] if held else None
        answer = Registered(
            pool_uid=message.pool_uid,
            worker_uid=message.worker_uid,
            drained=worker.drained,
            assignment=worker.assignment,
            run=believed.run if believed else None,
            sequence=believed.sequence if believed else None,
        )
        return [Outgoing(topic.pool, topic.worker, answer)]

    def _unregister(
        self, conn: sa.Connection, topic: Topic, message: Unregister, now: float
    ) -> list[Outgoing]:
        self.part_with(conn, _key(topic, message), now)
        return [_unregistered(topic, message)]

    def _worker_state(
        self, conn: sa.Connection, topic: Topic, message: WorkerState, now: float
    ) -> list[Outgoing]:
        key = _key(topic, message)
        if not self._heard(conn, key, message, now):
            return [_unregistered(topic, message)]
        workers.show_state(conn, key, draining=message.draining, drained=message.drained)
        return []

    def _attempt(
        self, conn: sa.Connection, topic: Topic, message: AttemptMessage, now: float
    ) -> list[Outgoing]:
        key = _key(topic, message)
        known = self._heard(conn, key, message, now)
        # A worker that the operator itself calls unknown needs no word that we have forgotten it.
        gone = isinstance(message, RunRejected) and message.reason is Rejection.UNKNOWN
        answers = [] if known or gone else [_unregistered(topic, message)]
        case = runs.load_case(conn, message.run, message.sequence) or self._adopt(conn, key, message, now)
        if case is None or (case.attempt.pool, case.attempt.worker_uid) != (topic.pool, message.worker_uid):
            answers += _answer_stranger(topic, message)
        else:
            runs.confirm_older(
                conn, pool=topic.pool, worker_uid=message.worker_uid, assignment=case.attempt.assignment
            )
            after = self._apply(case, message, now)
            runs.save(conn, case, after, now)
            if after.run.state is not case.run.state:
                _log.info(
                    "run changed", run=message.run, sequence=message.sequence, state=after.run.state.value
                )
        if isinstance(message, RunRejected):
            self._mind_rejection(conn, key, message, now)
        return answers

    def _adopt(self, conn: sa.Connection, key: WorkerKey, message: AttemptMessage, now: float) -> Case | None:
        """Believe in an attempt that isn't stored here, if what is said shows that it may have started."""
        if isinstance(message, RunRejected):
            return None
        found = Found(
            run=message.run,
            sequence=message.sequence,
            pool=key.pool,
            pool_uid=message.pool_uid,
            worker=key.worker,
            worker_uid=key.worker_uid,
            assignment=message.assignment,
            pod_uid=getattr(message, "pod_uid", None),
        )
        return take_over(conn, found, now)

    def _apply(self, case: Case, message: AttemptMessage, now: float) -> Case:
        match message:
            case RunPod():
                if case.attempt.pod_uid not in (None, message.pod_uid):
                    _log.warning("second Pod of an attempt", run=message.run, sequence=message.sequence)
                return rules_of_attempts.bind_pod(case, message.pod_uid, now)
            case RunRejected():
                refusal = rules_of_attempts.Refusal(message.reason, message.message, message.outcome_reason)
                return rules_of_attempts.reject(case, refusal, now, self._rules)
            case RunFinished():
                return rules_of_attempts.finish(case, message.pod_uid, message.outcome, now, self._rules)
            case RunStarted():
                return rules_of_attempts.accept(started(case, message.pod_uid, now), now)
            case _:
                return rules_of_attempts.accept(case, now)

    def _mind_rejection(self, conn: sa.Connection, key: WorkerKey, message: RunRejected, now: float) -> None:
        if message.reason is Rejection.UNKNOWN:
            self.part_with(conn, key, now)
        elif message.reason is Rejection.DRAINING:
            workers.set_draining(conn, key)
        elif message.reason is Rejection.BUSY:
            workers.hold(conn, key, now + BUSY_HOLD_SECONDS)
            pools.want_inventory(conn, key.pool, message.pool_uid, now, not_within=ASK_AGAIN_SECONDS)

    def _online(self, conn: sa.Connection, topic: Topic, message: Online, now: float) -> list[Outgoing]:
        pools.set_online(conn, topic.pool, message.pool_uid, message.replica, now)
        cycles.remind(conn, topic.pool, message.pool_uid, now)
        return []

    def _offline(self, conn: sa.Connection, topic: Topic, message: Offline, now: float) -> list[Outgoing]:
        if pools.set_offline(conn, topic.pool, message.pool_uid, message.replica, now):
            workers.set_available(conn, topic.pool, message.pool_uid, available=False)
        return []

    def _inventory(self, conn: sa.Connection, topic: Topic, message: Inventory, now: float) -> list[Outgoing]:
        pools.heard_from(conn, topic.pool, message.pool_uid, message.replica, now)
        answers = self.inventories.compare(conn, topic.pool, message, now)
        for key in self.inventories.missing(conn, topic.pool, message, now):
            _log.info("worker missing from inventory", worker=key.worker, pool=key.pool)
            self.part_with(conn, key, now)
            answers.append(
                _unregistered(Topic(topic.namespace, topic.direction, key.pool, key.worker), message, key)
            )
        return answers

    def part_with(self, conn: sa.Connection, key: WorkerKey, now: float) -> None:
        """Forget a worker and do with its attempts what follows."""
        workers.forget(conn, key)
        for case in self._held(conn, key):
            runs.save(conn, case, rules_of_attempts.worker_gone(case, now, self._rules), now)

    def _held(self, conn: sa.Connection, key: WorkerKey) -> list[Case]:
        return runs.open_cases(conn, worker_uid=key.worker_uid, pool=key.pool)

    def _heard(self, conn: sa.Connection, key: WorkerKey, message: WorkerMessage, now: float) -> bool:
        worker = workers.find(conn, key)
        if worker is None or not worker.registered or worker.pool_uid != message.pool_uid:
            return False
        workers.touch(conn, key, now)
        return True


def _key(topic: Topic, message: WorkerMessage) -> WorkerKey:
    return WorkerKey(topic.pool, topic.worker, message.worker_uid)


def _unregistered(topic: Topic, message: Any, key: WorkerKey | None = None) -> Outgoing:  # noqa: ANN401
    uid = key.worker_uid if key else message.worker_uid
    return Outgoing(topic.pool, topic.worker, Unregistered(pool_uid=message.pool_uid, worker_uid=uid))


def _answer_stranger(topic: Topic, message: AttemptMessage) -> list[Outgoing]:
    """Let a worker go that holds an attempt which isn't its own, or which nobody here knows any more."""
    if isinstance(message, RunRejected):
        return []
    _log.warning(
        "message for an unknown attempt", run=message.run, sequence=message.sequence, type=message.type
    )
    kind = RunReleased if isinstance(message, RunFinished) else RunCanceled
    answer = kind(
        pool_uid=message.pool_uid,
        worker_uid=message.worker_uid,
        run=message.run,
        sequence=message.sequence,
        stage=message.stage,
    )
    return [Outgoing(topic.pool, topic.worker, answer)]
