"""Typed bodies of the launcher's HTTPS calls; the published form is ``protocol/openapi.yaml``.

Each body is parsed once, by `from_json`, which raises `BodyError` with the field's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from protocol.runs import Outcome


class BodyError(ValueError):
    """A body that isn't what the call takes; names the field."""

    def __init__(self, field_name: str, wanted: str) -> None:
        super().__init__(f"field {field_name}: {wanted}")
        self.field = field_name


class LeaseAction(StrEnum):
    """What a lease renewal tells the launcher to do."""

    CONTINUE = "continue"
    STOP = "stop"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """`POST claim`: the UID of the Pod that wants to start."""

    pod_uid: str

    @classmethod
    def from_json(cls, data: object) -> "ClaimRequest":
        """Read the body; raise `BodyError`."""
        return cls(_text(_object(data), "podUID"))

    def to_json(self) -> dict[str, object]:
        """Return the body."""
        return {"podUID": self.pod_uid}


@dataclass(frozen=True, slots=True)
class Settings:
    """Times of a run, in seconds: renew every `lease`, stop by yourself after `lost_after` without one."""

    lease: int = 30
    lost_after: int = 120
    stop_grace: int = 30


@dataclass(frozen=True, slots=True)
class Source:
    """A git source: `ref` is a branch, tag or commit; `commit`, when set, is what must be checked out."""

    url: str
    ref: str = "HEAD"
    commit: str | None = None
    project_root: str = ""


@dataclass(frozen=True, slots=True)
class RunDetails:
    """`GET details`: what the launcher needs to prepare and execute an attempt."""

    run: str
    stage: str
    sequence: int
    source: Source | None
    commands: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def from_json(cls, data: object) -> "RunDetails":
        """Read the body; raise `BodyError`."""
        body = _object(data)
        commands = body.get("commands")
        if not isinstance(commands, list) or not all(isinstance(item, str) for item in commands):
            raise BodyError("commands", "must be a list of strings")
        environment = body.get("environment") or {}
        if not isinstance(environment, dict) or not all(
            isinstance(item, str) for item in environment.values()
        ):
            raise BodyError("environment", "must map names to strings")
        return cls(
            run=_text(body, "run"),
            stage=_text(body, "stage"),
            sequence=_number(body, "sequence"),
            source=_source(body.get("source")),
            commands=tuple(commands),
            environment=environment,
            settings=_settings(body.get("settings")),
        )

    def to_json(self) -> dict[str, object]:
        """Return the body."""
        source = self.source and {
            "type": "git",
            "url": self.source.url,
            "ref": self.source.ref,
            "commit": self.source.commit,
            "projectRoot": self.source.project_root,
        }
        return {
            "run": self.run,
            "stage": self.stage,
            "sequence": self.sequence,
            "source": source,
            "commands": list(self.commands),
            "environment": dict(self.environment),
            "settings": {
                "leaseSeconds": self.settings.lease,
                "lostAfterSeconds": self.settings.lost_after,
                "stopGraceSeconds": self.settings.stop_grace,
            },
        }


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """Answer of `POST lease`: what to do, and the renewed run token (None when it stays the same)."""

    action: LeaseAction
    lease_seconds: int
    lost_after_seconds: int
    run_token: str | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, data: object) -> "LeaseAnswer":
        """Read the body; raise `BodyError`."""
        body = _object(data)
        try:
            action = LeaseAction(_text(body, "action"))
        except ValueError:
            raise BodyError("action", "must be continue, stop or gone") from None
        token = body.get("runToken")
        return cls(
            action,
            _number(body, "leaseSeconds"),
            _number(body, "lostAfterSeconds"),
            token if isinstance(token, str) else None,
        )

    def to_json(self) -> dict[str, object]:
        """Return the body."""
        return {
            "action": self.action.value,
            "leaseSeconds": self.lease_seconds,
            "lostAfterSeconds": self.lost_after_seconds,
            "runToken": self.run_token,
        }


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """One phase of the work: its name, exit code and wall time in seconds."""

    name: str
    exit_code: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ResultReport:
    """`POST result`: the launcher's own word on how the attempt ended."""

    outcome: Outcome
    phases: tuple[PhaseReport, ...] = ()

    @classmethod
    def from_json(cls, data: object) -> "ResultReport":
        """Read the body; raise `BodyError`."""
        body = _object(data)
        outcome = body.get("outcome")
        if not isinstance(outcome, dict):
            raise BodyError("outcome", "must be an object")
        phases = body.get("phases") or []
        if not isinstance(phases, list):
            raise BodyError("phases", "must be a list")
        try:
            verdict = Outcome.from_json(outcome)
        except ValueError as error:
            raise BodyError("outcome", str(error)) from None
        return cls(verdict, tuple(_phase(item, index) for index, item in enumerate(phases)))

    def to_json(self) -> dict[str, object]:
        """Return the body."""
        return {
            "outcome": self.outcome.to_json(),
            "phases": [
                {"name": item.name, "exitCode": item.exit_code, "seconds": item.seconds}
                for item in self.phases
            ],
        }


def _object(data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BodyError("(body)", "must be a JSON object")
    return data


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BodyError(name, "must be a non-empty string")
    return value


def _number(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BodyError(name, "must be a whole number, 0 or more")
    return value


def _source(data: object) -> Source | None:
    if data is None:
        return None
    if not isinstance(data, dict):
        raise BodyError("source", "must be an object")
    if data.get("type") != "git":
        raise BodyError("source.type", "must be git")
    commit = data.get("commit")
    return Source(
        url=_text(data, "url"),
        ref=data.get("ref") or "HEAD",
        commit=commit if isinstance(commit, str) and commit else None,
        project_root=data.get("projectRoot") or "",
    )


def _settings(data: object) -> Settings:
    if data is None:
        return Settings()
    body = _object(data)
    return Settings(
        _number(body, "leaseSeconds"), _number(body, "lostAfterSeconds"), _number(body, "stopGraceSeconds")
    )


def _phase(data: object, index: int) -> PhaseReport:
    if not isinstance(data, dict) or not isinstance(data.get("exitCode"), int):
        raise BodyError(f"phases[{index}]", "must have name, exitCode and seconds")
    return PhaseReport(_text(data, "name"), data["exitCode"], float(data.get("seconds") or 0))
