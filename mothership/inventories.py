"""Comparing what an operator says it holds with what is stored, both ways."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from mothership.decisions.inventory import observe
from mothership.decisions.states import Rules
from mothership.outgoing import Outgoing
from mothership.storage import runs, workers
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
        return [
            worker.key
            for worker in workers.registered_of(conn, pool, message.pool_uid)
            if worker.key not in parts.workers and worker.seen_at < now - SETTLE_SECONDS
        ]

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
        if old is not None and (old.attempt.pool, old.attempt.worker_uid) == (pool, seen.worker_uid):
            runs.save(conn, old, observe(old, seen, now, self._rules), now)
            return []
        answer = _let_go(pool_uid, seen, seen.run, seen.sequence)
        return [Outgoing(pool, seen.worker, answer)] if answer else []


def _let_go(pool_uid: str, seen: InventoryWorker, run: str, sequence: int) -> Message | None:
    """Return what makes a worker drop an attempt that nobody here knows, as far as it may be dropped."""
    if seen.phase == Phase.FINISHED:
        return RunReleased(pool_uid=pool_uid, worker_uid=seen.worker_uid, run=run, sequence=sequence)
    if seen.phase in (Phase.SCHEDULED, Phase.STARTING):
        return RunCanceled(pool_uid=pool_uid, worker_uid=seen.worker_uid, run=run, sequence=sequence)
    return None
