"""Facts about the Worker hooks: when a run Pod is made, kept and let go."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.requests import CustomizeRequest
from app.errors import PodSettingsError
from app.reconcile.worker import customize_worker, finalize_worker, run_pod_of, sync_worker
from tests.unit.builders import (
    POOL_ULID,
    idle_worker,
    names,
    pod,
    revision,
    run,
    worker,
    worker_request,
)

NAME = "01hps6xb76j1jb3ehsk4awe5ab-preparing-2"
PHASES = ["Scheduled", "Starting", "Running", "Finished"]
OUTCOME = {"result": "succeeded", "reason": "Completed", "message": "", "exitCodes": {"worker": 0}}


def claimed(phase: str = "Scheduled", *, kept: list[str] | None = None, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the ledger
    """Return a Worker whose assignment 1 is in that phase."""
    return worker(
        registration="Registered", state="BUSY", assignment=1, keptPods=kept or [], run=run(phase, **fields)
    )


def finished(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the ledger
    """Return a Worker whose run has a verdict on Pod `pod-uid`."""
    return claimed("Finished", **({"podUID": "pod-uid", "outcome": OUTCOME} | fields))


def desired(parent: dict[str, Any], *pods: dict[str, Any], revisions: bool = True) -> list[str]:
    """Return the names of the Pods that the hook asks for."""
    related = (revision(),) if revisions else ()
    return names(sync_worker(worker_request(parent, *pods, revisions=related)).attachments)


def test_a_scheduled_run_gets_its_pod() -> None:
    """The Pod of that very attempt, with the finalizer that keeps it until the verdict."""
    (made,) = sync_worker(worker_request(claimed(), revisions=(revision(),))).attachments
    assert made["metadata"]["name"] == NAME
    assert made["metadata"]["finalizers"] == ["workers.spacelift.io/verdict"]
    assert made["metadata"]["labels"]["workers.spacelift.io/assignment"] == "1"


def test_no_pod_is_made_before_the_settings_revision_is_seen() -> None:
    """The next sync brings it; another revision doesn't do."""
    assert desired(claimed(), revisions=False) == []
    other = worker_request(claimed(), revisions=(revision(name="local-pool-ffffffffff"),))
    assert sync_worker(other).attachments == []


@pytest.mark.parametrize("phase", ["Starting", "Running", "Finished"])
def test_from_starting_on_no_pod_is_made(phase: str) -> None:
    """A missing Pod is a verdict then, not a wish."""
    assert desired(claimed(phase, podUID="pod-uid")) == []


@pytest.mark.parametrize("missing", ["runnerImage", "launcherImage", "secretName", "secretUID", "stage"])
def test_no_pod_is_made_from_half_a_ledger(missing: str) -> None:
    """What the Pod needs isn't there, so nothing is guessed."""
    half = claimed()
    half["status"]["run"][missing] = ""
    assert desired(half) == []


def test_a_pod_that_is_there_comes_back_with_its_name_only() -> None:
    """With OnDelete nothing in it is ever changed, whatever the pool's settings say by now."""
    answer = sync_worker(worker_request(claimed(), pod(), revisions=(revision(),)))
    assert answer.attachments == [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "namespace": "default"}}
    ]


@pytest.mark.parametrize("phase", ["Scheduled", "Starting", "Running"])
def test_a_pod_without_a_verdict_stays(phase: str) -> None:
    """Even one that has ended: the verdict needs its evidence."""
    assert desired(claimed(phase, podUID="pod-uid"), pod(phase="Failed")) == [NAME]


def test_a_pod_goes_with_its_verdict() -> None:
    """Phase Finished, for this Pod's UID; a sidecar may run on and doesn't matter."""
    assert desired(finished(), pod(phase="Running")) == []


def test_a_pod_that_the_history_keeps_stays_for_as_long_as_it_is_listed() -> None:
    """After the verdict and after the release alike."""
    assert desired(finished() | {"status": finished()["status"] | {"keptPods": [NAME]}}, pod()) == [NAME]
    released = idle_worker(assignment=1, keptPods=[NAME])
    assert desired(released, pod(phase="Succeeded")) == [NAME]
    assert desired(idle_worker(assignment=1, keptPods=[]), pod(phase="Succeeded")) == []


def test_a_second_incarnation_stays_until_it_has_ended() -> None:
    """It was refused at the start claim and ends by itself; only then it goes."""
    second = pod(uid="other-uid", phase="Pending")
    assert desired(claimed("Starting", podUID="pod-uid"), second) == [NAME]
    assert desired(finished(), second) == [NAME]
    assert desired(finished(), pod(uid="other-uid", phase="Failed")) == []


def test_a_finished_run_without_an_outcome_lets_no_other_pod_go() -> None:
    """Nothing positive is known about that Pod."""
    assert desired(claimed("Finished", podUID="pod-uid"), pod(uid="other-uid", phase="Failed")) == [NAME]


def test_a_pod_of_a_superseded_assignment_goes() -> None:
    """The Worker has answered a later assignment, so this one was over before."""
    later = worker(assignment=2, run=run("Running", sequence=4, assignment=2, podUID="new"))
    assert desired(later, pod(), pod(sequence=4, assignment=2, uid="new")) == [NAME.replace("-2", "-4")]


def test_an_older_view_of_the_worker_never_drops_a_newer_pod() -> None:
    """After a restart the Worker list can be older than the Pod list."""
    for old in (worker(), idle_worker(), idle_worker(assignment=0), idle_worker(assignment=1)):
        assert desired(old, pod(sequence=6, assignment=2)) == [NAME.replace("-2", "-6")]


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"workers.spacelift.io/run-id": "01HPS6XB76J1JB3EHSK4AWE5AB"},
        {
            "workers.spacelift.io/run-id": "01HPS6XB76J1JB3EHSK4AWE5AB",
            "workers.spacelift.io/sequence": "two",
            "workers.spacelift.io/assignment": "1",
        },
    ],
)
def test_a_pod_whose_labels_name_no_attempt_stays(labels: dict[str, str]) -> None:
    """What isn't understood isn't deleted."""
    assert desired(idle_worker(assignment=9), pod(labels=labels, phase="Failed")) == [NAME]


@pytest.mark.parametrize(
    "status",
    [
        "broken",
        {"run": "broken", "assignment": 9},
        {"run": {}, "assignment": 9},
        {"run": {"id": 1, "phase": "Finished"}, "assignment": 9},
        {"assignment": 9, "keptPods": "all"},
        {"assignment": "9"},
        {"assignment": True},
    ],
)
def test_a_status_that_makes_no_sense_keeps_every_pod_and_makes_none(status: object) -> None:
    """Nor does it break the hook."""
    odd = worker()
    odd["status"] = status
    assert desired(odd, pod(phase="Failed")) == [NAME]
    assert desired(odd) == []


@given(
    phase=st.sampled_from([*PHASES, None]),
    answered=st.integers(0, 4),
    assignment=st.integers(1, 4),
    pod_phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
    uid=st.sampled_from(["pod-uid", "other-uid"]),
    recorded=st.sampled_from(["pod-uid", None]),
    kept=st.booleans(),
)
def test_a_pod_is_dropped_only_on_positive_knowledge(
    phase: str | None,
    answered: int,
    assignment: int,
    pod_phase: str,
    uid: str,
    recorded: str | None,
    kept: bool,
) -> None:
    """Over all states: a dropped Pod's attempt has a verdict or lies behind the Worker, and isn't kept."""
    status: dict[str, Any] = {"assignment": answered, "keptPods": [NAME] if kept else []}
    if phase is not None:
        status["run"] = run(phase, assignment=answered, podUID=recorded, outcome=OUTCOME)
    parent = worker(**status)
    if not desired(parent, pod(assignment=assignment, uid=uid, phase=pod_phase)):
        assert not kept
        current = phase is not None and assignment == answered
        assert phase == "Finished" if current else assignment <= answered
        assert not current or uid == recorded or pod_phase in ("Succeeded", "Failed")


def test_a_deleted_worker_keeps_its_pod_and_still_starts_its_run() -> None:
    """Deletion never kills a run, not even one that was claimed just before."""
    answer = finalize_worker(worker_request(claimed("Running", podUID="pod-uid"), pod()))
    assert (names(answer.attachments), answer.finalized) == ([NAME], False)
    scheduled = finalize_worker(worker_request(claimed(), revisions=(revision(),)))
    assert (names(scheduled.attachments), scheduled.finalized) == ([NAME], False)


@pytest.mark.parametrize("registration", [None, "Pending", "Registered", "Deregistering", "Unheard"])
def test_a_deleted_worker_stays_until_the_mothership_has_forgotten_it(registration: str | None) -> None:
    """Only `Gone` says so."""
    deleted = worker(deleted=True)
    deleted["status"] = {} if registration is None else {"registration": registration}
    assert finalize_worker(worker_request(deleted)).finalized is False


def test_a_deleted_worker_goes_when_it_is_gone_and_nothing_lives() -> None:
    """Pods that have ended don't hold it: the garbage collector takes them along."""
    gone = worker(registration="Gone", assignment=1, keptPods=[NAME])
    assert finalize_worker(worker_request(gone)).finalized is True
    assert finalize_worker(worker_request(gone, pod(phase="Failed"))).finalized is True
    assert finalize_worker(worker_request(gone, pod(phase="Running"))).finalized is False


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_with_an_open_attempt_is_never_finalized(phase: str) -> None:
    """Gone or not: only a verdict closes the attempt."""
    gone = worker(registration="Gone", assignment=1, run=run(phase, podUID="pod-uid", outcome=OUTCOME))
    assert finalize_worker(worker_request(gone)).finalized is (phase == "Finished")


def test_a_gone_worker_with_an_unreadable_run_is_held() -> None:
    """What isn't understood isn't let go."""
    assert finalize_worker(worker_request(worker(registration="Gone", run={"id": 3}))).finalized is False


def test_sync_answers_carry_neither_status_nor_finalized() -> None:
    """Metacontroller would write a status over the agent's ledger."""
    assert sync_worker(worker_request(claimed())).to_json() == {"attachments": []}


def test_customize_relates_the_revisions_of_the_workers_pool() -> None:
    """A function of name, namespace and pool label, never of the status: the answer is cached."""
    rules = [
        customize_worker(CustomizeRequest(parent)).to_json() for parent in (worker(), claimed("Running"))
    ]
    assert (
        rules[0]
        == rules[1]
        == {
            "relatedResources": [
                {
                    "apiVersion": "apps/v1",
                    "resource": "controllerrevisions",
                    "namespace": "default",
                    "labelSelector": {"matchLabels": {"workers.spacelift.io/workerpool": POOL_ULID}},
                }
            ]
        }
    )


def test_customize_relates_nothing_without_a_pool_label() -> None:
    """An empty selector would relate every revision of the namespace."""
    bare = worker()
    bare["metadata"]["labels"] = {}
    assert customize_worker(CustomizeRequest(bare)).related == []


def test_the_agent_can_ask_for_the_pod_that_the_hook_would_make() -> None:
    """For its dry run."""
    (made,) = sync_worker(worker_request(claimed(), revisions=(revision(),))).attachments
    assert run_pod_of(claimed(), revision()) == made
    assert run_pod_of(claimed("Starting"), revision()) is None
    assert run_pod_of(idle_worker(), revision()) is None


UNBUILDABLE: list[Any] = [
    None,
    "broken",
    {},
    {"pod": None},
    {"pod": "broken"},
    {"pod": {"volumes": "many"}},
    {"pod": {"customInitContainers": [{"name": "init"}]}},
]


def with_data(data: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """Return the revision of the claimed run with that data."""
    return revision() | {"data": data}


@pytest.mark.parametrize("data", UNBUILDABLE)
def test_settings_that_make_no_pod_hold_up_no_other_pod(data: Any) -> None:  # noqa: ANN401 - any JSON value
    """The hook wishes for nothing new and keeps what is there; an error would stop the Worker's every sync."""
    kept = claimed(kept=["an-old-pod"])
    old = pod(sequence=1, assignment=0) | {"metadata": pod()["metadata"] | {"name": "an-old-pod"}}
    request = worker_request(kept, old, revisions=(with_data(data),))
    assert names(sync_worker(request).attachments) == ["an-old-pod"]
    answer = finalize_worker(request)
    assert (names(answer.attachments), answer.finalized) == (["an-old-pod"], False)


@pytest.mark.parametrize("data", UNBUILDABLE)
def test_the_agent_hears_why_settings_make_no_pod(data: Any) -> None:  # noqa: ANN401 - any JSON value
    """It turns the error into the run's verdict: None would leave the Worker busy for ever."""
    with pytest.raises(PodSettingsError):
        run_pod_of(claimed(), with_data(data))


@pytest.mark.parametrize(
    ("cluster", "native"),
    [
        ({}, False),
        ({"cluster": None}, False),
        ({"cluster": "broken"}, False),
        ({"cluster": {"nativeSidecars": False}}, False),
        ({"cluster": {"nativeSidecars": "true"}}, False),
        ({"cluster": {"nativeSidecars": True}}, True),
    ],
)
def test_the_revision_says_whether_sidecars_are_native(cluster: dict[str, Any], *, native: bool) -> None:
    """The hook can't ask the cluster; absent means no, which works everywhere."""
    settings = {"additionalSidecarContainers": [{"name": "redis", "image": "redis"}]}
    made = run_pod_of(claimed(), with_data({"pod": settings, **cluster}))
    assert made is not None
    place = "initContainers" if native else "containers"
    assert "redis" in [each["name"] for each in made["spec"][place]]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    data=ANY_JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "cluster": ANY_JSON,
            "pod": ANY_JSON
            | st.dictionaries(
                st.sampled_from(
                    ["volumes", "labels", "workerContainer", "securityContext", "customInitContainers"]
                ),
                ANY_JSON | st.lists(st.dictionaries(st.sampled_from(["name", "volumeMounts"]), ANY_JSON)),
                max_size=3,
            ),
        },
    )
)
def test_no_revision_breaks_the_hook(data: Any) -> None:  # noqa: ANN401 - any JSON value
    """Whatever it holds: the Pod comes or it doesn't, and the Pods that are there stay."""
    request = worker_request(claimed(), pod(sequence=1, assignment=2), revisions=(with_data(data),))
    attachments = names(sync_worker(request).attachments)
    assert attachments in ([NAME.replace("-2", "-1")], [NAME.replace("-2", "-1"), NAME])
