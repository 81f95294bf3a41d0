"""What a run says of its image and tool reaches the worker; how it ended is one report for the API and for people."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mothership import printing
from mothership.cli import build_parser
from protocol import messages
from protocol.runs import Outcome, Reason, Rejection, Result
from tests.unit.mothership.conftest import Mothership

OOM = Outcome(Result.FAILED, Reason.OOM_KILLED, "worker: limit 64Mi", {"worker": 137, "init": 0})


def shown(mothership: Mothership, run: str) -> Any:  # noqa: ANN401 - JSON
    """Return what `run show -o json` prints."""
    return mothership.admin("GET", f"/v1/runs/{run}").get_json()


def test_a_run_that_names_no_image_leaves_it_to_the_pool(mothership: Mothership) -> None:
    """The worker gets an empty runnerImage and the tool; people read whose default it is."""
    mothership.player()
    run = mothership.trigger(tool="ansible")
    (scheduled,) = mothership.schedule()
    assert (scheduled.runner_image, scheduled.tool) == ("", "ansible")
    text = printing.run(shown(mothership, run), 0.0)
    assert "Image:     <default of the pool>" in text
    assert "Tool:      ansible" in text


def test_a_named_image_wins_over_both_defaults(mothership: Mothership) -> None:
    """And a run that says nothing of its tool sends an empty one."""
    mothership.player()
    mothership.trigger(runnerImage="ghcr.io/x/y:1")
    (scheduled,) = mothership.schedule()
    assert (scheduled.runner_image, scheduled.tool) == ("ghcr.io/x/y:1", "")


def test_the_motherships_own_default_is_sent_for_runs_that_name_none(
    tmp_path_factory: pytest.TempPathFactory, rsa_key: rsa.RSAPrivateKey
) -> None:
    """--default-runner-image is the choice of whoever runs the mothership."""
    site = Mothership(tmp_path_factory.mktemp("site"), rsa_key, default_runner_image="own/runner:2")
    site.player()
    site.trigger()
    (scheduled,) = site.schedule()
    assert scheduled.runner_image == "own/runner:2"
    site.database.close()


def test_the_tool_is_an_option_of_trigger() -> None:
    """Free text, nothing by default."""
    arguments = ["run", "trigger", "--pool", "p", "--command", "true"]
    parser = build_parser({})
    assert parser.parse_args(arguments).tool is None
    assert parser.parse_args([*arguments, "--tool", "ansible"]).tool == "ansible"


@pytest.mark.parametrize(
    ("rejection", "named", "reason"),
    [
        (Rejection.IMAGE_NOT_ALLOWED, None, "ImageNotAllowed"),
        (Rejection.INVALID, None, "ConfigError"),
        (Rejection.INVALID, Reason.INVALID_IMAGE, "InvalidImage"),
    ],
)
def test_a_rejected_run_is_reported_with_the_operators_words(
    mothership: Mothership, rejection: Rejection, named: Reason | None, reason: str
) -> None:
    """The report names the worker that refused; there was no Pod."""
    worker = mothership.player()
    run = mothership.trigger(runnerImage="ghcr.io/x/y")
    (scheduled,) = mothership.schedule()
    words = {"reason": rejection, "message": "not from ghcr.io", "outcome_reason": named}
    mothership.answer(worker, messages.RunRejected, scheduled, **words)
    assert shown(mothership, run)["outcome"] == {
        "result": "failed",
        "reason": reason,
        "message": "not from ghcr.io",
        "exitCodes": {},
        "worker": worker.id,
        "podUID": None,
    }
    listed = printing.runs(mothership.admin("GET", "/v1/runs").get_json()["runs"], 0.0)
    assert f"failed   {reason}   {worker.id}" in listed


def test_a_failed_run_shows_exit_codes_worker_and_pod(mothership: Mothership) -> None:
    """The same report as JSON and as text."""
    worker, scheduled = mothership.granted()
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=OOM)
    item = shown(mothership, scheduled.run)
    assert item["outcome"] == OOM.to_json() | {"worker": worker.id, "podUID": "pod-1"}
    text = printing.run(item, 0.0)
    for line in (
        "Reason:    OOMKilled",
        "Message:   worker: limit 64Mi",
        "Exits:     init 0, worker 137",
        f"Worker:    {worker.id}",
        "Pod UID:   pod-1",
    ):
        assert line in text.splitlines()


def test_a_run_canceled_while_it_waited_again_ended_on_no_worker(mothership: Mothership) -> None:
    """Its former attempt had a worker and a Pod, but the verdict isn't about them."""
    worker = mothership.player()
    run = mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunRejected, scheduled, reason=Rejection.BUSY)
    mothership.admin("POST", f"/v1/runs/{run}/stop", json={})
    outcome = shown(mothership, run)["outcome"]
    assert (outcome["reason"], outcome["worker"], outcome["podUID"]) == ("Canceled", None, None)
