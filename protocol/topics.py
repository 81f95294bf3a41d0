"""MQTT topics: ``<ns>/readonly/<pool>/<worker>`` to workers, ``<ns>/writeonly/<pool>/<worker>`` from them.

Pool-level messages carry the pool's ULID in the worker's place (design, section 7).
"""

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_NAMESPACE = "spacelift"


class Direction(StrEnum):
    """Who writes a topic, seen from the worker."""

    TO_WORKER = "readonly"
    FROM_WORKER = "writeonly"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `worker` equals `pool` for pool-level messages. ULIDs are upper-case."""

    namespace: str
    direction: Direction
    pool: str
    worker: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.direction.value}/{self.pool}/{self.worker}"

    @property
    def is_pool_level(self) -> bool:
        """Whether the topic carries messages about the pool as a whole."""
        return self.worker == self.pool

    @classmethod
    def parse(cls, text: str) -> "Topic":
        """Split a topic name; raise ValueError when it isn't one of this protocol."""
        parts = text.split("/")
        if len(parts) != 4 or not all(parts):
            raise ValueError(f"topic {text!r} is not <namespace>/readonly|writeonly/<pool>/<worker>")
        return cls(parts[0], Direction(parts[1]), parts[2], parts[3])


def to_worker(namespace: str, pool: str, worker: str) -> str:
    """Return the topic on which the mothership writes to a worker (or to the pool, with its ULID twice)."""
    return str(Topic(namespace, Direction.TO_WORKER, pool, worker))


def from_worker(namespace: str, pool: str, worker: str) -> str:
    """Return the topic on which a worker (or the pool) writes to the mothership."""
    return str(Topic(namespace, Direction.FROM_WORKER, pool, worker))


def pool_subscription(namespace: str, pool: str) -> str:
    """Return the one subscription of a pool's connection."""
    return str(Topic(namespace, Direction.TO_WORKER, pool, "+"))


def mothership_subscription(namespace: str) -> str:
    """Return the mothership's subscription: everything that workers write."""
    return f"{namespace}/{Direction.FROM_WORKER.value}/#"
