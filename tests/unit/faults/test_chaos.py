"""Chaos: the seed alone decides what is done."""

import random

from tests.faults.answers import sometimes, writes
from tests.faults.api_faults import Call, Refusal
from tests.faults.chaos import ACTS, plan


def test_a_seed_brings_the_same_acts_again_and_another_brings_others() -> None:
    """For each round by itself."""
    first = [plan("s", number) for number in range(50)]
    assert first == [plan("s", number) for number in range(50)]
    assert first != [plan("t", number) for number in range(50)]
    assert {act for done in first for act, _ in done} == set(ACTS)


def test_a_rule_draws_once_from_the_scenario_however_many_calls_come() -> None:
    """Else the calls' number would change what the scenario does next."""
    busy, calm = random.Random(1), random.Random(1)  # noqa: S311 - no secret
    rule = sometimes(busy, 0.5, Refusal(500), writes)
    given = [rule(Call("PATCH", "/x", "")) for _ in range(200)]
    sometimes(calm, 0.5, Refusal(500), writes)
    assert busy.random() == calm.random()
    assert 50 < given.count(Refusal(500)) < 150
    assert not any(rule(Call("GET", "/x", "")) for _ in range(50))
