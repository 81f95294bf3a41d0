"""What the proxy in front of the API server does: rules over calls, and how long it follows them."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.faults.api_faults import Call, LostAnswer, Refusal, Rule
from tests.faults.world import World


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


def answer_some(
    world: World,
    link: str,
    share: float,
    fault: Refusal | LostAnswer,
    which: Callable[[Call], bool] = anything,
    *,
    at_least: int,
) -> None:
    """Give a share of a link's calls this fault: until `at_least` of them had it, and eight seconds more."""
    with world.api_answers(link, sometimes(world.random, share, fault, which)) as proxy:
        world.until(lambda: proxy.refused >= at_least, "calls get that answer")
        world.wait(8)


def drop_watches(world: World, link: str) -> None:
    """End every watch of a link twice a second, for ten seconds."""
    with world.api_answers(link, lambda _: None) as proxy:
        dropped = 0
        for _ in range(20):
            world.wait(0.5)
            dropped += proxy.drop_watches()
        assert dropped > 20, f"only {dropped} watches were dropped"


def outdate_watches(world: World, link: str) -> None:
    """End every watch of a link each second, for ten seconds, and refuse most new ones with 410."""
    with world.api_answers(link, sometimes(world.random, 0.7, Refusal(410), watches)) as proxy:
        for _ in range(10):
            world.wait(1)
            proxy.drop_watches()
        world.until(lambda: proxy.refused >= 5, "watches get that answer")
