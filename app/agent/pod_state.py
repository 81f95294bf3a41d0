"""A run Pod as the agent reads it: a frozen, typed view of labels, container states and the Pod's own fate; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app import vocabulary as words


class Container(StrEnum):
    """The three states of a container."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What a container was made with; quantities as text, empty: none given.

    `sidecar` is an init container that runs beside the others (restartPolicy Always).
    """

    name: str
    image: str = ""
    memory_limit: str = ""
    requests: Mapping[str, Any] = field(default_factory=dict)
    init: bool = False
    sidecar: bool = False


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container's state. `started` and `restarts` are of use for native sidecars, which run again and again.

    `former_exit` and `former_message` tell how it ended the last time, when it was started again since.
    """

    name: str
    state: Container
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    finished_at: str = ""
    sidecar: bool = False
    started: bool = False
    restarts: int = 0
    former_exit: int = 0
    former_message: str = ""

    @property
    def ended(self) -> bool:
        """Whether the container has ended."""
        return self.state is Container.TERMINATED


@dataclass(frozen=True, slots=True)
class PodView:
    """What the agent knows of one run Pod."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    run: str
    sequence: int
    assignment: int
    worker: str
    phase: str
    reason: str
    message: str
    deleting: bool
    deletion_grace: int
    node: str
    finalizers: tuple[str, ...]
    inits: tuple[ContainerView, ...]
    containers: tuple[ContainerView, ...]
    conditions: Mapping[str, Mapping[str, Any]]
    created_at: str
    specs: tuple[ContainerSpec, ...] = ()
    overhead: Mapping[str, Any] = field(default_factory=dict)
    active_deadline: int | None = None
    termination_grace: int = 0
    scheduler: str = ""
    stage: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """The fencing token of the attempt that the Pod serves."""
        return self.run, self.sequence

    @property
    def terminal(self) -> bool:
        """Whether nothing of the Pod runs or will run."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def guarded(self) -> bool:
        """Whether the verdict finalizer is still on it."""
        return words.VERDICT_FINALIZER in self.finalizers

    @property
    def started(self) -> bool:
        """Whether any container of it ever ran."""
        return any(each.state is not Container.WAITING for each in (*self.inits, *self.containers))

    @property
    def quiet(self) -> bool:
        """Whether no regular container runs or will run, so that keeping the Pod costs nothing.

        After a failed init container none will: kubelets tell of that end first, and of the Pod's phase later. A Pod
        that no node took has no container states; kept, it would ask autoscalers for a node for ever.
        """
        if self.terminal or (bool(self.containers) and all(each.ended for each in self.containers)):
            return True
        running = any(each.state is Container.RUNNING for each in (*self.inits, *self.containers))
        return self.init_failed and not running

    @property
    def init_failed(self) -> bool:
        """Whether an init container failed, native sidecars apart: no regular container will start."""
        return any(each.ended and each.exit_code != 0 and not each.sidecar for each in self.inits)

    @property
    def exit_codes(self) -> dict[str, int]:
        """Exit code of every container that ended."""
        return {each.name: each.exit_code for each in (*self.inits, *self.containers) if each.ended}

    @property
    def finished_at(self) -> str:
        """When the last container ended, native sidecars apart, RFC 3339; the Pod's creation when none did."""
        waited_for = (*(each for each in self.inits if not each.sidecar), *self.containers)
        return max((each.finished_at for each in waited_for if each.finished_at), default=self.created_at)

    def container(self, name: str) -> ContainerView | None:
        """Return a regular container's state, None when the Pod has none of that name yet."""
        return next((each for each in self.containers if each.name == name), None)

    def spec(self, name: str) -> ContainerSpec:
        """Return what a container was made with; of one that the Pod doesn't have, its name alone."""
        return next((each for each in self.specs if each.name == name), ContainerSpec(name))


def parse_pod(pod: Mapping[str, Any]) -> PodView:
    """Return the view of a Pod object."""
    metadata, status, spec = pod["metadata"], pod.get("status") or {}, pod.get("spec") or {}
    labels = metadata.get("labels") or {}
    specs = _specs(spec)
    sidecars = frozenset(each.name for each in specs if each.sidecar)
    return PodView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        run=labels.get(words.RUN_LABEL, ""),
        sequence=_number(labels.get(words.SEQUENCE_LABEL)),
        assignment=_number(labels.get(words.ASSIGNMENT_LABEL)),
        worker=labels.get(words.WORKER_LABEL, ""),
        phase=status.get("phase") or "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        deleting="deletionTimestamp" in metadata,
        deletion_grace=int(metadata.get("deletionGracePeriodSeconds") or 0),
        node=spec.get("nodeName") or "",
        finalizers=tuple(metadata.get("finalizers") or ()),
        inits=_containers(status.get("initContainerStatuses"), sidecars),
        containers=_containers(status.get("containerStatuses"), frozenset()),
        conditions={each["type"]: each for each in status.get("conditions") or () if "type" in each},
        created_at=metadata.get("creationTimestamp") or "",
        specs=specs,
        overhead=spec.get("overhead") or {},
        active_deadline=spec.get("activeDeadlineSeconds"),
        termination_grace=int(spec.get("terminationGracePeriodSeconds") or 0),
        scheduler=spec.get("schedulerName") or "",
        stage=labels.get(words.STAGE_LABEL, ""),
    )


def worker_name_of(pod: Mapping[str, Any]) -> str | None:
    """Return the name of the Worker that a Pod was made for, from its labels: owners can be taken off it."""
    metadata = pod["metadata"]
    pool = (metadata.get("annotations") or {}).get(words.POOL_NAME_ANNOTATION)
    worker = (metadata.get("labels") or {}).get(words.WORKER_LABEL)
    return f"{pool}-{worker.lower()}" if pool and worker else None


def trim_pod(pod: dict[str, Any]) -> dict[str, Any]:
    """Return what the agent reads of a Pod: a cache of whole Pods would outgrow the operator's memory."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    annotation = (metadata.get("annotations") or {}).get(words.POOL_NAME_ANNOTATION)
    kept = {key: value for key, value in metadata.items() if key not in ("managedFields", "annotations")}
    kept["annotations"] = {words.POOL_NAME_ANNOTATION: annotation} if annotation else {}
    return {
        "metadata": kept,
        "spec": _some(spec, _SPEC) | {key: _trimmed(spec.get(key), _trim_container) for key in _CONTAINERS},
        "status": _some(status, _STATUS)
        | {"conditions": _trimmed(status.get("conditions"), lambda each: _some(each, _CONDITION))}
        | {key: _trimmed(status.get(key), lambda each: _some(each, _STATE)) for key in _STATUSES},
    }


_CONTAINERS = ("initContainers", "containers")
_STATUSES = ("initContainerStatuses", "containerStatuses")
_SPEC = ("nodeName", "schedulerName", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "overhead")
_STATUS = ("phase", "reason", "message")
_CONDITION = ("type", "status", "reason", "message")
_STATE = ("name", "state", "lastState", "started", "restartCount")


def _some(source: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: source[key] for key in keys if key in source}


def _trimmed(source: object, trim: Callable[[Mapping[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
    return [trim(each) for each in source] if isinstance(source, list) else []


def _trim_container(container: Mapping[str, Any]) -> dict[str, Any]:
    kept, resources = _some(container, ("name", "image", "restartPolicy")), container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests")
    kept_resources: dict[str, Any] = {"requests": requests} if requests else {}
    if "memory" in limits:
        kept_resources["limits"] = {"memory": limits["memory"]}
    return {**kept, "resources": kept_resources} if kept_resources else kept


def _specs(spec: Mapping[str, Any]) -> tuple[ContainerSpec, ...]:
    inits = (_spec(each, init=True) for each in spec.get("initContainers") or ())
    return (*inits, *(_spec(each, init=False) for each in spec.get("containers") or ()))


def _spec(container: Mapping[str, Any], *, init: bool) -> ContainerSpec:
    resources = container.get("resources") or {}
    return ContainerSpec(
        name=container.get("name") or "",
        image=container.get("image") or "",
        memory_limit=str((resources.get("limits") or {}).get("memory") or ""),
        requests=resources.get("requests") or {},
        init=init,
        sidecar=init and container.get("restartPolicy") == "Always",
    )


def _containers(statuses: object, sidecars: frozenset[str]) -> tuple[ContainerView, ...]:
    return tuple(_container(each, sidecars) for each in statuses) if isinstance(statuses, list) else ()


def _container(status: Mapping[str, Any], sidecars: frozenset[str]) -> ContainerView:
    name, states = status.get("name", ""), status.get("state") or {}
    # A container that the kubelet has begun to look at may have no state at all; then it waits.
    known = (each for each in (Container.TERMINATED, Container.RUNNING) if states.get(each) is not None)
    state = next(known, Container.WAITING)
    detail = states.get(state) or {}
    former = (status.get("lastState") or {}).get(Container.TERMINATED) or {}
    return ContainerView(
        name=name,
        state=state,
        reason=detail.get("reason") or "",
        message=detail.get("message") or "",
        exit_code=int(detail.get("exitCode") or 0),
        finished_at=detail.get("finishedAt") or "",
        sidecar=name in sidecars,
        started=status.get("started") is True,
        restarts=int(status.get("restartCount") or 0),
        former_exit=int(former.get("exitCode") or 0),
        former_message=former.get("message") or "",
    )


def _number(value: object) -> int:
    return int(value) if isinstance(value, str) and value.isdecimal() else -1
