"""The identity property: lagging views, repeats, restarts, deletions and scaling, in any order.

A small world with one hook driver: the true Workers and the true pool, and two views of them that lag each by
itself and fall back to older states at a restart. What the agent keeps (never more registered than `poolSize`) is
not in this world; what the hooks keep is.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.contract.responses import CompositeResponse
from app.reconcile.identity import worker_ulid
from app.reconcile.workerpool import sync_pool
from tests.unit.builders import POOL_UID, busy_worker, idle_worker, pool, pool_request, sequences, worker

Object = dict[str, Any]


class PoolUnderLag(RuleBasedStateMachine):
    """One pool, its Workers, and a driver that sees both late."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 3
        self.closed = 0
        self.cycled = 0
        self.workers: dict[str, Object] = {}
        self.incarnations = 0
        self.pool_states: list[tuple[int, int, int]] = [(self.size, 0, 0)]
        self.worker_states: list[dict[str, Object]] = [{}]
        self.pool_view = 0
        self.worker_view = 0

    # --- what happens in the cluster ---

    @rule(size=st.integers(0, 5))
    def the_user_scales(self, size: int) -> None:
        """Change ``spec.poolSize``."""
        self.size = size
        self._changed()

    @precondition(lambda self: self.workers)
    @rule()
    def the_agent_marks_a_cycle(self) -> None:
        """Have every Worker of now replaced: the agent reads them from the API server itself."""
        self.cycled = max(self.cycled, *sequences(list(self.workers.values())))
        self._changed()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def the_user_deletes_a_worker(self, data: st.DataObject) -> None:
        """Mark a Worker deleted; its finalizer still holds it."""
        name = data.draw(st.sampled_from(sorted(self.workers)))
        self.workers[name]["metadata"]["deletionTimestamp"] = "2026-01-02T04:00:00Z"
        self._changed()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def the_agent_claims_a_run(self, data: st.DataObject) -> None:
        """Record a run on a Worker that may take one."""
        found = self.workers[data.draw(st.sampled_from(sorted(self.workers)))]
        if "deletionTimestamp" not in found["metadata"] and not found["spec"]["draining"]:
            found["status"] |= {"registration": "Registered", "state": "BUSY", "run": {"phase": "Scheduled"}}
            self._changed()

    @rule()
    def all_runs_are_released(self) -> None:
        """Let every busy Worker become idle."""
        for found in self.workers.values():
            if found["status"].pop("run", None):
                found["status"]["state"] = "IDLE"
        self._changed()

    @rule()
    def deleted_idle_workers_are_finalized(self) -> None:
        """Let deleted Workers go that have no run."""
        self.workers = {
            name: found
            for name, found in self.workers.items()
            if "deletionTimestamp" not in found["metadata"] or "run" in found["status"]
        }
        self._changed()

    # --- what the driver does ---

    @rule(steps=st.integers(1, 4))
    def the_pool_view_advances(self, steps: int) -> None:
        """Let the driver see newer states of the pool."""
        self.pool_view = min(self.pool_view + steps, len(self.pool_states) - 1)

    @rule(steps=st.integers(1, 4))
    def the_worker_view_advances(self, steps: int) -> None:
        """Let the driver see newer states of the Workers."""
        self.worker_view = min(self.worker_view + steps, len(self.worker_states) - 1)

    @rule(back=st.integers(1, 6))
    def the_driver_restarts_onto_old_lists(self, back: int) -> None:
        """Let both views fall back."""
        self.pool_view = max(self.pool_view - back, 0)
        self.worker_view = max(self.worker_view - back, 0)

    @rule(created=st.integers(0, 5), status_written=st.booleans())
    def the_driver_syncs(self, created: int, status_written: bool) -> None:
        """Apply an answer, perhaps only in part: the driver may die after any write."""
        observed = self.worker_states[self.worker_view]
        answer = self._call()
        self._judge(answer, observed)
        self._apply(answer, observed, created, status_written)

    # --- what must hold ---

    @invariant()
    def a_name_always_means_the_same_number(self) -> None:
        """Check that a Worker's name follows from its number."""
        for name, found in self.workers.items():
            assert name == f"local-pool-{worker_ulid(POOL_UID, found['spec']['sequence']).lower()}"

    def teardown(self) -> None:
        """Once the faults stop, the pool settles at its size."""
        self.all_runs_are_released()
        for _ in range(6):
            self._catch_up()
            self._apply(self._call(), self.worker_states[self.worker_view], 99, status_written=True)
            self.deleted_idle_workers_are_finalized()
        self._catch_up()
        assert len(self.workers) == self.size
        assert all(found["spec"]["sequence"] > self.cycled for found in self.workers.values())
        assert sorted(sequences(self._call().children)) == sorted(sequences(list(self.workers.values())))

    def _judge(self, answer: CompositeResponse, observed: dict[str, Object]) -> None:
        _, stored, cycled = self.pool_states[self.pool_view]
        closed = max(stored, cycled)
        seen = {found["spec"]["sequence"] for found in observed.values()}
        assert answer == self._call(), "the same observation wishes for the same Workers"
        assert answer.status["sequence"] >= closed, "H never falls"
        assert set(range(closed + 1, answer.status["sequence"] + 1)) <= seen, "H passes observed numbers only"
        wished = {child["metadata"]["name"]: child for child in answer.children}
        for name, found in observed.items():
            if "deletionTimestamp" not in found["metadata"] and "run" in found["status"]:
                assert name in wished, "a Worker seen busy is never dropped"
            if name in wished:
                assert wished[name]["spec"]["sequence"] == found["spec"]["sequence"], "identity never changes"
        for child in answer.children:
            if child["metadata"]["name"] not in observed:
                assert child["spec"]["sequence"] > closed, "closed numbers are never used again"

    def _call(self) -> CompositeResponse:
        size, closed, cycled = self.pool_states[self.pool_view]
        observed = self.worker_states[self.worker_view]
        mark = json.dumps({"id": "01HPS9HDSWCQ73RPDTVAK0KK01", "sequence": cycled}) if cycled else None
        return sync_pool(pool_request(pool(size=size, closed=closed, cycle=mark), *observed.values()))

    def _apply(
        self, answer: CompositeResponse, observed: dict[str, Object], created: int, status_written: bool
    ) -> None:
        """Do what Metacontroller does: delete by UID, update in place, create unless it exists, write status."""
        wished = {child["metadata"]["name"]: child for child in answer.children}
        for name, seen in observed.items():
            true = self.workers.get(name)
            if true is None or true["metadata"]["uid"] != seen["metadata"]["uid"]:
                continue
            if name not in wished:
                true["metadata"]["deletionTimestamp"] = "2026-01-02T04:00:00Z"
            elif seen == true:
                true["spec"] = wished[name]["spec"]
        for name in [name for name in wished if name not in observed and name not in self.workers][:created]:
            self.incarnations += 1
            child = copy.deepcopy(wished[name])
            child["metadata"]["uid"] = f"worker-uid-{self.incarnations}"
            self.workers[name] = child | {"status": {}}
        if status_written:
            self.closed = answer.status["sequence"]
        self._changed()

    def _changed(self) -> None:
        self.pool_states.append((self.size, self.closed, self.cycled))
        self.worker_states.append(copy.deepcopy(self.workers))

    def _catch_up(self) -> None:
        self.pool_view = len(self.pool_states) - 1
        self.worker_view = len(self.worker_states) - 1


TestPoolUnderLag = PoolUnderLag.TestCase
TestPoolUnderLag.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(
    live=st.sets(st.integers(1, 12), max_size=6),
    terminating=st.sets(st.integers(13, 16), max_size=2),
    closed=st.integers(0, 12),
    size=st.integers(0, 8),
    data=st.data(),
)
@settings(deadline=None)
def test_any_part_of_a_batch_that_is_seen_is_completed_to_the_same_batch(
    live: set[int], terminating: set[int], closed: int, size: int, data: st.DataObject
) -> None:
    """Whatever part of the wished Workers a later view shows, with the old H or the new one: same Workers."""
    observed = [idle_worker(n) for n in live] + [worker(n, deleted=True) for n in terminating]
    first = sync_pool(pool_request(pool(size=size, closed=closed), *observed))
    batch = set(sequences(first.children)) - live
    visible = data.draw(st.sets(st.sampled_from(sorted(batch)))) if batch else set()
    h = data.draw(st.sampled_from([closed, first.status["sequence"]]))
    later = sync_pool(pool_request(pool(size=size, closed=h), *observed, *[worker(n) for n in visible]))
    assert visible | (set(sequences(later.children)) - live - visible) == batch or len(live) > size


@given(
    states=st.lists(st.sampled_from(["idle", "busy", "unregistered"]), max_size=12),
    size=st.integers(0, 14),
)
@settings(deadline=None)
def test_no_more_workers_serve_than_the_pool_asks_for(states: list[str], size: int) -> None:
    """Kept and new Workers that aren't draining are never more than the size; as many, unless too many are busy."""
    build = {"idle": idle_worker, "busy": busy_worker, "unregistered": worker}
    observed = [build[state](number) for number, state in enumerate(states, start=1)]
    answer = sync_pool(pool_request(pool(size=size), *observed))
    serving = [child for child in answer.children if not child["spec"]["draining"]]
    assert len(serving) == size or (len(serving) < size < states.count("busy"))
    assert len(answer.children) == max(size, states.count("busy"))
