"""What keeps a run Pod from starting, from the kubelet's and the scheduler's words, and how long it may; pure.

Called while the worker container hasn't run yet. Only what the run waits for counts: init containers with the native
sidecars among them, launcher-grpc and worker. An ordinary sidecar that doesn't come up holds nobody up.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from app import vocabulary as words
from app.agent.decisions import requests
from app.agent.decisions.graces import DEFAULTS, Graces
from app.agent.decisions.texts import last_words, sentence, shorten, with_user_fix
from app.agent.pod_state import Container, ContainerView, PodView
from protocol.runs import Outcome, Reason, Result

# Source of the reasons: kubelet, pkg/kubelet/container/sync_result.go and pkg/kubelet/images/types.go.
_INVALID_IMAGE: Final = "InvalidImageName"
_IMAGE_REASONS: Final = {
    "ErrImagePull": "can't be pulled",
    "ImagePullBackOff": "can't be pulled",
    "RegistryUnavailable": "can't be pulled, its registry doesn't answer",
    "ErrImageNeverPull": "is not on the node and imagePullPolicy Never forbids to pull it",
    "ImageInspectError": "can't be inspected on the node",
    "SignatureValidationFailed": "has no valid signature",
}
_CONFIG_REASONS: Final = {
    "CreateContainerConfigError": "can't be configured",
    "CreateContainerError": "can't be created",
    "RunContainerError": "can't be started",
    "PreCreateHookError": "can't be created",
    "PreStartHookError": "can't be started",
    "PostStartHookError": "failed in its postStart hook",
}
_CRASH_LOOP: Final = "CrashLoopBackOff"
_UNSCHEDULED: Final = ("Unschedulable", "SchedulerError")
_WITHOUT_CAUSE: Final = re.compile(r'(Back-off pulling image "[^"]*")?\s*')

SCHEDULER_LOOK: Final = 30.0
"""Seconds that a scheduler has for its first look at a Pod, however short the grace for finding a node is."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps a Pod from starting: the verdict it becomes once it has lasted `grace` seconds.

    `about` names Pod and container it is about, and `vague` tells that the kubelet's text doesn't give the cause.
    """

    outcome: Outcome
    grace: float
    about: str = ""
    vague: bool = False


def problem(pod: PodView, graces: Graces = DEFAULTS) -> Problem | None:
    """Return what keeps the Pod from starting, None when nothing does."""
    for each in _awaited(pod):
        found = _of_container(pod, each, graces)
        if found:
            return found
    return _unscheduled(pod, graces)


def with_the_cause(now: Problem | None, before: Problem | None) -> Problem | None:
    """Return the present problem with the cause that the kubelet gave before.

    Kubelets before 1.32 give it in ErrImagePull alone, for an instant, and "Back-off pulling image" in between.
    """
    if now is None or before is None or not now.vague or before.vague:
        return now
    same = (now.about, now.outcome.reason) == (before.about, before.outcome.reason)
    return replace(now, outcome=before.outcome, vague=False) if same else now


def trouble_of(pod: PodView, container: ContainerView | None) -> str:
    """Return what keeps one container from running, empty when nothing is known of it."""
    found = _of_container(pod, container, DEFAULTS) if container is not None else None
    return found.outcome.message if found else ""


def held_up_by(pod: PodView) -> str:
    """Return what a Pod whose worker container never ran was waiting for, as far as its status tells."""
    found = problem(pod)
    if found:
        return found.outcome.message
    for each in pod.inits:
        if each.sidecar and not each.started:
            return f"sidecar {each.name} hasn't started"
        if not each.sidecar and not (each.ended and each.exit_code == 0):
            return f"init container {each.name} hasn't succeeded"
    worker = pod.container(words.WORKER_CONTAINER)
    return sentence(worker.reason, worker.message) if worker else ""


def _awaited(pod: PodView) -> Iterator[ContainerView]:
    yield from pod.inits
    yield from (
        each for each in pod.containers if each.name in (words.GRPC_CONTAINER, words.WORKER_CONTAINER)
    )


def _of_container(pod: PodView, container: ContainerView, graces: Graces) -> Problem | None:
    if not container.sidecar:
        return _that_waits(pod, container, graces)
    if _past_the_sidecars(pod):
        return None
    return _crashing_sidecar(pod, container, graces) or _that_waits(pod, container, graces)


def _past_the_sidecars(pod: PodView) -> bool:
    """Return whether all native sidecars have started: `init` comes behind them.

    What becomes of them from then on, while `init` works with its grant or later, is not the run's business.
    """
    return any(
        each.name == words.INIT_CONTAINER and each.state is not Container.WAITING for each in pod.inits
    )


def _that_waits(pod: PodView, container: ContainerView, graces: Graces) -> Problem | None:
    if container.state is not Container.WAITING:
        return None
    if container.reason == _INVALID_IMAGE or container.reason in _IMAGE_REASONS:
        return _of_image(pod, container, graces)
    if container.reason in _CONFIG_REASONS:
        text = f"container {container.name} {_CONFIG_REASONS[container.reason]}"
        text = sentence(text, with_user_fix(container.message or container.reason, container.name))
        return _problem(pod, Reason.CONFIG_ERROR, text, graces.container_config, container.name)
    return None


def _of_image(pod: PodView, container: ContainerView, graces: Graces) -> Problem:
    image = pod.spec(container.name).image or "(unknown)"
    if container.reason == _INVALID_IMAGE:
        text = f"container {container.name}: {image} is not the name of an image"
        # It never gets better, so nobody has to wait for it.
        return _problem(pod, Reason.INVALID_IMAGE, sentence(text, container.message), 0.0, container.name)
    text = f"container {container.name}: image {image} {_IMAGE_REASONS[container.reason]}"
    vague = _WITHOUT_CAUSE.fullmatch(container.message) is not None
    told = sentence(text, container.message or container.reason)
    return replace(_problem(pod, Reason.IMAGE_PULL, told, graces.image_pull, container.name), vague=vague)


def _crashing_sidecar(pod: PodView, container: ContainerView, graces: Graces) -> Problem | None:
    """Return the problem of a native sidecar that ends again and again before it counts as started.

    Judged by its restarts, not by CrashLoopBackOff alone: between two back-offs it runs for a moment.
    """
    again = container.restarts > 0 or container.reason == _CRASH_LOOP
    if container.started or not again:
        return None
    code = container.exit_code if container.ended else container.former_exit
    text = f"sidecar {container.name} doesn't start: it ended with exit code {code}, restarted {container.restarts} times"
    said = last_words(container.message if container.ended else container.former_message)
    return _problem(pod, Reason.CONFIG_ERROR, sentence(text, said), graces.container_config, container.name)


def _unscheduled(pod: PodView, graces: Graces) -> Problem | None:
    scheduled, grace = pod.conditions.get("PodScheduled", {}), graces.unschedulable
    if scheduled.get("status") == words.CONDITION_FALSE and scheduled.get("reason") in _UNSCHEDULED:
        cause = str(scheduled.get("message") or "the scheduler doesn't say why")
    elif not scheduled and not pod.node and not pod.started and not pod.terminal:
        # A scheduler that doesn't exist never says so; the Pod would wait without a word, and without a deadline.
        grace = max(grace, SCHEDULER_LOOK)
        cause = (
            f"scheduler {pod.scheduler or 'default-scheduler'} (spec.pod.schedulerName) hasn't looked at it"
        )
    else:
        return None
    text = f"no node takes the Pod, which requests {requests.in_words(pod)}"
    return _problem(pod, Reason.UNSCHEDULABLE, sentence(text, cause), grace)


def _problem(pod: PodView, reason: Reason, text: str, grace: float, about: str = "") -> Problem:
    outcome = Outcome(Result.FAILED, reason, shorten(text), pod.exit_codes)
    return Problem(outcome, grace, f"{pod.uid}/{about}")
