"""What a state of the run model is made of, its bounds, and the names of its invariants."""

from dataclasses import dataclass
from typing import Any, NamedTuple

ONE_START = "the work of a run starts at most once"
NO_LATE_START = "no work starts after its run's verdict"
ONE_VERDICT = "a run has one verdict, and nothing changes it"
TRUE_VERDICT = "completed work is never called failed, and nothing else succeeded"
NOT_WHILE_WORKING = "no other verdict than success while the granted Pod works"
NEVER_FAILED_UNSTARTED = "a run that never started is scheduled again, never failed"
NO_SECOND_TRY = "a run that was granted is never scheduled again"
NOT_GONE_IN_FLIGHT = "a Worker with a run in flight is never gone"
NO_POD_DROPPED = "no hook deletes a live Pod whose attempt is open"
NO_SECOND_POD = "no hook asks for a Pod once its view is past Scheduled"
NO_CLAIM_AGAIN = "an attempt is never claimed again after its release"

INVARIANTS = (
    ONE_START,
    NO_LATE_START,
    ONE_VERDICT,
    TRUE_VERDICT,
    NOT_WHILE_WORKING,
    NEVER_FAILED_UNSTARTED,
    NO_SECOND_TRY,
    NOT_GONE_IN_FLIGHT,
    NO_POD_DROPPED,
    NO_SECOND_POD,
    NO_CLAIM_AGAIN,
)

FAULTS = (
    "crash",
    "loss",
    "dup",
    "evict",
    "rerun",
    "zombie",
    "timeout",
    "lostgrant",
    "noreport",
    "deaf",
    "cancel",
    "udel",
    "drain",
    "namespace",
)
"""Kinds of faults, and of what users do."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much there is of everything. `faults` caps each kind of fault, `total` all of them together."""

    runs: int = 1
    attempts: int = 1
    workers: int = 1
    drivers: int = 1
    agents: int = 1
    pods: int = 2
    """Pods that may get the same name one after another."""
    total: int = 0
    faults: tuple[tuple[str, int], ...] = ()
    registered: bool = True
    """Whether the Workers are registered, with their finalizer, from the beginning."""
    keeps_pods: bool = False
    lag: bool = True
    """Whether an agent's view of Pods may be old; with one agent that is little more than its being slow."""
    marker: bool = True
    """Fence 6, which is the executor's (a shell script): a Pod starts the work once, whatever its kubelet does."""
    self_stop: bool = True
    """Fence 7's other half: the work stops by itself before the mothership calls its lease over (`lease_model`)."""


class Slot(NamedTuple):
    """What the cluster holds of one attempt: Pod (number), Secret's UID, Pods so far, zombie (incarnation, progress),
    and the incarnation whose workspace carries the start marker.
    """

    pod: int
    secret: int
    made: int
    zombie: tuple[int, int]
    marker: int


class Pod(NamedTuple):
    """A run Pod: `cut` when its node is cut off, and the object shows what it was."""

    body: int
    incarnation: int
    progress: int
    deleting: bool
    guarded: bool
    cut: bool


class Activity(NamedTuple):
    """A claim under way in an agent: decided on `snapshot`, which is the newest Worker while `valid`."""

    message: int
    snapshot: int
    valid: bool
    secret: int


class AgentState(NamedTuple):
    """One agent: the claim under way, the Pods as its cache shows them (by attempt), and its memories (by Worker)."""

    activity: Activity | tuple[()]
    pods: tuple[int, ...]
    memories: tuple[int, ...]


class Driver(NamedTuple):
    """One hook driver: Workers and Pods as its caches show them, each as old as it likes."""

    workers: tuple[int, ...]
    pods: tuple[int, ...]


class Ghost(NamedTuple):
    """What only the model knows: starts and completed work of each run, released attempts (bits), whether an
    inventory is wanted, whether the namespace goes, runs whose evidence a fault destroyed (bits).
    """

    starts: tuple[int, ...]
    completed: int
    released: int
    wanted: bool
    leaving: bool
    excused: int


class State(NamedTuple):
    """Everything."""

    ms: int
    net: int
    faults: tuple[int, ...]
    ghost: Ghost
    workers: tuple[int, ...]
    slots: tuple[Slot, ...]
    drivers: tuple[Driver, ...]
    agents: tuple[AgentState, ...]


EMPTY = Slot(0, 0, 0, (0, 0), 0)


def put(parts: tuple[Any, ...], at: int, value: Any) -> Any:  # noqa: ANN401 - a tuple of the same kind
    """Return a tuple with another value at one place."""
    return (*parts[:at], value, *parts[at + 1 :])
