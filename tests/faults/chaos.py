"""Faults for chaos: each acts and mends itself; which, when and how long comes from the world's randomness alone."""

from __future__ import annotations

import random
from collections.abc import Callable

from devcluster.components import kind
from tests.faults.answers import anything, sometimes, writes
from tests.faults.api_faults import LostAnswer, Refusal
from tests.faults.world import PODS, WORKERS, World, pod_of

Act = Callable[[World], str]
"""Does something, and returns what it did in a few words."""
KILLED = ("operator", "hookdriver", "mosquitto", "mothership", "kube-apiserver", "etcd", "node")
FROZEN = ("operator", "hookdriver", "mosquitto", "mothership", "kube-apiserver", "etcd", "node")
LINKS = (
    "operator-api",
    "operator-broker",
    "mothership-broker",
    "launcher-mothership",
    "hookdriver-operator",
    "hookdriver-api",
    "node-api",
    "api-etcd",
)


def plan(seed: str, number: int) -> list[tuple[Act, float]]:
    """Return what a round does, each act with the seed of its own choices.

    The seed and the round's number alone decide: what an act finds, and so draws, changes no other act.
    """
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - has to repeat itself
    return [(chance.choice(ACTS), chance.random()) for _ in range(chance.randint(1, 3))]


def _seconds(world: World, most: float) -> float:
    return round(world.random.uniform(0.1, most), 2)


def _one_of(world: World, parts: tuple[str, ...]) -> str:
    """Return a part; where it has replicas, any of them."""
    part = world.random.choice(parts)
    return world.random.choice([name for name in world.cluster.components if kind(name) == part])


def kill(world: World) -> str:
    """Kill a part and start it later."""
    part, down = _one_of(world, KILLED), _seconds(world, 4)
    world.crash(part, down)
    return f"{part} was dead for {down} s"


def freeze(world: World) -> str:
    """Stop a part where it is."""
    part, seconds = _one_of(world, FROZEN), _seconds(world, 8)
    world.pause(part, seconds)
    return f"{part} was frozen for {seconds} s"


def kill_two(world: World) -> str:
    """Kill two parts at once and start them in any order."""
    first, second = world.random.sample(("operator", "hookdriver", "mosquitto", "mothership"), 2)
    world.kill(first)
    world.kill(second)
    for part in world.random.sample((first, second), 2):
        world.start(part)
    return f"{first} and {second} died together"


def cut(world: World) -> str:
    """Cut a link."""
    link, seconds = world.random.choice(LINKS), _seconds(world, 6)
    with world.cut(link):
        world.wait(seconds)
    return f"{link} was cut for {seconds} s"


def silence(world: World) -> str:
    """Make a link half-open."""
    link, seconds = world.random.choice(LINKS), _seconds(world, 10)
    with world.silenced(link):
        world.wait(seconds)
    return f"{link} was silent for {seconds} s"


def kill_behind_a_cut(world: World) -> str:
    """Let a part die and come back while it can't reach another."""
    link = world.random.choice(LINKS)
    part = _one_of(world, ("operator", "hookdriver", "mosquitto"))
    with world.silenced(link):
        world.kill(part)
        world.wait(_seconds(world, 3))
    world.start(part)
    return f"{part} died while {link} was silent"


def empty_broker(world: World) -> str:
    """Take the broker's store away."""
    world.empty_broker()
    return "the broker lost its store"


def lose_answers(world: World) -> str:
    """Lose answers of the API server to the operator."""
    with world.api_answers("operator-api", sometimes(world.random, 0.4, LostAnswer(), writes)):
        world.wait(5)
    return "answers to the operator were lost"


def refuse_calls(world: World) -> str:
    """Let the API server refuse what is asked of it."""
    status = world.random.choice((429, 500, 503))
    link = world.random.choice(("operator-api", "hookdriver-api"))
    fault = Refusal(status, retry_after=1 if status == 429 else None)
    with world.api_answers(link, sometimes(world.random, 0.4, fault, anything)):
        world.wait(5)
    return f"{link} was answered {status}"


def lose_a_pod(world: World) -> str:
    """Delete the Pod of a run, in whatever phase."""
    busy = [worker for worker in world.workers() if worker.get("status", {}).get("run")]
    if not busy:
        return "no Pod was there to delete"
    grace = world.random.choice((0, None))
    worker = world.random.choice(busy)
    world.delete(PODS, pod_of(worker), grace)
    return f"a Pod in {worker['status']['run'].get('phase')} was deleted, grace {grace}"


def lose_a_worker(world: World) -> str:
    """Delete a Worker."""
    workers = world.workers()
    if workers:
        world.delete(WORKERS, world.random.choice(workers)["metadata"]["name"])
    return "a Worker was deleted"


ACTS: tuple[Act, ...] = (
    kill,
    kill,
    freeze,
    kill_two,
    cut,
    silence,
    kill_behind_a_cut,
    empty_broker,
    lose_answers,
    refuse_calls,
    lose_a_pod,
    lose_a_worker,
)
