"""How long an attempt may go without its verdict in what is to be seen of it; pure. Longer is an alarm.

Verdicts come of themselves well before: what is counted here says that something is wrong with the operator, with its
rights, or with the API server.
"""

from typing import Final

from app.agent.decisions import progress
from app.agent.decisions.graces import DEFAULTS, Graces
from app.agent.worker_state import Attempt
from protocol.runs import Phase

MARGIN: Final = 10.0
"""Seconds on top of each grace: a look at the API server and a write have to fit in."""


def allowed(attempt: Attempt, seen: progress.Situation, graces: Graces = DEFAULTS) -> float | None:
    """Return for how many seconds `seen` may last without a verdict, None when it may last: its Pod is at work."""
    if attempt.phase is Phase.FINISHED:
        return None
    if seen.pod is None:
        waits = graces.run_pod + graces.refusal if attempt.phase is Phase.SCHEDULED else 0.0
        return waits + MARGIN
    patience = progress.patience(seen, seen.pod, graces)
    return None if patience is None else patience + MARGIN
