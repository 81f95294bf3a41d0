"""Liveness and readiness: the process is judged by its progress, which somebody else knows.

The composition root hands in an object with the two answers, so that the web layer needn't know the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flask import Blueprint, Response

from app.web.answers import json_answer


@dataclass(frozen=True, slots=True)
class Probe:
    """Answer to a probe: whether all is well, and what was looked at, in words for people."""

    ok: bool
    checks: Mapping[str, str] = field(default_factory=dict)


class Health(Protocol):
    """Who knows whether the operator makes progress."""

    def live(self) -> Probe:
        """Tell whether restarting the process would be no help."""
        ...

    def ready(self) -> Probe:
        """Tell whether hooks may be sent here."""
        ...


def probes(health: Health) -> Blueprint:
    """Return the routes ``/healthz`` and ``/readyz``."""
    blueprint = Blueprint("probes", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return _answer(health.live())

    @blueprint.get("/readyz")
    def readyz() -> Response:
        return _answer(health.ready())

    return blueprint


def _answer(probe: Probe) -> Response:
    return json_answer({"ok": probe.ok, "checks": dict(probe.checks)}, 200 if probe.ok else 503)
