"""Facts about the WorkerPool hooks."""

from typing import Any

import pytest

from app.errors import HookRequestError
from app.reconcile.workerpool import finalize_pool, sync_pool
from app.vocabulary import MAX_POOL_SIZE
from tests.unit.builders import (
    POOL_ULID,
    busy_worker,
    idle_worker,
    names,
    pool,
    pool_request,
    sequences,
    worker,
)

OTHER_ULID = "01HPS9HDSWCQ73RPDTVAK0KK0B"


def draining(children: list[dict[str, Any]]) -> list[int]:
    """Return the sequence numbers of the Workers that are marked draining."""
    return [child["spec"]["sequence"] for child in children if child["spec"]["draining"]]


def test_a_new_pool_gets_as_many_workers_as_it_asks_for() -> None:
    """Each carries its ULID in name and label, the pool's ULID, and the pool's name."""
    answer = sync_pool(pool_request(pool(size=2)))
    assert sequences(answer.children) == [1, 2]
    first = answer.children[0]
    ulid = first["metadata"]["labels"]["workers.spacelift.io/ulid"]
    assert first["metadata"]["name"] == f"local-pool-{ulid.lower()}"
    assert first["metadata"]["labels"]["workers.spacelift.io/workerpool"] == POOL_ULID
    assert first["metadata"]["annotations"] == {"workers.spacelift.io/workerpool-name": "local-pool"}
    assert first["spec"] == {"sequence": 1, "draining": False}


def test_a_pool_size_that_is_absent_counts_as_one() -> None:
    """The same default as the CRD's."""
    assert sequences(sync_pool(pool_request(pool(size=None))).children) == [1]


def test_no_number_makes_a_hook_answer_more_than_a_pool_may_hold() -> None:
    """A CRD of an older schema, or none of ours, lets any number through."""
    answer = sync_pool(pool_request(pool(size=2**31 - 1)))
    assert len(answer.children) == MAX_POOL_SIZE == answer.status["desiredPoolSize"]


def test_the_status_is_a_function_of_the_request() -> None:
    """Sizes, the selector that matches no Pod, mode, ULID and H."""
    answer = sync_pool(pool_request(pool(size=3), worker(1), worker(2, deleted=True)))
    conditions = answer.status.pop("conditions")
    assert answer.status == {
        "desiredPoolSize": 3,
        "actualPoolSize": 1,
        "selector": f"workers.spacelift.io/not-used={POOL_ULID}",
        "autoRegistered": False,
        "poolULID": POOL_ULID,
        "sequence": 2,
    }
    assert [item["type"] for item in conditions] == ["Ready", "CredentialsValid"]


def test_a_worker_that_stays_comes_back_with_the_same_identity_and_spec() -> None:
    """Nothing for Metacontroller to change."""
    observed = idle_worker(1)
    (kept,) = sync_pool(pool_request(pool(size=1), observed)).children
    assert kept["spec"] == observed["spec"]
    assert kept["metadata"]["name"] == observed["metadata"]["name"]
    assert kept["metadata"]["labels"].items() <= observed["metadata"]["labels"].items()


def test_without_a_ulid_label_nothing_is_created_or_deleted() -> None:
    """A pool with bad credentials: no Workers, and no actual size at all."""
    answer = sync_pool(pool_request(pool(size=2, ulid=None)))
    assert answer.children == []
    assert "actualPoolSize" not in answer.status


def test_a_ulid_label_that_went_missing_keeps_every_worker_as_it_is() -> None:
    """A missing label never deletes, whatever the size says, and the status remembers the ULID."""
    lost = pool(size=0, ulid=None, status={"poolULID": POOL_ULID})
    answer = sync_pool(pool_request(lost, idle_worker(1), busy_worker(2, draining=True)))
    assert sequences(answer.children) == [1, 2]
    assert draining(answer.children) == [2]
    assert answer.status["poolULID"] == POOL_ULID
    assert answer.status["actualPoolSize"] == 2


def test_scale_down_never_drops_a_busy_worker() -> None:
    """Busy ones are marked draining instead, and idle ones go first."""
    answer = sync_pool(pool_request(pool(size=0), idle_worker(1), busy_worker(2)))
    assert sequences(answer.children) == [2]
    assert draining(answer.children) == [2]


def test_a_worker_between_claim_and_release_is_busy() -> None:
    """In every phase up to the release, even Finished, and whatever the state says."""
    for phase in ("Scheduled", "Starting", "Running", "Finished"):
        claimed = idle_worker(1)
        claimed["status"]["run"] = {"phase": phase}
        assert sequences(sync_pool(pool_request(pool(size=0), claimed)).children) == [1]


@pytest.mark.parametrize("status", ["broken", 7, ["run"], {"run": "what"}, {"state": "BUSY"}])
def test_a_worker_with_a_status_that_makes_no_sense_counts_as_busy(status: object) -> None:
    """What isn't understood is never dropped, and never breaks the hook."""
    odd = worker(1)
    odd["status"] = status
    assert sequences(sync_pool(pool_request(pool(size=0), odd)).children) == [1]


def test_scale_down_drops_unregistered_first_then_those_without_kept_pods_then_the_youngest() -> None:
    """The order in which idle Workers go."""
    workers = [idle_worker(1), idle_worker(2, keptPods=["kept"]), idle_worker(3), worker(4), idle_worker(5)]
    left = [
        sequences(sync_pool(pool_request(pool(size=size), *workers)).children) for size in (4, 3, 2, 1, 0)
    ]
    assert left == [[1, 2, 3, 5], [1, 2, 3], [1, 2], [2], []]


def test_a_saturated_pool_shrinks_by_draining_and_takes_it_back_when_it_grows() -> None:
    """The mark is worked out anew at each call."""
    workers = [busy_worker(1), busy_worker(2), busy_worker(3)]
    shrunk = sync_pool(pool_request(pool(size=2), *workers))
    assert sorted(draining(shrunk.children)) == [1, 2, 3]
    marked = [busy_worker(number, draining=True) for number in (1, 2, 3)]
    assert sorted(draining(sync_pool(pool_request(pool(size=2), *marked)).children)) == [1, 2, 3]
    assert draining(sync_pool(pool_request(pool(size=3), *marked)).children) == []


@pytest.mark.parametrize("first", [1, 2, 3])
def test_whoever_is_idle_first_makes_a_saturated_pool_smaller(first: int) -> None:
    """Else the pool would wait for a chosen worker's run while others end and are followed by new ones."""
    left = [number for number in (1, 2, 3) if number != first]
    workers = [idle_worker(first, draining=True), *(busy_worker(number, draining=True) for number in left)]
    answer = sync_pool(pool_request(pool(size=2), *workers))
    assert sorted(sequences(answer.children)) == left
    assert draining(answer.children) == [], "what is left is needed, and called back"


def test_a_large_pool_marks_no_more_than_helps() -> None:
    """A thousand writes for the sake of one Worker, and a thousand to take them back, would help nobody."""
    workers = [busy_worker(number) for number in range(1, 101)]
    marked = draining(sync_pool(pool_request(pool(size=97), *workers)).children)
    assert sorted(marked) == list(range(85, 101))
    again = [busy_worker(number, draining=number in marked) for number in range(1, 101)]
    assert draining(sync_pool(pool_request(pool(size=97), *again)).children) == marked


def test_busy_workers_that_drain_already_are_chosen_again() -> None:
    """Otherwise others would be drained at each call."""
    workers = [busy_worker(number, draining=number <= 12) for number in range(1, 31)]
    assert sorted(draining(sync_pool(pool_request(pool(size=29), *workers)).children)) == list(range(1, 13))


def test_nobody_is_marked_while_idle_workers_can_go() -> None:
    """Busy ones aren't in the way."""
    answer = sync_pool(pool_request(pool(size=2), busy_worker(1), idle_worker(2), busy_worker(3)))
    assert sorted(sequences(answer.children)) == [1, 3]
    assert draining(answer.children) == []


def test_a_drained_worker_goes_once_it_is_idle() -> None:
    """Its run was released."""
    answer = sync_pool(pool_request(pool(size=1), busy_worker(1), idle_worker(2, draining=True)))
    assert sequences(answer.children) == [1]


def test_a_deleted_worker_is_replaced_under_another_number() -> None:
    """Terminating Workers are observed but not live."""
    answer = sync_pool(pool_request(pool(size=2, closed=2), idle_worker(1, deleted=True), idle_worker(2)))
    assert sequences(answer.children) == [2, 3]


def test_h_moves_over_the_contiguous_observed_run_only() -> None:
    """The gap may be a Worker that this view doesn't show yet: it is wished for, not skipped."""
    answer = sync_pool(pool_request(pool(size=3), worker(1), worker(3)))
    assert sequences(answer.children) == [1, 3, 2]
    assert answer.status["sequence"] == 1


def test_numbers_up_to_h_are_never_used_again() -> None:
    """They belonged to Workers that are gone."""
    assert sequences(sync_pool(pool_request(pool(size=2, closed=7))).children) == [8, 9]


def test_a_changed_pool_ulid_drains_the_old_workers_and_makes_new_ones() -> None:
    """Idle old ones go, busy old ones finish, nobody is relabelled."""
    changed = pool(size=2, ulid=OTHER_ULID, closed=2)
    answer = sync_pool(pool_request(changed, idle_worker(1), busy_worker(2)))
    assert sequences(answer.children) == [2, 3, 4]
    assert draining(answer.children) == [2]
    labels = [child["metadata"]["labels"]["workers.spacelift.io/workerpool"] for child in answer.children]
    assert labels == [POOL_ULID, OTHER_ULID, OTHER_ULID]


def test_a_deleted_pool_goes_when_no_worker_is_left() -> None:
    """Idle ones are dropped at once, busy ones drain; even a terminating one holds the pool."""
    held = finalize_pool(pool_request(pool(size=2), idle_worker(1), busy_worker(2), finalizing=True))
    assert (sequences(held.children), draining(held.children), held.finalized) == ([2], [2], False)
    terminating = finalize_pool(pool_request(pool(size=2), idle_worker(1, deleted=True)))
    assert (terminating.children, terminating.finalized) == ([], False)
    assert finalize_pool(pool_request(pool(size=2))).finalized is True


def test_a_deleted_pool_without_its_label_is_finalized_all_the_same() -> None:
    """The label says nothing about whether Workers may go when the user deleted the pool."""
    answer = finalize_pool(pool_request(pool(ulid=None), idle_worker(1)))
    assert (answer.children, answer.finalized) == ([], False)
    assert answer.status["desiredPoolSize"] == 2


def test_terminating_workers_are_never_asked_for() -> None:
    """A deleted Worker can't be kept; asking for it would only be noise."""
    answer = sync_pool(pool_request(pool(size=1, closed=1), busy_worker(1, deleted=True)))
    assert sequences(answer.children) == [2]


def test_repeated_syncs_answer_the_same() -> None:
    """Hooks invent nothing; the order of observation doesn't matter either."""
    workers = [busy_worker(3), idle_worker(1), worker(2)]
    first = sync_pool(pool_request(pool(size=5), *workers))
    assert first == sync_pool(pool_request(pool(size=5), *reversed(workers)))
    assert len(set(names(first.children))) == 5


@pytest.mark.parametrize(
    ("size", "message"), [("two", "must be an integer"), (-1, "negative"), (True, "integer")]
)
def test_a_pool_size_of_a_wrong_type_is_refused_with_its_field(size: object, message: str) -> None:
    """The CRD checks it; a hand-made request is told what is wrong."""
    broken = pool()
    broken["spec"]["poolSize"] = size
    with pytest.raises(HookRequestError, match=message) as caught:
        sync_pool(pool_request(broken))
    assert caught.value.field == "parent.spec.poolSize"


@pytest.mark.parametrize("status", [None, "broken", {"sequence": "x", "conditions": 3, "poolULID": 4}])
def test_a_broken_pool_status_is_taken_for_none(status: object) -> None:
    """It is our own earlier answer; the next one replaces it."""
    odd = pool(size=1)
    odd["status"] = status
    assert sequences(sync_pool(pool_request(odd)).children) == [1]


def test_a_pool_without_credentials_of_its_own_counts_as_auto_registered() -> None:
    """Neither token nor private key."""
    bare = pool()
    del bare["spec"]["token"], bare["spec"]["privateKey"]
    assert sync_pool(pool_request(bare)).status["autoRegistered"] is True
