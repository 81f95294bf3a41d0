"""When it is told that a Worker takes no more runs, or takes them again; pure.

Two may wish it: the mothership (``status.drained``) and the pool (``spec.draining``, set by the hook on a busy Worker
that is one too many). People care for the sum: the second wish is no news, nor is the first that goes.
"""

from dataclasses import replace

from app.agent.decisions.worker_events import EventText, drain_changed
from app.agent.worker_state import WorkerView


def draining_event(former: WorkerView, worker: WorkerView) -> EventText | None:
    """Return the Event about the way from one view of a Worker to another, None when nothing is to be told."""
    before, after = (each.drained or each.draining for each in (former, worker))
    return None if before is after else drain_changed(worker, drained=after)


def pools_wish(former: WorkerView, worker: WorkerView) -> EventText | None:
    """Return the same for what the pool changed alone: a change of the mothership's wish is told where it is stored."""
    return draining_event(replace(former, drained=worker.drained), worker)
