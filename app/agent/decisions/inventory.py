"""The inventory of a pool: every Worker that the mothership may know, with what it holds; pure."""

from collections.abc import Collection, Sequence

from app.agent.decisions.outbox import drain_state
from app.agent.worker_state import WorkerView
from protocol.messages import INVENTORY_PART_WORKERS, Inventory, InventoryWorker


def parts(
    workers: Sequence[WorkerView], admitted: Collection[str], pool_uid: str, replica: str
) -> list[Inventory]:
    """Return the inventory in messages of a bounded size; an empty pool is one empty part.

    Workers that were never introduced are left out: for the mothership they don't exist. While the run of any
    Worker can't be read there is no inventory at all: leaving that Worker out, or calling it idle, would be untrue.
    """
    if not all(each.understood for each in workers):
        return []
    known = [each for each in workers if each.registered or each.uid in admitted]
    chunks = [
        known[start : start + INVENTORY_PART_WORKERS]
        for start in range(0, len(known), INVENTORY_PART_WORKERS)
    ] or [[]]
    return [
        Inventory(
            pool_uid=pool_uid,
            replica=replica,
            part=number,
            parts=len(chunks),
            workers=tuple(_line(worker) for worker in chunk),
        )
        for number, chunk in enumerate(chunks, start=1)
    ]


def _line(worker: WorkerView) -> InventoryWorker:
    run, (draining, drained) = worker.run, drain_state(worker)
    return InventoryWorker(
        worker=worker.ulid,
        worker_uid=worker.uid,
        assignment=worker.assignment,
        run=run.run if run else None,
        sequence=run.sequence if run else None,
        phase=run.phase.value if run else None,
        pod_uid=run.pod_uid if run else None,
        draining=draining,
        drained=drained,
    )
