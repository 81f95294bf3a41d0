"""What a run Pod is built from: one attempt of one run on one Worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunPodOrder:
    """Everything about a run Pod that doesn't come from the pool's settings."""

    namespace: str
    pool_name: str
    pool_ulid: str
    worker_ulid: str
    run_id: str
    stage: str
    sequence: int
    assignment: int
    runner_image: str
    launcher_image: str
    secret_name: str
    secret_uid: str


def run_pod_name(run_id: str, stage: str, sequence: int) -> str:
    """Return the name of a run's Pod, and of its Secret: the same attempt always has the same name."""
    return f"{run_id.lower()}-{stage}-{sequence}"
