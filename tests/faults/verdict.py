"""The verdict over a load of runs: lost, doubled, without verdict. Functions of what was recorded, nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.journal import Evidence

AFTERGLOW = 1.0
"""Seconds that a run's last line may be later than its verdict: the two clocks' readings are not one act."""


@dataclass(frozen=True)
class Expected:
    """How the runs of a scenario may end other than by success; empty: every one succeeds."""

    reasons: frozenset[str] = frozenset()
    """Reasons with which a run may fail that was granted: it was interrupted, and is never executed again."""
    ungranted: frozenset[str] = frozenset()
    """Reasons with which a run may fail that never was: the fault is one that a person has to see."""
    stopped: frozenset[str] = frozenset()
    """Names of the runs that the scenario stopped or canceled itself."""


@dataclass
class Verdict:
    """What went wrong, one sentence for each run, and how many runs were judged."""

    runs: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    without_verdict: list[str] = field(default_factory=list)
    endings: dict[str, int] = field(default_factory=dict)
    """How many runs ended in which way: a state, with the reason unless it succeeded."""

    @property
    def clean(self) -> bool:
        """Whether there is nothing to complain about."""
        return not (self.lost or self.doubled or self.without_verdict)

    def sentences(self) -> list[str]:
        """Return every complaint with its heading."""
        rows = {"lost": self.lost, "doubled": self.doubled, "without verdict": self.without_verdict}
        return [f"{heading}: {sentence}" for heading, found in rows.items() for sentence in found]


def judge(
    triggered: Mapping[str, str],
    unsure: Collection[str],
    shown: Sequence[Mapping[str, Any]],
    heard: Evidence,
    expected: Expected,
) -> Verdict:
    """Judge every run.

    `triggered` are the runs (name to id) whose triggering was answered, `unsure` the names of those where no answer
    came, `shown` what the mothership says of each run that it knows, under `name` what it is called in the journal.
    """
    verdict = Verdict(runs=len(triggered))
    known = {run["id"]: run for run in shown}
    for name, run_id in triggered.items():
        if run_id not in known:
            verdict.lost.append(f"{name}: the mothership doesn't know {run_id} any more")
    for run in shown:
        if triggered.get(run["name"]) != run["id"]:
            if run["name"] not in unsure:
                verdict.doubled.append(f"{run['name']}: {run['id']} is a run that nobody asked for")
            verdict.runs += 1
        _judge_run(run, heard, expected, verdict)
    names = {run["name"] for run in shown}
    for name in sorted(heard.starts.keys() - names - triggered.keys()):
        verdict.doubled.append(f"{name}: was executed, and no run has that name")
    return verdict


def _judge_run(run: Mapping[str, Any], heard: Evidence, expected: Expected, verdict: Verdict) -> None:
    name = run["name"]
    starts, ends = heard.starts[name], heard.ends[name]
    outcome = run["outcome"] or {}
    told = f"{name} ({run['id']}): {run['state']} {outcome.get('reason', '')} {outcome.get('message', '')!r}"
    ending = (
        run["state"] if run["state"] == "succeeded" else f"{run['state']} {outcome.get('reason', '')}".strip()
    )
    verdict.endings[ending] = verdict.endings.get(ending, 0) + 1
    if starts > 1 or ends > 1:
        verdict.doubled.append(f"{told}, {starts} starts and {ends} ends")
    if not run["finished"]:
        verdict.without_verdict.append(f"{told}, {starts} starts and {ends} ends")
        return
    if run["state"] == "succeeded":
        if not starts or not ends:
            verdict.lost.append(f"{told}, but it has {starts} starts and {ends} ends")
        return
    over = run["finishedAt"] + AFTERGLOW
    if heard.last.get(name, 0.0) > over:
        late = heard.last[name] - run["finishedAt"]
        verdict.doubled.append(f"{told}, but it went on for {late:.1f} s after its verdict")
    if name in expected.stopped:
        return
    reason = outcome.get("reason", "")
    allowed = expected.reasons | expected.ungranted if run["startedAt"] is not None else expected.ungranted
    if reason not in allowed:
        began = "was granted" if run["startedAt"] is not None else "never was granted"
        verdict.lost.append(f"{told}; it {began}, {starts} starts and {ends} ends")
