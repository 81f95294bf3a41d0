"""What the operator tells people: every condition with its reasons, and every Event, in one table each.

The pages in ``docs/spec`` show these tables, and a test compares them. The words themselves are constants of
``app.vocabulary``; reasons of a run's end are those of ``protocol.runs.Reason``.
"""

from __future__ import annotations

from typing import Final

from app import vocabulary as words
from protocol.runs import Reason

RUN_REASONS: Final = {
    Reason.COMPLETED: "The run's commands ended well.",
    Reason.NON_ZERO_EXIT: "A command of the run, or its worker container, ended with another exit code than 0.",
    Reason.OOM_KILLED: "A container used more memory than its limit, which the message names.",
    Reason.DEADLINE_EXCEEDED: "The Pod was active longer than spec.pod.activeDeadlineSeconds.",
    Reason.IMAGE_PULL: "An image could not be pulled within the grace.",
    Reason.INVALID_IMAGE: "The name of an image can't be one.",
    Reason.CONFIG_ERROR: (
        "A container could not be made or started: a missing Secret, a volume that can't be mounted, a command."
    ),
    Reason.UNSCHEDULABLE: "No node took the Pod within the grace, or a quota is used up; the message has the scheduler's or the API server's text.",
    Reason.REFUSED: "The mothership didn't grant the start to this Pod.",
    Reason.EVICTED: "The Pod was evicted, preempted, or refused by its node.",
    Reason.NODE_LOST: "The Pod's node went away or stopped reporting.",
    Reason.POD_DELETED: "Somebody deleted the Pod while the run needed it.",
    Reason.INIT_FAILED: "An init container failed.",
    Reason.POLICY_DENIED: "The API server or an admission policy doesn't admit the Pod.",
    Reason.IMAGE_NOT_ALLOWED: "The runner image's registry is not in spec.allowedRunnerImageHosts.",
    Reason.STOPPED: "Somebody stopped the run.",
    Reason.CANCELED: "The run was canceled before it started.",
    Reason.LEASE_LOST: "The run could not renew its lease in time and stopped itself, or launcher-grpc ended before it.",
    Reason.NAMESPACE_DELETED: "The namespace is being deleted.",
}
"""Reason of a verdict -> what it means."""

CONDITIONS: Final = {
    (words.WORKER_POOL_KIND, words.READY_CONDITION): {
        words.REGISTERED_EVENT: "True: the connection to the mothership stands.",
        words.CONNECTION_PENDING_REASON: "Unknown: the operator hasn't looked at the pool yet.",
        words.CONNECTING_REASON: "False: the first connection is being made.",
        words.CANNOT_REGISTER_EVENT: "False: the credentials can't be used, or no connection comes about.",
        words.CONNECTION_LOST_EVENT: "False: the connection broke; it is made again by itself.",
        words.AUTO_REGISTRATION_REASON: "False: the pool has no credentials of its own, and pools can't register themselves here.",
        words.SCHEMA_TOO_OLD_EVENT: "False: the CRDs of this cluster are not the operator's; nothing is claimed.",
        words.NOT_SERVED_EVENT: "False: the operator has no rights in the namespace; the message has the command that grants them.",
    },
    (words.WORKER_POOL_KIND, words.CREDENTIALS_CONDITION): {
        words.REGISTERED_EVENT: "True: the mothership accepted them.",
        words.CONNECTION_PENDING_REASON: "Unknown: the operator hasn't looked at the pool yet.",
        words.CONNECTING_REASON: "Unknown: they are well formed, the mothership hasn't answered yet.",
        words.CONNECTION_LOST_EVENT: "True: the mothership accepted them before the connection broke.",
        words.CANNOT_REGISTER_EVENT: "False: token or private key are missing, malformed or expired. Unknown: no connection came about.",
        words.AUTO_REGISTRATION_REASON: "False: the pool has none.",
        words.SCHEMA_TOO_OLD_EVENT: "Unknown: the CRDs of this cluster are not the operator's.",
        words.NOT_SERVED_EVENT: "Unknown: nobody may read them.",
    },
    (words.WORKER_KIND, words.READY_CONDITION): {
        words.WORKER_REGISTERED_REASON: "True: the mothership gives it runs.",
        words.WORKER_PENDING_REASON: "False: the mothership doesn't know it yet.",
        words.WORKER_DRAINED_REASON: "False: it takes no more runs, by the mothership's or the pool's wish.",
        words.WORKER_DEREGISTERING_REASON: "False: it is going away, the mothership is being told.",
        words.WORKER_GONE_REASON: "False: the mothership has forgotten it.",
    },
    (words.WORKER_KIND, words.LAST_RUN_CONDITION): {
        reason.value: text for reason, text in RUN_REASONS.items()
    },
}
"""(kind, condition) -> reason -> what it means. LastRunSucceeded is True for Completed and False for every other reason."""

EVENTS: Final = {
    (words.WORKER_POOL_KIND, words.REGISTERED_EVENT): (
        words.EVENT_NORMAL,
        "The connection to the mothership stands.",
    ),
    (words.WORKER_POOL_KIND, words.CANNOT_REGISTER_EVENT): (
        words.EVENT_WARNING,
        "The credentials can't be used, or no connection comes about.",
    ),
    (words.WORKER_POOL_KIND, words.CONNECTION_LOST_EVENT): (words.EVENT_WARNING, "The connection broke."),
    (words.WORKER_POOL_KIND, words.SCHEMA_TOO_OLD_EVENT): (
        words.EVENT_WARNING,
        "The CRDs of this cluster are not the operator's; nothing is claimed.",
    ),
    (words.WORKER_POOL_KIND, words.NOT_SERVED_EVENT): (
        words.EVENT_WARNING,
        "The operator has no rights in the pool's namespace, with the command that grants them.",
    ),
    (words.WORKER_POOL_KIND, words.SETTING_IGNORED_EVENT): (
        words.EVENT_WARNING,
        "A field of the spec has no effect on this pool.",
    ),
    (words.WORKER_POOL_KIND, words.PUBLISH_REFUSED_EVENT): (
        words.EVENT_WARNING,
        "The broker refuses what is published to one of the pool's topics, which the message names.",
    ),
    (words.WORKER_POOL_KIND, words.DELETION_WAITS_EVENT): (
        words.EVENT_NORMAL,
        "The pool is deleted and goes when the runs on the workers named have ended.",
    ),
    (words.WORKER_POOL_KIND, words.ORPHANED_EVENT): (
        words.EVENT_WARNING,
        "Workers of an earlier pool of this name are left; they take no runs, and stay until they are deleted.",
    ),
    (words.WORKER_POOL_KIND, words.CYCLE_EVENT): (
        words.EVENT_NORMAL,
        "The mothership wants every worker replaced: idle ones go at once, busy ones when their run has ended.",
    ),
    (words.WORKER_KIND, words.RUN_SCHEDULED_EVENT): (words.EVENT_NORMAL, "A run was claimed for the worker."),
    (words.WORKER_KIND, words.RUN_STARTED_EVENT): (words.EVENT_NORMAL, "The run's worker container runs."),
    (words.WORKER_KIND, words.RUN_FINISHED_EVENT): (
        words.EVENT_NORMAL,
        "The run succeeded, was stopped or was canceled.",
    ),
    (words.WORKER_KIND, words.RUN_FAILED_EVENT): (
        words.EVENT_WARNING,
        "The run failed or was lost, with the reason.",
    ),
    (words.WORKER_KIND, words.RUN_REJECTED_EVENT): (
        words.EVENT_WARNING,
        "A scheduled run was refused, with the reason.",
    ),
    (words.WORKER_KIND, words.RUN_NOT_RECORDED_EVENT): (
        words.EVENT_WARNING,
        "A scheduled run can't be recorded yet, for example because of a quota; it is tried again.",
    ),
    (words.WORKER_KIND, words.RUN_RELEASED_EVENT): (
        words.EVENT_NORMAL,
        "The mothership stored the result; the worker is free.",
    ),
    (words.WORKER_KIND, words.POD_REFUSED_EVENT): (
        words.EVENT_WARNING,
        "The API server doesn't admit the run's Pod, with its own text.",
    ),
    (words.WORKER_KIND, words.WORKER_DRAINING_EVENT): (words.EVENT_NORMAL, "The worker takes no more runs."),
    (words.WORKER_KIND, words.WORKER_UNDRAINED_EVENT): (words.EVENT_NORMAL, "The worker takes runs again."),
    (words.WORKER_KIND, words.DELETION_WAITS_EVENT): (
        words.EVENT_NORMAL,
        "The worker is deleted and goes when what is named has come to its end.",
    ),
    (words.WORKER_KIND, words.ORPHANED_EVENT): (
        words.EVENT_WARNING,
        "The worker's pool was deleted without it; it takes no more runs, and stays until it is deleted.",
    ),
    (words.WORKER_KIND, words.DEREGISTRATION_UNCONFIRMED_EVENT): (
        words.EVENT_WARNING,
        "The worker was let go although the mothership couldn't be told in time.",
    ),
}
"""(kind, reason) -> type of the Event and what it means."""
