"""The lease in time: the executor's own stop comes before the mothership's word, whatever is lost or late."""

from dataclasses import replace

from mothership.decisions.states import Rules
from tests.model.checker import LIVE, explore
from tests.model.lease_model import NOT_WHILE_WORKING, LeaseBounds, LeaseModel


def test_no_lease_is_called_over_while_the_executor_may_work() -> None:
    """With the default rules, requests and answers up to half a minute late, and any of them lost."""
    report = explore(LeaseModel(LeaseBounds()))
    assert report.complete
    assert report.holds, report.details()


def test_an_executor_that_goes_on_is_missed() -> None:
    """Fence 7 without the executor's half."""
    report = explore(LeaseModel(LeaseBounds(self_stop=False)), live=False)
    assert set(report.findings) == {NOT_WHILE_WORKING}


def test_a_mothership_without_grace_is_missed() -> None:
    """Renewals that come close on each other aren't stored, and ending a command takes its time."""
    report = explore(LeaseModel(LeaseBounds(rules=replace(Rules(), lost_grace=0))))
    assert NOT_WHILE_WORKING in report.findings


def test_a_run_whose_launcher_falls_silent_is_called_lost_in_the_end() -> None:
    """From every moment both sides come to the same end without another fault, or the launcher goes on renewing."""
    assert LIVE not in explore(LeaseModel(LeaseBounds())).findings
