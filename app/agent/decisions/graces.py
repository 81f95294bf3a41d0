"""How long the agent waits before it draws a conclusion: one place for every grace, each of them a setting; no code.

A field `x` is the flag ``--x-grace`` and the variable ``WORKERPOOL_X_GRACE`` of ``app.settings``.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Graces:
    """Times in seconds."""

    image_pull: float = 30.0
    """That an image may fail to be pulled: registries have hiccups, and kubelets try again."""

    container_config: float = 30.0
    """That a container may fail to be made or started: a Secret may come a moment after the Pod."""

    unschedulable: float = 300.0
    """That no node takes a Pod: long enough for an autoscaler to bring one."""

    run_pod: float = 5.0
    """In phase Scheduled without a Pod before the API server is asked, in a dry run, whether it admits one."""

    refusal: float = 300.0
    """That a refusal which may pass is waited for: a quota, a webhook that doesn't answer."""

    deleted_pod: float = 10.0
    """Beyond the Pod's own grace until a deleted Pod that never started counts as deleted."""

    node_lost: float = 300.0
    """Beyond the Pod's own grace until a deleted Pod whose containers still run counts as lost with its node."""

    launcher_report: float = 75.0
    """That launcher-grpc may take to report after the worker container ended: its own patience (60 s, the launcher's
    SPACELIFT_LAUNCHER_FLUSH_TIMEOUT) and a margin. Its Pod is let go afterwards. A Pod that is being stopped while the
    cause is still open has its own terminationGracePeriodSeconds on top."""

    deregistration: float = 60.0
    """That a deleted Worker waits for `unregistered` before it is let go all the same."""

    verdict_report: float = 60.0
    """That a verdict waits for `run_released` when its Worker or its pool is going away."""


DEFAULTS: Final = Graces()
"""The graces of an operator that was started without any flag."""
