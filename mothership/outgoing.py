"""What the mothership sends to workers: an address and a message, and how messages follow from what is stored."""

from dataclasses import dataclass

from mothership.decisions.states import AttemptState, Notice
from mothership.storage.cycles import DueCycle
from mothership.storage.runs import Due
from mothership.storage.workers import Worker
from protocol.messages import (
    Cycle,
    Drain,
    InventoryRequested,
    Message,
    RunCanceled,
    RunReleased,
    RunScheduled,
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for a worker, or for the pool when `worker` equals `pool`."""

    pool: str
    worker: str
    message: Message


def due_message(due: Due) -> Outgoing | None:
    """Return what the worker of a due attempt has to be told; None when there is nothing any more."""
    attempt = due.attempt
    message: Message
    if attempt.state is AttemptState.ASSIGNED and due.payload is not None:
        message = RunScheduled(
            pool_uid=attempt.pool_uid,
            worker_uid=attempt.worker_uid,
            run=attempt.run,
            stage=attempt.stage,
            sequence=attempt.sequence,
            assignment=attempt.assignment,
            runner_image=due.runner_image,
            tool=due.tool,
            launcher_image=due.launcher_image,
            payload=due.payload,
        )
    elif attempt.notice is not None:
        kind = RunCanceled if attempt.notice is Notice.CANCELED else RunReleased
        message = kind(
            pool_uid=attempt.pool_uid,
            worker_uid=attempt.worker_uid,
            run=attempt.run,
            sequence=attempt.sequence,
            stage=attempt.stage,
        )
    else:
        return None
    return Outgoing(attempt.pool, attempt.worker, message)


def drain_message(worker: Worker) -> Outgoing:
    """Return the drain (or its end) that the worker has to be told of."""
    message = Drain(pool_uid=worker.pool_uid, worker_uid=worker.key.worker_uid, drained=worker.drained)
    return Outgoing(worker.key.pool, worker.key.worker, message)


def inventory_request(pool: str, pool_uid: str) -> Outgoing:
    """Return the question what a pool object's operator holds."""
    return Outgoing(pool, pool, InventoryRequested(pool_uid=pool_uid))


def cycle_message(due: DueCycle) -> Outgoing:
    """Return the wish that a pool object's operator replaces its workers."""
    return Outgoing(due.pool, due.pool, Cycle(pool_uid=due.pool_uid, cycle=due.cycle))
