"""What the launcher says about how an attempt ended; pure.

The executor judges the commands itself (it must, when nobody listens any more); here are the outcomes that only the
launcher knows, and the one form in which all of them go into a termination message.
"""

import json

from protocol.launcher_api import LeaseAction
from protocol.runs import Outcome, Reason, Result

# Kubernetes keeps 4096 bytes of a termination message.
_LONGEST = 4096
_LONGEST_MESSAGE = 1000

SECOND_START = "This Pod has already started the run; a run is never executed twice"


def refused(why: str) -> Outcome:
    """Return the outcome of a claim that the mothership refused."""
    return Outcome(Result.CANCELED, Reason.REFUSED, f"The mothership refused the start: {why}")


def started_before() -> Outcome:
    """Return the outcome of a second start in the same Pod (fence 6)."""
    return Outcome(Result.LOST, Reason.REFUSED, SECOND_START)


def init_failed(message: str) -> Outcome:
    """Return the outcome when the workspace could not be prepared."""
    return Outcome(Result.FAILED, Reason.INIT_FAILED, message)


def terminated(while_doing: str) -> Outcome:
    """Return the outcome when the Pod is told to end."""
    return Outcome(Result.FAILED, Reason.POD_DELETED, f"The Pod was told to terminate {while_doing}")


def ended_by_lease(action: LeaseAction, while_doing: str) -> Outcome:
    """Return the outcome when a renewal said that the work must end."""
    if action is LeaseAction.STOP:
        return Outcome(Result.STOPPED, Reason.STOPPED, f"The run was stopped on request {while_doing}")
    return Outcome(Result.LOST, Reason.LEASE_LOST, f"The mothership closed this attempt {while_doing}")


def lease_lost(seconds: int, while_doing: str) -> Outcome:
    """Return the outcome when the lease could not be renewed for too long."""
    text = f"The lease could not be renewed for {seconds} s {while_doing}"
    return Outcome(Result.LOST, Reason.LEASE_LOST, text)


def worker_vanished() -> Outcome:
    """Return the outcome when the executor fell silent; what killed it, only the container's status can say."""
    text = "The worker container ended without a word; it was killed, perhaps for want of memory"
    return Outcome(Result.FAILED, Reason.NON_ZERO_EXIT, text)


def termination_message(outcome: Outcome) -> str:
    """Return the outcome as the JSON of a termination message, short enough for Kubernetes to keep it whole."""
    body = outcome.to_json()
    body["message"] = message = outcome.message[:_LONGEST_MESSAGE]
    # Escapes make bytes of a character six or twelve.
    while len(text := json.dumps(body)) > _LONGEST:
        body["message"] = message = message[: len(message) * 3 // 4]
    return text
