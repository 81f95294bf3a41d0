"""What a cycle's mark makes of a pool's Workers."""

import json
from typing import Any

import pytest

from app.contract.responses import CompositeResponse
from app.reconcile.workerpool import finalize_pool, sync_pool
from tests.unit.builders import busy_worker, idle_worker, pool, pool_request, sequences, worker

Object = dict[str, Any]


def sync(*workers: Object, cycled: object = 3, size: int = 2, closed: int = 3) -> CompositeResponse:
    """Answer a sync of a pool that is to replace its Workers up to the number `cycled`."""
    mark = json.dumps({"id": "01HPS9HDSWCQ73RPDTVAK0KK01", "sequence": cycled})
    return sync_pool(pool_request(pool(size=size, closed=closed, cycle=mark), *workers))


def shape(answer: CompositeResponse) -> list[tuple[int, bool]]:
    """Return number and draining of each wished Worker."""
    return sorted((child["spec"]["sequence"], child["spec"]["draining"]) for child in answer.children)


def test_idle_workers_go_busy_ones_drain_and_new_ones_are_made() -> None:
    """New ones have numbers above the mark's."""
    answer = sync(idle_worker(1), busy_worker(2), idle_worker(3))
    assert shape(answer) == [(2, True), (4, False), (5, False)]


def test_what_was_made_after_the_mark_stays() -> None:
    """A cycle is over once nothing below the mark is left."""
    assert shape(sync(idle_worker(4), busy_worker(5))) == [(4, False), (5, False)]


def test_a_drained_busy_worker_is_not_called_back_by_a_growing_pool() -> None:
    """Unlike the surplus of a smaller size: it is to be replaced whatever the size."""
    assert shape(sync(busy_worker(3, draining=True), idle_worker(4), size=3)) == [
        (3, True),
        (4, False),
        (5, False),
        (6, False),
    ]


def test_a_cycle_closes_numbers_that_this_view_lacks() -> None:
    """Number 2 is perhaps a Worker that isn't seen yet: a new one must not get it, and would have to go at once."""
    answer = sync(idle_worker(1), closed=1)
    assert shape(answer) == [(4, False), (5, False)]
    assert answer.status["sequence"] == 3


def test_the_same_view_is_answered_alike_however_often() -> None:
    """Nothing is remembered from call to call."""
    observed = [idle_worker(1), busy_worker(2), worker(3, deleted=True)]
    assert sync(*observed) == sync(*observed)


@pytest.mark.parametrize("sequence", [-1, 0, "3", None, True, 2**60, 1.5])
def test_a_mark_that_makes_no_sense_changes_nothing(sequence: object) -> None:
    """And never breaks the hook."""
    assert shape(sync(idle_worker(1), busy_worker(2), cycled=sequence)) == [(1, False), (2, False)]


@pytest.mark.parametrize("text", ["", "x", "[]", "null", '{"sequence": 3}'])
def test_a_mark_that_is_none_changes_nothing(text: str) -> None:
    """Whatever somebody wrote there by hand."""
    answer = sync_pool(pool_request(pool(size=1, closed=1, cycle=text), idle_worker(1)))
    assert shape(answer) == [(1, False)]


def test_a_pool_without_its_label_keeps_everybody() -> None:
    """A missing label never deletes, not even for a cycle."""
    mark = json.dumps({"id": "01HPS9HDSWCQ73RPDTVAK0KK01", "sequence": 3})
    answer = sync_pool(pool_request(pool(ulid=None, cycle=mark), idle_worker(1)))
    assert sequences(answer.children) == [1]


def test_a_deleted_pool_waits_for_its_busy_workers_alone() -> None:
    """A cycle makes no difference to it."""
    mark = json.dumps({"id": "01HPS9HDSWCQ73RPDTVAK0KK01", "sequence": 3})
    answer = finalize_pool(pool_request(pool(cycle=mark), idle_worker(1), busy_worker(2)))
    assert shape(answer) == [(2, True)]
    assert answer.finalized is False
