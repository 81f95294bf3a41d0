"""Facts about the hooks as Metacontroller and curl see them: recorded requests, recorded answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

HERE = Path(__file__).parent
RECORDED = sorted(path.stem for path in (HERE / "requests").glob("*.json"))
HOOKS = [
    "/sync/workerpool",
    "/finalize/workerpool",
    "/sync/worker",
    "/finalize/worker",
    "/customize/worker",
]


def recorded(name: str) -> dict[str, Any]:
    """Return a recorded request."""
    request: dict[str, Any] = json.loads((HERE / "requests" / f"{name}.json").read_text(encoding="utf-8"))
    return request


def path_of(name: str) -> str:
    """Return the hook that a recording belongs to: `sync-worker-running` was sent to /sync/worker."""
    hook, kind, *_ = name.split("-")
    return f"/{hook}/{kind}"


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_request_answers_what_it_always_did(client: FlaskClient, name: str) -> None:
    """Today, next year, on any replica, and twice in a row."""
    expected = json.loads((HERE / "answers" / f"{name}.json").read_text(encoding="utf-8"))
    for _ in range(2):
        answer = client.post(path_of(name), json=recorded(name))
        assert answer.status_code == 200
        assert answer.get_json() == expected


def test_every_hook_has_a_recording() -> None:
    """So that the documentation's curl lines work for each."""
    assert {path_of(name) for name in RECORDED} == set(HOOKS)


def test_an_answer_says_how_long_it_took(client: FlaskClient) -> None:
    """In a header, so that the body stays a function of the request."""
    answer = client.post("/sync/workerpool", json=recorded("sync-workerpool"))
    assert answer.headers["Server-Timing"].startswith("hook;dur=")


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[]", "a list"),
        (b"null", "null"),
        (b"\xff", "is not JSON"),
    ],
)
def test_a_body_that_is_no_object_is_refused(
    client: FlaskClient, hook: str, body: bytes, message: str
) -> None:
    """With 400 and the whole body as the field."""
    answer = client.post(hook, data=body)
    error = answer.get_json()["error"]
    assert answer.status_code == 400
    assert (error["reason"], error["field"]) == ("InvalidRequest", "(body)")
    assert message in error["message"]


MALFORMED: list[tuple[str, list[str], object, str]] = [
    ("sync-workerpool", ["parent"], None, "parent"),
    ("sync-workerpool", ["parent", "kind"], "Deployment", "parent.kind"),
    ("sync-workerpool", ["parent", "apiVersion"], "workers.spacelift.io/v2", "parent.apiVersion"),
    ("sync-workerpool", ["parent", "metadata"], "x", "parent.metadata"),
    ("sync-workerpool", ["parent", "metadata", "uid"], None, "parent.metadata.uid"),
    ("sync-workerpool", ["parent", "metadata", "namespace"], "", "parent.metadata.namespace"),
    ("sync-workerpool", ["parent", "metadata", "name"], 3, "parent.metadata.name"),
    ("sync-workerpool", ["parent", "metadata", "labels"], [], "parent.metadata.labels"),
    ("sync-workerpool", ["parent", "spec"], "x", "parent.spec"),
    ("sync-workerpool", ["parent", "spec", "poolSize"], "2", "parent.spec.poolSize"),
    ("sync-workerpool", ["children"], None, "children"),
    ("sync-workerpool", ["children"], [], "children"),
    ("sync-workerpool", ["finalizing"], "no", "finalizing"),
    (
        "sync-workerpool",
        ["children", "Worker.workers.spacelift.io/v1beta1"],
        ["w"],
        "children['Worker.workers.spacelift.io/v1beta1']",
    ),
    (
        "sync-workerpool",
        ["children", "Worker.workers.spacelift.io/v1beta1"],
        {"w": {"metadata": {}}},
        "children['Worker.workers.spacelift.io/v1beta1']['w'].metadata.name",
    ),
    ("finalize-workerpool", ["parent", "kind"], "Worker", "parent.kind"),
    ("sync-worker", ["object"], None, "object"),
    ("sync-worker", ["object", "kind"], "WorkerPool", "object.kind"),
    ("sync-worker", ["attachments"], None, "attachments"),
    ("sync-worker", ["attachments", "Pod.v1"], {"p": 3}, "attachments['Pod.v1']['p']"),
    ("sync-worker", ["related"], "x", "related"),
    ("finalize-worker", ["object", "metadata", "uid"], 7, "object.metadata.uid"),
    ("customize-worker", ["parent"], None, "parent"),
]


@pytest.mark.parametrize(("name", "path", "value", "field"), MALFORMED)
def test_a_malformed_request_is_refused_with_its_field(
    client: FlaskClient, name: str, path: list[str], value: object, field: str
) -> None:
    """400, the path to the fault, and what was expected there; None means that the field is absent."""
    request = recorded(name)
    container = request
    for key in path[:-1]:
        container = container[key]
    if value is None:
        del container[path[-1]]
    else:
        container[path[-1]] = value
    answer = client.post(path_of(name), json=request)
    assert answer.status_code == 400
    error = answer.get_json()["error"]
    assert (error["reason"], error["field"]) == ("InvalidRequest", field)


def test_a_refusal_never_repeats_the_offending_value(client: FlaskClient) -> None:
    """It may be a secret that somebody put into the wrong field."""
    request = recorded("sync-workerpool")
    request["parent"]["spec"]["poolSize"] = "s3cr3t"
    assert "s3cr3t" not in client.post("/sync/workerpool", json=request).get_data(as_text=True)


def test_settings_that_no_pod_can_be_built_from_are_no_error(client: FlaskClient) -> None:
    """No Pod is asked for; the agent finds the same fault and makes it the run's verdict."""
    request = recorded("sync-worker")
    (revision,) = request["related"]["ControllerRevision.apps/v1"].values()
    revision["data"]["pod"] = {"volumes": "many"}
    answer = client.post("/sync/worker", json=request)
    assert (answer.status_code, answer.get_json()) == (200, {"attachments": []})


def test_settings_nested_as_deep_as_json_can_be_are_no_error(client: FlaskClient) -> None:
    """The answer's writer couldn't follow them, and the builder would run out of stack."""
    request = recorded("sync-worker")
    (revision,) = request["related"]["ControllerRevision.apps/v1"].values()
    revision["data"]["pod"] = {"affinity": "DEEP"}
    levels = 800
    deep = '{"a": ' * levels + "{}" + "}" * levels
    answer = client.post("/sync/worker", data=json.dumps(request).replace('"DEEP"', deep))
    assert (answer.status_code, answer.get_json()) == (200, {"attachments": []})


@pytest.mark.parametrize("status", ["broken", 3, [], {"run": 5}, {"run": {"phase": "Odd"}}, {"keptPods": {}}])
def test_a_worker_status_that_makes_no_sense_is_no_error(client: FlaskClient, status: object) -> None:
    """Neither for the Worker's hooks nor for its pool's; its Pod stays."""
    request = recorded("sync-worker-running")
    request["object"]["status"] = status
    for hook in ("/sync/worker", "/finalize/worker"):
        answer = client.post(hook, json=request)
        assert answer.status_code == 200
        assert len(answer.get_json()["attachments"]) == 1
    pools = recorded("sync-workerpool-scaled-to-zero")
    for worker in pools["children"]["Worker.workers.spacelift.io/v1beta1"].values():
        worker["status"] = status
    assert client.post("/sync/workerpool", json=pools).status_code == 200


def test_unknown_paths_and_methods_answer_in_json(client: FlaskClient) -> None:
    """404 and 405, with the methods that would do."""
    missing = client.post("/sync/pod", json={})
    assert (missing.status_code, missing.get_json()["error"]["reason"]) == (404, "NotFound")
    wrong = client.get("/sync/worker")
    assert (wrong.status_code, wrong.get_json()["error"]["reason"]) == (405, "MethodNotAllowed")
    assert "POST" in wrong.headers["Allow"]


def test_a_body_that_is_too_large_is_not_read(client: FlaskClient) -> None:
    """413, so that a stray upload can't fill the operator's memory."""
    client.application.config["MAX_CONTENT_LENGTH"] = 10
    answer = client.post("/sync/worker", data=b"x" * 11)
    assert (answer.status_code, answer.get_json()["error"]["reason"]) == (413, "RequestEntityTooLarge")


def test_a_failure_of_ours_answers_500_without_its_insides(client: FlaskClient) -> None:
    """The traceback is logged, not sent."""

    def explode() -> str:
        raise RuntimeError("the inside of the operator")

    client.application.add_url_rule("/explode", view_func=explode)
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    answer = client.get("/explode")
    assert answer.status_code == 500
    assert answer.get_json()["error"]["reason"] == "InternalError"
    assert "inside" not in answer.get_data(as_text=True)
