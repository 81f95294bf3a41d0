"""Words for runs that every part uses: stages of an attempt, phases, results, reasons.

Source: design, section 6 ("Names to use"). An *attempt* is one (run, sequence): the unit that is assigned,
fenced and judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """How far an attempt has come on its Worker (``Worker.status.run.phase``)."""

    SCHEDULED = "Scheduled"
    STARTING = "Starting"
    RUNNING = "Running"
    FINISHED = "Finished"


class Result(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELED = "canceled"
    LOST = "lost"


class Reason(StrEnum):
    """Why it ended so: one CamelCase word, for machines and for people."""

    COMPLETED = "Completed"
    NON_ZERO_EXIT = "NonZeroExit"
    OOM_KILLED = "OOMKilled"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    IMAGE_PULL = "ImagePull"
    INVALID_IMAGE = "InvalidImage"
    CONFIG_ERROR = "ConfigError"
    UNSCHEDULABLE = "Unschedulable"
    REFUSED = "Refused"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    POD_DELETED = "PodDeleted"
    INIT_FAILED = "InitFailed"
    POLICY_DENIED = "PolicyDenied"
    IMAGE_NOT_ALLOWED = "ImageNotAllowed"
    STOPPED = "Stopped"
    CANCELED = "Canceled"
    LEASE_LOST = "LeaseLost"
    NAMESPACE_DELETED = "NamespaceDeleted"


class Rejection(StrEnum):
    """Why an agent answered `run_rejected`."""

    BUSY = "busy"
    DRAINING = "draining"
    IMAGE_NOT_ALLOWED = "image_not_allowed"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on an attempt.

    `message` is one sentence for people and never holds a secret; `exit_codes` maps container name to the
    exit code of each container that ended.
    """

    result: Result
    reason: Reason
    message: str = ""
    exit_codes: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the JSON object used in messages, in Worker.status and in the launcher's report."""
        return {
            "result": self.result.value,
            "reason": self.reason.value,
            "message": self.message,
            "exitCodes": dict(self.exit_codes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Outcome":
        """Read what `to_json` wrote; raise ValueError, naming the field, when it isn't that."""
        codes = data.get("exitCodes") or {}
        if not isinstance(codes, Mapping) or not all(isinstance(code, int) for code in codes.values()):
            raise ValueError("outcome.exitCodes must map container names to integers")
        return cls(
            result=Result(str(data.get("result"))),
            reason=Reason(str(data.get("reason"))),
            message=str(data.get("message") or ""),
            exit_codes={str(name): code for name, code in codes.items()},
        )
