"""Whatever status a Pod has, the agent has a verdict on it, and nothing raises."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app import vocabulary as words
from app.agent.decisions import progress, requests, starting, verdict, worker_events
from app.agent.pod_state import parse_pod, trim_pod
from protocol.runs import Outcome, Phase
from tests.unit.agent import builders as a
from tests.unit.agent import kubelet as k

NAMES = st.sampled_from(["init", "launcher-grpc", "worker", "redis", "migrate"])
TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            "permission denied",
            "x" * 5000,
            "\x1b[31m\x00",
            "é" * 2000,
            json.dumps({"result": "failed", "reason": "PodDeleted", "message": "m" * 3000}),
            json.dumps({"result": "succeeded", "reason": "Completed"}),
            json.dumps({"result": "failed", "reason": "NoSuchReason"}),
            json.dumps({"exitCodes": {"worker": "x"}}),
            "[1]",
        ]
    ),
)
WAITING_REASONS = st.sampled_from(
    [
        "",
        "ContainerCreating",
        "PodInitializing",
        "CrashLoopBackOff",
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "CreateContainerConfigError",
        "New",
    ]
)
END_REASONS = st.sampled_from(
    ["", "Error", "Completed", "OOMKilled", "StartError", "ContainerStatusUnknown", "Unknown"]
)
POD_REASONS = st.sampled_from(
    [
        "",
        "Evicted",
        "DeadlineExceeded",
        "NodeLost",
        "Terminated",
        "Preempting",
        "OutOfcpu",
        "NodeAffinity",
        "SysctlForbidden",
        "UnexpectedAdmissionError",
        "New",
    ]
)
CODES = st.sampled_from([0, 1, 17, 126, 128, 137, 143, 255])


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[k.Json]:
    """Return objects in which each field may be absent or null."""
    return st.fixed_dictionaries({}, optional={key: st.none() | value for key, value in fields.items()})


STATES: st.SearchStrategy[k.Json] = st.one_of(
    st.just({}),
    maybe(waiting=maybe(reason=WAITING_REASONS, message=TEXTS)),
    maybe(running=maybe(startedAt=st.just("2026-01-01T00:00:10Z"))),
    maybe(
        terminated=maybe(
            exitCode=CODES, reason=END_REASONS, message=TEXTS, finishedAt=st.just("2026-01-01T00:01:00Z")
        )
    ),
)
STATUSES = st.lists(
    st.builds(
        lambda name, rest: {"name": name, **rest},
        NAMES,
        maybe(state=STATES, lastState=STATES, started=st.booleans(), restartCount=st.integers(0, 9)),
    ),
    max_size=4,
)
CONDITIONS = st.lists(
    st.builds(
        lambda kind, rest: {"type": kind, **rest},
        st.sampled_from(["PodScheduled", "DisruptionTarget", "Ready", "Initialized"]),
        maybe(
            status=st.sampled_from(["True", "False", "Unknown"]),
            reason=st.sampled_from(
                [
                    "Unschedulable",
                    "SchedulerError",
                    "SchedulingGated",
                    "PreemptionByScheduler",
                    "DeletionByPodGC",
                    "New",
                ]
            ),
            message=TEXTS,
        ),
    ),
    max_size=3,
)
QUANTITIES = st.sampled_from(["100m", "1", "1.5Gi", "64Mi", "2e3", "nonsense", "", 5, "1" * 300])
CONTAINERS = st.lists(
    st.builds(
        lambda name, rest: {"name": name, **rest},
        NAMES,
        maybe(
            image=st.just("i:1"),
            restartPolicy=st.just("Always"),
            resources=maybe(
                limits=st.dictionaries(st.just("memory"), QUANTITIES),
                requests=st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), QUANTITIES),
            ),
        ),
    ),
    max_size=4,
)


@st.composite
def pods(draw: st.DrawFn) -> k.Json:
    """Return run Pods of any status."""
    found = a.pod_object(deleting=draw(st.booleans()))
    found["spec"] = draw(
        maybe(
            nodeName=st.just("node-1"),
            initContainers=CONTAINERS,
            containers=CONTAINERS,
            activeDeadlineSeconds=st.integers(1, 10**6),
            terminationGracePeriodSeconds=st.integers(0, 10**6),
            overhead=st.dictionaries(st.just("cpu"), QUANTITIES),
            schedulerName=st.text(max_size=5),
        )
    )
    found["status"] = draw(
        maybe(
            phase=st.sampled_from(["", "Pending", "Running", "Succeeded", "Failed", "Unknown"]),
            reason=POD_REASONS,
            message=TEXTS,
            conditions=CONDITIONS,
            initContainerStatuses=STATUSES,
            containerStatuses=STATUSES,
        )
    )
    return found


def is_fit_to_tell(outcome: Outcome) -> bool:
    """Return whether an outcome can be stored, published and printed."""
    text = outcome.message
    printable = all(each.isprintable() or each == "\n" for each in text)
    short = len(text) <= words.RUN_RESULT_KEPT_MESSAGE_LIMIT
    again = Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    report = worker_events.report(a.RUN, outcome)
    return printable and short and again and len(report.encode()) <= worker_events.REPORT_BYTES


@settings(max_examples=400, deadline=None)
@given(pods(), st.sampled_from(["Scheduled", "Starting", "Running"]), st.floats(0, 1e5))
def test_every_status_of_a_pod_has_a_verdict_and_a_next_step(pod: k.Json, phase: str, held: float) -> None:
    """The judge never raises, whatever is absent, null or new; its words fit a status and an Event."""
    view = parse_pod(pod)
    run = a.busy(phase).run
    assert run is not None
    found = starting.problem(view)
    outcomes = [verdict.judge(view), verdict.deleted(view), verdict.node_lost(view)]
    assert all(is_fit_to_tell(each) for each in [*outcomes, *([found.outcome] if found else [])])
    assert requests.in_words(view)
    step = progress.decide(run, progress.situation(run, [view], before=found), held)
    assert isinstance(step, progress.Step)
    if view.terminal:
        later = a.busy("Running").run
        assert later is not None
        end = progress.decide(later, progress.situation(later, [view]), held)
        assert view.uid != later.pod_uid or isinstance(end, progress.Finish)


@settings(max_examples=200, deadline=None)
@given(pods())
def test_what_the_cache_keeps_of_a_pod_is_all_that_the_verdict_needs(pod: k.Json) -> None:
    """Judged from the trimmed Pod or from the whole one, it is the same."""
    whole, kept = parse_pod(pod), parse_pod(trim_pod(pod))
    assert verdict.judge(whole) == verdict.judge(kept)
    assert starting.problem(whole) == starting.problem(kept)
    assert requests.requested(whole) == requests.requested(kept)
    run = a.busy("Running").run
    assert run is not None
    seen, remembered = progress.situation(run, [whole]), progress.situation(run, [kept])
    assert seen.label == remembered.label
    assert progress.decide(run, seen, 0.0) == progress.decide(run, remembered, 0.0)
    assert (whole.quiet, whole.finished_at) == (kept.quiet, kept.finished_at)


def test_what_the_cache_keeps_of_a_pod_is_small() -> None:
    """A thousand busy Workers' Pods are a few MiB of the operator's memory."""
    grpc, worker = k.running("launcher-grpc"), k.running("worker")
    found = k.pod_object(grpc, worker, inits=(k.INIT_DONE,), phase="Running")
    kept = trim_pod(found)
    assert len(json.dumps(kept)) < 2600
    assert "env" not in json.dumps(kept)
    assert kept["spec"]["containers"][1] == {
        "name": "worker",
        "image": k.RUNNER,
        "resources": {
            "limits": {"memory": "512Mi"},
            "requests": {"memory": "512Mi", "cpu": "1500m", "ephemeral-storage": "2Gi"},
        },
    }


def test_a_terminal_pod_in_any_phase_of_its_attempt_is_a_verdict() -> None:
    """The kubelet's word that nothing runs any more is enough."""
    run = a.busy("Starting").run
    assert run is not None
    step = progress.decide(run, progress.situation(run, [k.pod(phase="Failed")]), 0.0)
    assert isinstance(step, progress.Finish)
    assert run.phase is Phase.STARTING
