"""Each fence, rule, finalizer, owner and precondition of the design, with the way to switch it off.

Switching off means: the product's own function is replaced, for a moment and from outside, by one that lacks the rule.
The product has no flag for any of this. `caught_by` names the scenarios that must show it; the signs by which they do
are found by running them (docs/fences.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

REPLAY = "replay"
"""Catcher: the recorded hook calls, in every pair of ages (docs/replay.md)."""

EXECUTOR = "executor: "
"""Catcher: the real executor as a process (tests/mutations/executor.py)."""


@dataclass(frozen=True)
class Fence:
    """Something that can be switched off. `part` says what of the design it belongs to."""

    name: str
    part: str
    off: Callable[[], Any]
    caught_by: tuple[str, ...]


FENCES: list[Fence] = []


def fence(
    name: str, part: str, *caught_by: str
) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Any]]:
    """Register the switch of a fence."""

    def register(switch: Callable[[], Iterator[None]]) -> Callable[[], Any]:
        off = contextmanager(switch)
        FENCES.append(Fence(name, part, off, caught_by))
        return off

    return register


def replaced(target: str, by: object) -> Any:  # noqa: ANN401 - a patcher
    """Return a context in which the product's `target` is another object."""
    return patch(target, by)


def instead(target: str, make: Callable[[Any], object]) -> Any:  # noqa: ANN401 - a patcher
    """Return a context in which `target` is what `make` makes of the honest one."""
    from pkgutil import resolve_name

    module, _, name = target.rpartition(".")
    return patch(target, make(getattr(resolve_name(module), name)))
