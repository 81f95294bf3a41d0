"""Doing things that depend on each other, as many at once as can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter


@dataclass(frozen=True)
class Step:
    """Something to do after other steps."""

    action: Callable[[], object]
    after: tuple[str, ...] = ()


def run(steps: Mapping[str, Step], abandon: Callable[[], object] = lambda: None) -> None:
    """Do every step after those it names; names of steps that are not there count as done.

    When one fails, no further step begins, `abandon` is called to cut short those under way, and the first error is
    raised once they have ended. The same happens when the wait itself is interrupted.
    """
    order = TopologicalSorter(
        {name: [dep for dep in step.after if dep in steps] for name, step in steps.items()}
    )
    order.prepare()
    with ThreadPoolExecutor(max_workers=max(1, len(steps)), thread_name_prefix="devcluster-step") as pool:
        try:
            _work_off(order, steps, pool)
        except BaseException:
            abandon()
            raise


def _work_off(order: TopologicalSorter[str], steps: Mapping[str, Step], pool: ThreadPoolExecutor) -> None:
    under_way: dict[Future[object], str] = {}
    while order.is_active():
        under_way.update({pool.submit(steps[name].action): name for name in order.get_ready()})
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
            order.done(under_way.pop(future))
