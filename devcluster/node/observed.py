"""What the node has observed of a Pod's containers, and the few words of their specs that decisions need; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from devcluster.node.shapes import Json


@dataclass(frozen=True)
class Waiting:
    """Not running and not ended; without a reason it simply hasn't had its turn."""

    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Running:
    """A process that was started."""

    container_id: str
    image_id: str
    started_at: str


@dataclass(frozen=True)
class Terminated:
    """A process that has ended, or never could start (exit code 128) or was lost (137)."""

    exit_code: int
    reason: str
    finished_at: str
    started_at: str = ""
    message: str = ""
    container_id: str = ""
    image_id: str = ""


State: TypeAlias = Waiting | Running | Terminated


@dataclass(frozen=True)
class Observed:
    """One container: its state now, how often it was started again, and how it ended the time before."""

    state: State = field(default_factory=Waiting)
    restarts: int = 0
    last: Terminated | None = None


@dataclass(frozen=True)
class Verdict:
    """Why a Pod as a whole failed, whatever its containers did.

    `rejected` when none of them was ever looked at; `grace` are the seconds they have to end, the Pod's own when None.
    """

    reason: str
    message: str
    rejected: bool = False
    grace: float | None = None


Containers: TypeAlias = Mapping[str, Observed]

LOST = "The container could not be located when the pod was terminated"


def init_containers(pod: Json) -> list[Json]:
    """Return the specs of a Pod's init containers, native sidecars among them."""
    return list(pod["spec"].get("initContainers") or [])


def all_containers(pod: Json) -> list[Json]:
    """Return the specs of init containers, then of containers."""
    return init_containers(pod) + list(pod["spec"]["containers"])


def is_sidecar(container: Json) -> bool:
    """Return whether an init container is a native sidecar, which runs beside the containers."""
    return bool(container.get("restartPolicy") == "Always")


def restarts_after(pod: Json, container: Json, exit_code: int) -> bool:
    """Return whether a container that ended with that code is to be started again."""
    policy = pod["spec"].get("restartPolicy", "Always")
    if is_sidecar(container):
        return True
    init = container["name"] in {each["name"] for each in init_containers(pod)}
    if exit_code == 0:
        return bool(policy == "Always" and not init)
    return bool(policy != "Never")
