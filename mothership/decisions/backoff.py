"""When an unanswered message is sent again."""

PROMPT = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds between repeats of what somebody waits for: run_scheduled, run_canceled, drain."""

RELAXED = (5.0, 15.0, 60.0, 300.0)
"""Seconds between repeats of run_released: the operator asks again by itself by repeating run_finished."""


def delay(tries: int, steps: tuple[float, ...] = PROMPT) -> float:
    """Return the seconds to wait after a message was sent for the `tries`-th time (1 is the first)."""
    return steps[min(max(tries, 1), len(steps)) - 1]
