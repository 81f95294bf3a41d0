"""What the model is worth: a rule of the product that is taken out breaks the promise that it is there for.

The rules are replaced in the product's modules, as any other test would: the model calls whatever is there.
"""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from app.agent import patches
from app.agent.decisions import claim, registration, released
from app.reconcile import worker
from mothership.decisions import attempts, claims
from tests.model.bounds import Search, of_pool, of_run
from tests.model.checker import LIVE
from tests.model.pool_model import WITHIN_SIZE, PoolBounds
from tests.model.run_state import (
    NO_CLAIM_AGAIN,
    NO_POD_DROPPED,
    NO_SECOND_POD,
    NO_SECOND_TRY,
    NOT_GONE_IN_FLIGHT,
    NOT_WHILE_WORKING,
    ONE_START,
    Bounds,
)

Rule = Any


def found(bounds: Bounds | PoolBounds) -> set[str]:
    """Return what a search within these bounds finds first."""
    return set(Search("mutated", bounds).run(stop_early=True, most_states=400_000).findings)


def granted_to_anybody(honest: Rule) -> Rule:
    """Fence 5 without its Pod: whoever claims is granted."""

    def answer(case: Any, pod_uid: str, now: float) -> Any:  # noqa: ANN401
        verdict = honest(case, pod_uid, now)
        return replace(verdict, verdict=claims.Verdict.GRANTED)

    return answer


def claimed_again(honest: Rule) -> Rule:
    """Fence 1: numbers are never looked at."""
    return lambda view, message, pool: honest(replace(view, assignment=0), message, pool)


def wished_for_ever(honest: Rule) -> Rule:
    """Fence 2: the hook asks for a Pod as long as the run isn't over."""

    def wish(view: Any, revisions: Any) -> Any:  # noqa: ANN401
        if view.run is None or view.run.phase == "Finished":
            return honest(view, revisions)
        return honest(replace(view, run=replace(view.run, phase="Scheduled")), revisions)

    return wish


CASES = [
    ("fence 5", claims, "claim", granted_to_anybody, of_run("evict"), ONE_START),
    ("fence 1", claim, "decide", claimed_again, of_run("dup"), NO_CLAIM_AGAIN),
    ("fence 2", worker, "_scheduled_pod", wished_for_ever, of_run("evict"), NO_SECOND_POD),
    ("absence deletes", worker, "may_go", lambda _: lambda *_: True, of_run(), NO_POD_DROPPED),
    (
        "gone in flight",
        worker,
        "_may_be_finalized",
        lambda _: lambda *_: True,
        of_run("udel"),
        NOT_GONE_IN_FLIGHT,
    ),
    ("finalizer stays", released, "guards_nothing", lambda _: lambda *_: False, of_run(), LIVE),
    ("old ends unanswered", attempts, "release", lambda _: lambda case, _now: case, of_run("loss"), LIVE),
    (
        "all ends prove",
        attempts,
        "_proves_end",
        lambda _: lambda _: True,
        of_run("zombie"),
        NOT_WHILE_WORKING,
    ),
    (
        "granted again",
        attempts,
        "worker_gone",
        lambda _: (
            lambda case, now, rules: attempts.queue_again(
                case, attempts.SILENCE, None, now, rules, counted=False
            )
        ),
        of_run("udel deaf", 2),
        NO_SECOND_TRY,
    ),
    (
        "anybody is admitted",
        registration,
        "admissible",
        lambda _: lambda roster, *_: {each.uid for each in roster if each.eligible},
        of_pool("restart"),
        WITHIN_SIZE,
    ),
]


@pytest.mark.parametrize(
    ("module", "name", "mutation", "bounds", "sign"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_rule_that_is_missing_is_missed(
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    mutation: Callable[[Rule], Rule],
    bounds: Bounds | PoolBounds,
    sign: str,
) -> None:
    """The promise that the rule keeps is broken, and by name."""
    monkeypatch.setattr(module, name, mutation(getattr(module, name)))
    assert sign in found(bounds)


def test_a_container_that_outlives_its_lease_is_missed() -> None:
    """Fence 7: without the work's own stop the mothership calls a working run lost."""
    assert NOT_WHILE_WORKING in found(of_run("zombie", self_stop=False))


def test_a_missing_start_marker_is_missed() -> None:
    """Fence 6: a second sandbox of one Pod starts the work again."""
    assert ONE_START in found(of_run("rerun", marker=False))


def test_a_claim_without_precondition_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two agents: the slower one's patch lands on a Worker that has moved on."""
    honest = patches.claimed

    def careless(*arguments: Any) -> Any:  # noqa: ANN401
        return {**honest(*arguments), "metadata": {}}

    monkeypatch.setattr(patches, "claimed", careless)
    assert found(of_run(agents=2))
