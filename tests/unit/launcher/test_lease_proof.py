"""Fence 7, from every side that a lease can fail: the run stops by itself before the mothership calls it lost."""

import signal
import time

import pytest

from launcher.api_client import Attempt, LauncherApi
from launcher.clock import boot_hundredths
from launcher.credentials import Credentials, RunToken
from launcher.lease import LeaseKeeper, Renewal
from mothership.decisions.attempts import lease_is_over
from mothership.decisions.claims import renew
from mothership.decisions.states import Attempt as Granted
from mothership.decisions.states import AttemptState, Case, Rules, Run, RunState
from protocol.launcher_api import Settings
from tests.unit.launcher.mothership_fake import RUN, SEQUENCE, TOKEN, MothershipFake
from tests.unit.launcher.pod import Container, Pod, wait_for

SHORT = Settings(lease=1, lost_after=2, stop_grace=2)
MARGIN = 3.0
"""Seconds on top of lost-after and the grace: the executor looks every second, and the machine is busy."""


def working(pod: Pod, mothership: MothershipFake) -> tuple[Container, Container]:
    """Return server and executor of a run whose command marks each tenth of a second, and won't end by itself."""
    pod.prepare("trap '' TERM; echo up; while :; do date +%s.%N >>ticks; sleep 0.1; done", settings=SHORT)
    pod.exchange.lease.unlink()
    server, worker = pod.launcher("grpc-server"), pod.executor()
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    return server, worker


def last_tick(pod: Pod) -> float:
    """Return when the command worked last, by the wall's clock."""
    return float((pod.workspace.project / "ticks").read_text().split()[-1])


def stopped_in_time(pod: Pod, worker: Container, cut_at: float) -> None:
    """Hold that the command, which ignores being told to end, was at an end in time."""
    assert worker.ended().code == 19
    assert last_tick(pod) - cut_at <= SHORT.lost_after + SHORT.stop_grace / 2 + MARGIN


@pytest.mark.parametrize("how", ["breaks off", "hangs", 401, 409, 500, 503])
def test_a_run_whose_lease_cannot_be_renewed_stops(
    connected: Pod, mothership: MothershipFake, how: str | int
) -> None:
    """Whatever the network or the mothership does, half-open connections among it."""
    connected.times = {"SPACELIFT_LAUNCHER_REQUEST_TIMEOUT": "30"}
    _, worker = working(connected, mothership)
    cut_at = time.time()
    if isinstance(how, int):
        mothership.script.failing["lease"] = how
    elif how == "hangs":
        mothership.script.held = frozenset({"lease"})
    else:
        mothership.script.down = frozenset({"*"})
    stopped_in_time(connected, worker, cut_at)
    mothership.script.held = frozenset()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_whose_server_is_dead_or_frozen_stops(
    connected: Pod, mothership: MothershipFake, number: signal.Signals
) -> None:
    """The executor needs nobody to tell it."""
    server, worker = working(connected, mothership)
    cut_at = time.time()
    server.process.send_signal(number)
    stopped_in_time(connected, worker, cut_at)


def test_an_answer_that_was_long_on_its_way_counts_from_the_question(
    connected: Pod, mothership: MothershipFake
) -> None:
    """The mothership counts from before it answered; whoever counted from the answer's arrival would stop too late."""
    mothership.script.slow_lease = 1.0
    seen: list[tuple[Renewal, int]] = []
    found = Credentials(mothership.endpoint, connected.credentials / "ca.crt", RunToken(TOKEN))
    api = LauncherApi(found, Attempt(RUN, SEQUENCE), timeout=10)
    keeper = LeaseKeeper(api, found.token, lambda renewal: seen.append((renewal, boot_hundredths())))
    keeper.start()
    wait_for(lambda: seen, "a renewal")
    keeper.stop()
    api.close()
    renewal, arrived = seen[0]
    assert arrived - renewal.asked_boot >= 100


@pytest.mark.parametrize("late", [0.0, 3.0, 9.99])
def test_the_mothership_waits_until_the_run_has_stopped(late: float) -> None:
    """A renewal may not be written down when the last one is younger than a third of the lease: still it is in time.

    `late` is how much younger the last granted renewal is than the one that is stored.
    """
    rules = Rules()
    attempt = Granted(
        "R", 3, "preparing", "P", "u", "W", "w", 1, AttemptState.GRANTED, 0.0, granted=True, renewed_at=1000.0
    )
    case = Case(Run("R", "P", RunState.STARTED, 3, 3), attempt)
    _, after = renew(case, 1000.0 + late, rules)
    stored = after.attempt.renewed_at or 0.0
    # The executor: lost-after from the asking, half the stop's grace, then SIGKILL; it looks every second.
    dead_by = 1000.0 + late + rules.lost_after + rules.stop_grace / 2 + 2.0
    assert not lease_is_over(after.attempt, dead_by, rules)
    assert lease_is_over(after.attempt, stored + rules.lost_after + rules.lost_grace + 0.1, rules)
