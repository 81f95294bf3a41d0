"""A Worker object as the agent reads it: a frozen, typed view; pure.

Parsing is tolerant: a view always comes out, and `understood` is False when the recorded run is not one this
version can read. What the agent does not understand it never destroys: such a Worker counts as busy, gets
nothing, and is left as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app import vocabulary as words
from protocol.runs import Outcome, Phase


@dataclass(frozen=True, slots=True)
class Attempt:
    """One (run, sequence) recorded in ``status.run``."""

    run: str
    stage: str
    sequence: int
    assignment: int
    phase: Phase
    runner_image: str
    launcher_image: str
    secret_name: str
    secret_uid: str
    settings: str
    pod_uid: str | None = None
    outcome: Outcome | None = None

    @property
    def key(self) -> tuple[str, int]:
        """The fencing token of the attempt."""
        return self.run, self.sequence

    @property
    def pod_name(self) -> str:
        """Name of the run Pod; the run Secret has the same."""
        return attempt_name(self.run, self.stage, self.sequence)


@dataclass(frozen=True, slots=True)
class WorkerView:
    """What the agent knows of one Worker at one resourceVersion.

    `owner_uid` is the UID of the WorkerPool object that it was made for, also when that is gone; empty: unknown.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    ulid: str
    pool_ulid: str
    pool_name: str
    sequence: int
    deleting: bool
    managed: bool
    draining: bool
    registration: str
    drained: bool
    assignment: int
    run: Attempt | None
    kept_pods: tuple[str, ...]
    understood: bool = True
    conditions: tuple[Mapping[str, Any], ...] = ()
    owner_uid: str = ""

    @property
    def in_flight(self) -> bool:
        """Whether a run is on this Worker: from the claim on, until the mothership released it."""
        return self.run is not None or not self.understood

    @property
    def registered(self) -> bool:
        """Whether the mothership may know this Worker, as far as its status says."""
        return self.registration in (words.REGISTRATION_REGISTERED, words.REGISTRATION_DEREGISTERING)

    @property
    def reference(self) -> dict[str, Any]:
        """The object reference that Events are about."""
        return {
            "apiVersion": words.API_VERSION,
            "kind": words.WORKER_KIND,
            "metadata": {"namespace": self.namespace, "name": self.name, "uid": self.uid},
        }


def attempt_name(run: str, stage: str, sequence: int) -> str:
    """Return the name that Pod and Secret of an attempt share."""
    return f"{run.lower()}-{stage}-{sequence}"


def parse_worker(worker: Mapping[str, Any]) -> WorkerView:
    """Return the view of a Worker object."""
    metadata = worker["metadata"]
    labels = metadata.get("labels") or {}
    spec, status = worker.get("spec") or {}, worker.get("status") or {}
    run, understood = _run(status.get("run"))
    return WorkerView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        ulid=labels.get(words.ULID_LABEL, ""),
        pool_ulid=labels.get(words.POOL_LABEL, ""),
        pool_name=(metadata.get("annotations") or {}).get(words.POOL_NAME_ANNOTATION, ""),
        sequence=_number(spec.get("sequence")),
        deleting="deletionTimestamp" in metadata,
        managed=words.WORKER_FINALIZER in (metadata.get("finalizers") or ()),
        draining=spec.get("draining") is True,
        registration=status.get("registration") or words.REGISTRATION_PENDING,
        drained=status.get("drained") is True,
        assignment=_number(status.get("assignment")),
        run=run,
        kept_pods=tuple(name for name in status.get("keptPods") or () if isinstance(name, str)),
        understood=understood,
        conditions=_conditions(status.get("conditions")),
        owner_uid=labels.get(words.OWNER_LABEL, ""),
    )


def _conditions(value: object) -> tuple[Mapping[str, Any], ...]:
    """Return the observed conditions as they are: the next list is made from them."""
    if not isinstance(value, list):
        return ()
    return tuple(each for each in value if isinstance(each, Mapping) and isinstance(each.get("type"), str))


def _run(value: object) -> tuple[Attempt | None, bool]:
    if value is None:
        return None, True
    if not isinstance(value, Mapping):
        return None, False
    try:
        return _attempt(value), True
    except (KeyError, TypeError, ValueError):
        return None, False


def _attempt(run: Mapping[str, Any]) -> Attempt:
    outcome = run.get("outcome")
    return Attempt(
        run=_text(run["id"]),
        stage=_text(run["stage"]),
        sequence=int(run["sequence"]),
        assignment=int(run["assignment"]),
        phase=Phase(run["phase"]),
        runner_image=str(run.get("runnerImage") or ""),
        launcher_image=str(run.get("launcherImage") or ""),
        secret_name=str(run.get("secretName") or ""),
        secret_uid=str(run.get("secretUID") or ""),
        settings=str(run.get("settings") or ""),
        pod_uid=run.get("podUID") or None,
        outcome=Outcome.from_json(outcome) if outcome is not None else None,
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text is missing")
    return value


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
