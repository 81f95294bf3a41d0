"""Switches in the sweep of what a cut claim leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

from tests.mutations.registry import fence, replaced


@fence("the Secret of a claim that was cut is swept", "Rule: sweep", "claim-cut-before-the-patch")
def cut_claims_swept() -> Iterator[None]:
    """Leave it."""
    with replaced("app.agent.effects.sweep_run_secret", lambda *_: False):
        yield


@fence("nothing is swept that a Worker holds", "Rule: sweep (held attempts)", "released-while-running")
def held_attempts_not_swept() -> Iterator[None]:
    """Sweep on the mothership's word alone."""
    with replaced("app.agent.decisions.released.holds_nothing_of", lambda *_: True):
        yield
