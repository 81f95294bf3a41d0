"""Bodies of the launcher's calls: typed both ways, and valid by the published OpenAPI document."""

from pathlib import Path

import openapi_spec_validator
import pytest
import yaml
from openapi_spec_validator.readers import read_from_filename

import protocol
from protocol.launcher_api import (
    BodyError,
    ClaimRequest,
    LeaseAction,
    LeaseAnswer,
    PhaseReport,
    ResultReport,
    RunDetails,
    Source,
)
from protocol.runs import Outcome, Reason, Result

OPENAPI = Path(protocol.__file__).with_name("openapi.yaml")
DETAILS = RunDetails(
    run="01HPS6XB76J1JB3EHSK4AWE5AB",
    stage="preparing",
    sequence=2,
    source=Source("file:///srv/repo.git", "main", project_root="infra"),
    commands=("make", "true"),
    environment={"A": "b"},
)


def test_the_openapi_document_is_valid() -> None:
    """Its own specification's validator says so."""
    document, uri = read_from_filename(str(OPENAPI))
    openapi_spec_validator.validate(document, base_uri=uri)


def test_the_openapi_document_has_every_call_of_the_design() -> None:
    """Six resources of one attempt."""
    paths = yaml.safe_load(OPENAPI.read_text())["paths"]
    assert {path.rsplit("/", 1)[1] for path in paths} == {
        "claim", "details", "lease", "logs", "workspace", "result",
    }  # fmt: skip


def test_bodies_come_back_as_they_were() -> None:
    """to_json and from_json are inverse."""
    report = ResultReport(
        Outcome(Result.FAILED, Reason.NON_ZERO_EXIT, "no", {"worker": 3}), (PhaseReport("run", 3, 0.5),)
    )
    answer = LeaseAnswer(LeaseAction.STOP, 30, 120, "next")
    assert RunDetails.from_json(DETAILS.to_json()) == DETAILS
    assert ResultReport.from_json(report.to_json()) == report
    assert LeaseAnswer.from_json(answer.to_json()) == answer
    assert ClaimRequest.from_json(ClaimRequest("uid").to_json()) == ClaimRequest("uid")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"commands": "make"}, "commands"),
        ({"commands": [1]}, "commands"),
        ({"environment": {"A": 1}}, "environment"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"run": ""}, "run"),
        ({"source": {"type": "svn", "url": "x"}}, "source.type"),
        ({"source": {"type": "git"}}, "url"),
        ({"settings": {"leaseSeconds": "30"}}, "leaseSeconds"),
    ],
)
def test_a_bad_body_names_its_field(change: dict[str, object], field: str) -> None:
    """The field's name is in the error."""
    with pytest.raises(BodyError) as caught:
        RunDetails.from_json(DETAILS.to_json() | change)
    assert caught.value.field == field


@pytest.mark.parametrize("body", [None, [], "x", {"outcome": None}, {"outcome": {"result": "won"}}])
def test_a_report_that_is_none_is_refused(body: object) -> None:
    """No other exception comes out."""
    with pytest.raises(BodyError):
        ResultReport.from_json(body)
