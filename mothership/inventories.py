"""Comparing what an operator says it holds with what is stored, both ways."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from mothership.adoption import take_over
from mothership.decisions.inventory import observe
from mothership.decisions.recovery import Found
from mothership.decisions.states import STAGE, Rules
from mothership.outgoing import Outgoing
from mothership.storage import pools, runs, workers
from mothership.storage.workers import WorkerKey
from protocol.messages import Inventory, InventoryWorker, Message, RunCanceled, RunReleased, Unregistered
from protocol.runs import Phase

SETTLE_SECONDS = 10.0
"""A worker heard of this recently may be younger than the inventory that lacks it."""


@dataclass(slots=True)
class _Parts:
    replica: str
    of: int
    got: set[int] = field(default_factory=set)
    workers: set[WorkerKey] = field(default_factory=set)


class Inventories:
    """Compares inventories part by part and remembers which parts have come.

    That memory may be lost: the next inventory is whole again.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._parts: dict[tuple[str, str], _Parts] = {}
        self._heard: set[tuple[str, str]] = set()

    def compare(self, conn: sa.Connection, pool: str, message: Inventory, now: float) -> list[Outgoing]:
        """Bring the workers of one part in line; return what strangers among them are told."""
        answers: list[Outgoing] = []
        for seen in message.workers:
            key = WorkerKey(pool, seen.worker, seen.worker_uid)
            worker = workers.find(conn, key)
            if worker is None or not worker.registered or worker.pool_uid != message.pool_uid:
                told = Unregistered(pool_uid=message.pool_uid, worker_uid=seen.worker_uid)
                answers.append(Outgoing(pool, seen.worker, told))
            else:
                workers.touch(conn, key, now)
                workers.count_assignments(conn, [(key, seen.assignment)])
                if seen.draining is not None and seen.drained is not None:
                    workers.show_state(conn, key, draining=seen.draining, drained=seen.drained)
            answers += self._compare_worker(conn, pool, message.pool_uid, seen, now)
        return answers

    def missing(self, conn: sa.Connection, pool: str, message: Inventory, now: float) -> list[WorkerKey]:
        """Return registered workers that a whole inventory lacks; nothing until its last part has come."""
        source = (pool, message.pool_uid)
        if message.part == 1:
            self._parts[source] = _Parts(message.replica, message.parts)
        parts = self._parts.get(source)
        if parts is None or (parts.replica, parts.of) != (message.replica, message.parts):
            return []
        parts.got.add(message.part)
        parts.workers |= {WorkerKey(pool, seen.worker, seen.worker_uid) for seen in message.workers}
        if len(parts.got) < message.parts:
            return []
        del self._parts[source]
        self._heard.add(source)
        return [
            worker.key
            for worker in workers.registered_of(conn, pool, message.pool_uid)
            if worker.key not in parts.workers and worker.seen_at < now - SETTLE_SECONDS
        ]

    def unheard(self, conn: sa.Connection) -> set[str]:
        """Return the pools of which an operator that should be there hasn't sent an inventory to this process yet.

        Until then their runs may be at work without being stored here.
        """
        return {pool for pool, uid in pools.online(conn) if (pool, uid) not in self._heard}

    def _compare_worker(
        self, conn: sa.Connection, pool: str, pool_uid: str, seen: InventoryWorker, now: float
    ) -> list[Outgoing]:
        cases = runs.open_cases(conn, worker_uid=seen.worker_uid, pool=pool)
        for case in cases:
            runs.save(conn, case, observe(case, seen, now, self._rules), now)
        known = {(case.attempt.run, case.attempt.sequence) for case in cases}
        if seen.run is None or seen.sequence is None or (seen.run, seen.sequence) in known:
            return []
        old = runs.load_case(conn, seen.run, seen.sequence)
        if old is None:
            old = take_over(conn, _found(pool, pool_uid, seen, seen.run, seen.sequence), now)
        if old is not None and (old.attempt.pool, old.attempt.worker_uid) == (pool, seen.worker_uid):
            runs.save(conn, old, observe(old, seen, now, self._rules), now)
            return []
        answer = _let_go(pool_uid, seen, seen.run, seen.sequence)
        return [Outgoing(pool, seen.worker, answer)] if answer else []


def _found(pool: str, pool_uid: str, seen: InventoryWorker, run: str, sequence: int) -> Found:
    return Found(
        run=run,
        sequence=sequence,
        pool=pool,
        pool_uid=pool_uid,
        worker=seen.worker,
        worker_uid=seen.worker_uid,
        assignment=seen.assignment,
        pod_uid=seen.pod_uid,
    )


def _let_go(pool_uid: str, seen: InventoryWorker, run: str, sequence: int) -> Message | None:
    """Return what makes a worker drop an attempt that nobody here knows, as far as it may be dropped."""
    uids = {"pool_uid": pool_uid, "worker_uid": seen.worker_uid}
    if seen.phase == Phase.FINISHED:
        return RunReleased(**uids, run=run, sequence=sequence, stage=STAGE)
    if seen.phase in (Phase.SCHEDULED, Phase.STARTING):
        return RunCanceled(**uids, run=run, sequence=sequence, stage=STAGE)
    return None
