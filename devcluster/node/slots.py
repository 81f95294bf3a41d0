"""What a Pod's worker keeps of one container between two looks at it, and how long the container waits to run again."""

from dataclasses import dataclass, field

from devcluster.node.logs import LogFile
from devcluster.node.observed import Observed
from devcluster.node.runtime import Process

BACKOFF_FIRST, BACKOFF_MOST = 10.0, 300.0
"""A kubelet's seconds between two tries to run a container or to pull an image: doubled each time, up to the latter."""


@dataclass
class Slot:
    """What the worker knows of one container."""

    observed: Observed = field(default_factory=Observed)
    not_before: float = 0.0
    failures: int = 0
    pull_due: float = 0.0
    process: Process | None = None
    log: LogFile | None = None
    asked_to_stop: bool = False
    killed: bool = False
    crashes: int = 0
    running_since: float = 0.0

    def restart_pause(self, ran_for: float) -> float:
        """Return the seconds until a container that ran so long is started again; a long run is forgiven."""
        self.crashes = 1 if ran_for > 2 * BACKOFF_MOST else self.crashes + 1
        return min(BACKOFF_FIRST * 2 ** (self.crashes - 2), BACKOFF_MOST) if self.crashes > 1 else 0.0
