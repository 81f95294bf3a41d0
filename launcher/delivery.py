"""The last steps of `init` and `grpc-server`: deliver the log, report the result, leave the last word."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from launcher.api_client import LauncherApi
from launcher.clock import repeat
from launcher.errors import ApiError
from launcher.log_stream import LogStream
from launcher.outcome import termination_message
from launcher.run_log import note
from protocol.launcher_api import ResultReport
from protocol.runs import Outcome


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a delivery went."""

    log: bool
    result: bool

    @property
    def complete(self) -> bool:
        """Whether the mothership has everything."""
        return self.log and self.result


def deliver(api: LauncherApi, stream: LogStream, result: ResultReport, deadline: float) -> Delivery:
    """Deliver what is left of the log, then the result; both are tried until `deadline` (monotonic)."""
    # The result says how the run ended: a log that doesn't get through must leave time for it.
    share = time.monotonic() + (deadline - time.monotonic()) * 0.7
    log = stream.flush(share)
    if not log:
        note(f"The end of the log could not be delivered ({stream.waiting} bytes): {stream.trouble}")
    return Delivery(log, report(api, result, deadline))


def report(api: LauncherApi, result: ResultReport, deadline: float) -> bool:
    """Report the result; say whether the mothership took it before `deadline` (monotonic)."""
    try:
        repeat(lambda: api.report(result), deadline)
    except ApiError as error:
        note(f"The result could not be delivered: {error}")
        return False
    return True


def leave_last_word(path: Path, outcome: Outcome) -> None:
    """Write the termination message, where there is a place for one."""
    with contextlib.suppress(OSError):
        path.write_text(termination_message(outcome), encoding="utf-8")
