"""Rules for the proxy in front of the API server."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.faults.api_faults import Call, LostAnswer, Refusal, Rule


def anything(_: Call) -> bool:
    """Mean every call."""
    return True


def writes(call: Call) -> bool:
    """Mean calls that change something."""
    return call.writes


def patches(call: Call) -> bool:
    """Mean calls that somebody else's write may have overtaken."""
    return call.method in ("PATCH", "PUT")


def watches(call: Call) -> bool:
    """Mean calls that open a watch."""
    return call.watches


def sometimes(
    chance: random.Random, share: float, fault: Refusal | LostAnswer, which: Callable[[Call], bool] = anything
) -> Rule:
    """Give a share of the calls that are meant this fault.

    It draws from `chance` once: calls come as they come, and must not change what the scenario draws next.
    """
    own = random.Random(chance.random())  # noqa: S311 - has to repeat itself
    return lambda call: fault if which(call) and own.random() < share else None
