"""A run Pod as the agent reads it: a frozen, typed view of labels, container states and the Pod's own fate; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app import vocabulary as words


class Container(StrEnum):
    """The three states of a container."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container's state. `sidecar` is an init container that runs beside the others (restartPolicy Always)."""

    name: str
    state: Container
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    finished_at: str = ""
    sidecar: bool = False

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
        """Whether no regular container runs any more, so that keeping the Pod costs nothing."""
        return self.terminal or all(each.ended for each in self.containers)

    @property
    def exit_codes(self) -> dict[str, int]:
        """Exit code of every container that ended."""
        return {each.name: each.exit_code for each in (*self.inits, *self.containers) if each.ended}

    @property
    def finished_at(self) -> str:
        """When the last container ended, RFC 3339; the Pod's creation when none did."""
        return max(
            (each.finished_at for each in self.containers if each.finished_at), default=self.created_at
        )

    def container(self, name: str) -> ContainerView | None:
        """Return a regular container's state, None when the Pod has none of that name yet."""
        return next((each for each in self.containers if each.name == name), None)


def parse_pod(pod: Mapping[str, Any]) -> PodView:
    """Return the view of a Pod object."""
    metadata, status, spec = pod["metadata"], pod.get("status") or {}, pod.get("spec") or {}
    labels = metadata.get("labels") or {}
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
        inits=_containers(status.get("initContainerStatuses"), _sidecars(spec)),
        containers=_containers(status.get("containerStatuses"), frozenset()),
        conditions={each["type"]: each for each in status.get("conditions") or () if "type" in each},
        created_at=metadata.get("creationTimestamp") or "",
    )


def worker_name_of(pod: Mapping[str, Any]) -> str | None:
    """Return the name of the Worker that a Pod was made for, from its labels: owners can be taken off it."""
    metadata = pod["metadata"]
    pool = (metadata.get("annotations") or {}).get(words.POOL_NAME_ANNOTATION)
    worker = (metadata.get("labels") or {}).get(words.WORKER_LABEL)
    return f"{pool}-{worker.lower()}" if pool and worker else None


def trim_pod(pod: dict[str, Any]) -> dict[str, Any]:
    """Return what the agent reads of a Pod: a cache of whole Pods would outgrow the operator's memory."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    annotation = (metadata.get("annotations") or {}).get(words.POOL_NAME_ANNOTATION)
    kept = {key: value for key, value in metadata.items() if key not in ("managedFields", "annotations")}
    kept["annotations"] = {words.POOL_NAME_ANNOTATION: annotation} if annotation else {}
    inits = [
        {key: each[key] for key in ("name", "restartPolicy") if key in each}
        for each in spec.get("initContainers") or ()
    ]
    return {
        "metadata": kept,
        "spec": {"nodeName": spec.get("nodeName"), "initContainers": inits},
        "status": pod.get("status") or {},
    }


def _sidecars(spec: Mapping[str, Any]) -> frozenset[str]:
    inits = spec.get("initContainers") or ()
    return frozenset(each["name"] for each in inits if each.get("restartPolicy") == "Always")


def _containers(statuses: object, sidecars: frozenset[str]) -> tuple[ContainerView, ...]:
    return tuple(_container(each, sidecars) for each in statuses) if isinstance(statuses, list) else ()


def _container(status: Mapping[str, Any], sidecars: frozenset[str]) -> ContainerView:
    name, states = status.get("name", ""), status.get("state") or {}
    for state in (Container.TERMINATED, Container.RUNNING):
        if states.get(state):
            break
    else:
        state = Container.WAITING
    detail = states.get(state) or {}
    return ContainerView(
        name=name,
        state=state,
        reason=detail.get("reason") or "",
        message=detail.get("message") or "",
        exit_code=int(detail.get("exitCode") or 0),
        finished_at=detail.get("finishedAt") or "",
        sidecar=name in sidecars,
    )


def _number(value: object) -> int:
    return int(value) if isinstance(value, str) and value.isdecimal() else -1
