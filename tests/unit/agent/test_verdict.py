"""How an attempt ended, from its Pod's status."""

import base64
import hashlib
import json

import pytest

from app import vocabulary as words
from app.agent.decisions import starting, texts, verdict
from app.agent.pod_state import PodView
from protocol.runs import Reason, Result
from tests.unit.agent import builders as a

DONE = a.ended("init")
GRPC = a.ended("launcher-grpc")


def report(result: str, reason: str, message: str = "") -> str:
    """Return the launcher's termination message."""
    return json.dumps({"result": result, "reason": reason, "message": message})


CASES = {
    "exit 0 is success": (a.pod(GRPC, a.ended("worker"), init=DONE), "succeeded", "Completed"),
    "exit 0 is success though the Pod was evicted after it": (
        a.pod(GRPC, a.ended("worker"), init=DONE, phase="Failed", reason="Evicted"),
        "succeeded",
        "Completed",
    ),
    "another exit code fails": (a.pod(GRPC, a.ended("worker", 3), init=DONE), "failed", "NonZeroExit"),
    "out of memory is said so, whatever the launcher thinks": (
        a.pod(
            a.ended("launcher-grpc", message=report("failed", "NonZeroExit")),
            a.ended("worker", 137, "OOMKilled"),
            init=DONE,
        ),
        "failed",
        "OOMKilled",
    ),
    "init out of memory": (a.pod(init=a.ended("init", 137, "OOMKilled")), "failed", "OOMKilled"),
    "a sidecar out of memory is nobody's fault": (
        a.pod(GRPC, a.ended("worker", 1), a.ended("redis", 137, "OOMKilled"), init=DONE),
        "failed",
        "NonZeroExit",
    ),
    "a stop is the launcher's word": (
        a.pod(
            a.ended("launcher-grpc", message=report("stopped", "Stopped")), a.ended("worker", 143), init=DONE
        ),
        "stopped",
        "Stopped",
    ),
    "the executor's own word counts when launcher-grpc has none": (
        a.pod(GRPC, a.ended("worker", 1, message=report("lost", "LeaseLost")), init=DONE),
        "lost",
        "LeaseLost",
    ),
    "a report of success can't turn a bad exit code good": (
        a.pod(
            a.ended("launcher-grpc", message=report("succeeded", "Completed")),
            a.ended("worker", 2),
            init=DONE,
        ),
        "failed",
        "NonZeroExit",
    ),
    "a report that isn't one is ignored": (
        a.pod(a.ended("launcher-grpc", message="{]"), a.ended("worker", 2), init=DONE),
        "failed",
        "NonZeroExit",
    ),
    "a refused start": (
        a.pod(init=a.ended("init", 4, message=report("canceled", "Refused", "closed"))),
        "canceled",
        "Refused",
    ),
    "init failed": (a.pod(init=a.ended("init", 1)), "failed", "InitFailed"),
    "the deadline": (
        a.pod(a.running("launcher-grpc"), a.ended("worker", 137), phase="Failed", reason="DeadlineExceeded"),
        "failed",
        "DeadlineExceeded",
    ),
    "an eviction by the kubelet": (a.pod(phase="Failed", reason="Evicted"), "failed", "Evicted"),
    "a node that went away": (a.pod(phase="Failed", reason="NodeLost"), "failed", "NodeLost"),
    "a deleted Pod whose worker was killed": (
        a.pod(GRPC, a.ended("worker", 143), init=DONE, deleting=True),
        "failed",
        "PodDeleted",
    ),
    "a kubelet that refuses the Pod": (
        a.pod(phase="Failed", reason="OutOfcpu", message="Pod was rejected"),
        "failed",
        "Evicted",
    ),
    "a container that could not be started": (
        a.pod(GRPC, a.ended("worker", 128, "StartError", "no such file"), init=DONE),
        "failed",
        "ConfigError",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_on(name: str) -> None:
    """Hard facts first, then the launcher's report, then exit codes."""
    pod, result, reason = CASES[name]
    found = verdict.judge(pod)
    assert (found.result, found.reason) == (Result(result), Reason(reason))


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("TerminationByKubelet", Reason.EVICTED),
        ("EvictionByEvictionAPI", Reason.EVICTED),
        ("PreemptionByScheduler", Reason.EVICTED),
        ("DeletionByTaintManager", Reason.NODE_LOST),
        ("DeletionByPodGC", Reason.NODE_LOST),
        ("SomethingNew", Reason.EVICTED),
    ],
)
def test_a_disruption_says_why(reason: str, wanted: Reason) -> None:
    """The DisruptionTarget condition tells evictions from lost nodes."""
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason}
    assert verdict.judge(a.pod(phase="Failed", conditions=[condition])).reason is wanted


def test_exit_codes_of_all_containers_are_evidence() -> None:
    """The outcome carries what each ended container returned."""
    pod = a.pod(a.ended("launcher-grpc"), a.ended("worker", 7), init=DONE)
    assert verdict.judge(pod).exit_codes == {"init": 0, "launcher-grpc": 0, "worker": 7}


@pytest.mark.parametrize(
    ("pod", "reason", "grace"),
    [
        (a.pod(a.waiting("worker", "ErrImagePull")), Reason.IMAGE_PULL, 30),
        (a.pod(a.waiting("worker", "ImagePullBackOff")), Reason.IMAGE_PULL, 30),
        (a.pod(init=a.waiting("init", "InvalidImageName")), Reason.INVALID_IMAGE, 0),
        (a.pod(a.waiting("worker", "CreateContainerConfigError")), Reason.CONFIG_ERROR, 30),
    ],
)
def test_what_keeps_a_pod_from_starting_has_a_reason_and_a_grace(
    pod: PodView, reason: Reason, grace: int
) -> None:
    """Registries have hiccups; a name that can't be parsed never gets better."""
    found = starting.problem(pod)
    assert found is not None
    assert (found.outcome.reason, found.grace) == (reason, grace)


def test_an_unschedulable_pod_fails_with_the_schedulers_text() -> None:
    """Five minutes are enough for an autoscaler."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes available",
    }
    found = starting.problem(a.pod(conditions=[condition]))
    assert found is not None
    assert (found.outcome.reason, found.grace) == (Reason.UNSCHEDULABLE, 300)
    assert "0/3 nodes" in found.outcome.message


def test_a_healthy_start_has_no_problem() -> None:
    """Creating and initialising are no faults."""
    assert starting.problem(a.pod()) is None


def test_messages_are_short_and_printable() -> None:
    """A status holds sentences, not dumps."""
    text = texts.shorten("a\x1b[31m" + "x y " * 1250)
    assert len(text) == words.RUN_RESULT_KEPT_MESSAGE_LIMIT
    assert "\x1b" not in text


KEY = base64.b64encode(b"".join(hashlib.sha256(bytes([each])).digest() for each in range(38))).decode()
LINES = [KEY[at : at + 64] for at in range(0, len(KEY), 64)]
PEM = "\n".join(["-----BEGIN PRIVATE KEY-----", *LINES, "-----END PRIVATE KEY-----"])
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0." + KEY[:342].replace("+", "-").replace("/", "_")


def pieces_in(text: str) -> list[str]:
    """Return the pieces of the key and of the token that a text holds."""
    secrets = KEY + TOKEN
    return [secrets[at : at + 16] for at in range(0, len(secrets) - 16, 4) if secrets[at : at + 16] in text]


@pytest.mark.parametrize("secret", [PEM, PEM.replace("\n", "\r\n"), TOKEN])
def test_a_secret_that_is_cut_is_taken_out_before(secret: str) -> None:
    """Without its first line or its head it would pass every later redaction."""
    assert pieces_in(secret)
    assert pieces_in(texts.last_words(f"cannot use\n{secret}\nexit")) == []
    assert pieces_in(texts.last_words("x y " * 2000 + secret)) == []
    for before in range(900, 1024, 7):
        assert pieces_in(texts.shorten("a b " * (before // 4) + secret)) == []
    assert texts.last_words(f"cannot use {secret} so I end") == "cannot use [redacted] so I end"


def test_the_last_words_of_an_endless_text_are_its_end() -> None:
    """Whoever cuts for a log line cuts the end off."""
    found = texts.last_words("x y " * 5000 + "\nthe last line")
    assert found == "...the last line"


@pytest.mark.parametrize("cut", range(28, len(PEM), 61))
def test_a_verdict_has_nothing_of_a_key_whose_front_the_kubelet_cut_off(cut: int) -> None:
    """FallbackToLogsOnError keeps the end of the log."""
    pod = a.pod(init=a.ended("init", 1, message=PEM[cut:] + "\nno such key"))
    found = verdict.judge(pod)
    assert pieces_in(found.message) == []
    assert "no such key" in found.message


def test_a_termination_message_nested_without_end_is_no_report() -> None:
    """The run's own commands can write there; the judge must not fall over it."""
    container = a.pod(a.ended("worker", 1, message="[" * 100_000)).container("worker")
    assert verdict.report_of(container) is None
