"""Runs a catcher and returns the signs it shows: none while everything is in place."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.mutations import executor
from tests.mutations.registry import EXECUTOR, REPLAY
from tests.mutations.scenarios import SCENARIOS
from tests.mutations.stage import Stage, Stuck
from tests.replay import ours


def signs_of(catcher: str) -> set[str]:
    """Run a catcher by its name."""
    if catcher == REPLAY:
        return _replay()
    if catcher.startswith(EXECUTOR):
        with tempfile.TemporaryDirectory(prefix="executor-") as folder:
            return executor.signs_of(catcher.removeprefix(EXECUTOR), Path(folder))
    return _scenario(catcher)


def _scenario(name: str) -> set[str]:
    with tempfile.TemporaryDirectory(prefix="stage-") as folder:
        stage = Stage(Path(folder), _key())
        try:
            SCENARIOS[name](stage)
            return stage.verdict()
        except Stuck as stuck:
            return (stage.judge.signs - stage.harmless) | {str(stuck)}
        finally:
            stage.close()


def _replay() -> set[str]:
    return {sign for recording in ours.recordings().values() for sign in ours.replay(recording).signs}


@cache
def _key() -> rsa.RSAPrivateKey:
    """Make one key for all: it takes a moment."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
