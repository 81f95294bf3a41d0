"""Which finished Pods are kept for people to look at, worked out over the whole pool; pure.

A pool keeps successful and failed Pods by a number, by an age, or by both: then either rule lets a Pod go. The age
counts from a Pod's creation. A number keeps those that ended last, so that a long run's Pod isn't the first to go
for having begun early. A Pod that was let go is never asked back.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app import vocabulary as words
from app.agent.pod_state import PodView
from app.durations import parse_duration
from protocol.runs import Outcome, Result

MOST_NAMES = 1000
"""Pods that one Worker keeps at most, whatever the pool says: as many names as its status holds."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a pool keeps of one kind: `limit` Pods (None: any number) that are younger than `ttl` seconds (None: any age)."""

    limit: int | None
    ttl: float | None = None

    def expires_in(self, pod: "KeptPod", now: float) -> float | None:
        """Return after how many seconds a Pod is too old, None when it never is."""
        return None if self.ttl is None else pod.created + self.ttl - now


@dataclass(frozen=True, slots=True)
class Rules:
    """What a pool keeps of either kind."""

    successful: Rule
    failed: Rule

    def of(self, pod: "KeptPod") -> Rule:
        """Return the rule of a Pod's kind."""
        return self.successful if pod.succeeded else self.failed


@dataclass(frozen=True, slots=True)
class KeptPod:
    """A finished Pod that is kept, or could be. `created` is in seconds since 1970, `finished_at` RFC 3339.

    `run` is its run, empty when that can't be told.
    """

    worker: str
    name: str
    succeeded: bool
    created: float
    finished_at: str
    run: str = ""


def rules_of(spec: Mapping[str, Any]) -> Rules:
    """Return the rules in a pool's spec.

    With neither limit nor time a pool keeps five failed Pods and no successful one, or all of those with
    ``keepSuccessfulPods``, which says nothing beside a limit or a time. A time alone bounds no number.
    """
    keep_all = None if spec.get("keepSuccessfulPods") is True else 0
    return Rules(
        successful=_rule(spec, "successful", keep_all),
        failed=_rule(spec, "failed", words.DEFAULT_FAILED_HISTORY),
    )


def keepable(pod: PodView, outcome: Outcome) -> bool:
    """Return whether a Pod is worth keeping: it ended by itself, and nothing of it runs on.

    A canceled attempt's Pod has nothing to show, and a Pod with a sidecar that still runs would cost its
    requests for ever.
    """
    return outcome.result is not Result.CANCELED and not pod.deleting and pod.quiet


def plan(pods: Iterable[KeptPod], rules: Rules, now: float) -> dict[tuple[str, str], float | None]:
    """Return (worker, Pod name) of the Pods that are kept at `now`, which is in seconds since 1970.

    With each comes the number of seconds until it is too old, None when it never is. Of a run that failed in several
    attempts the newest Pod alone stays: the others would only push out what other runs have to show.
    """
    newest = sorted(pods, key=lambda each: (each.finished_at, each.created, each.name), reverse=True)
    kinds: Counter[bool] = Counter()
    names: Counter[str] = Counter()
    shown: set[str] = set()
    kept: dict[tuple[str, str], float | None] = {}
    for each in newest:
        if not each.succeeded and each.run:
            if each.run in shown:
                continue
            shown.add(each.run)
        rule = rules.of(each)
        left = rule.expires_in(each, now)
        young = left is None or left > 0
        fits = rule.limit is None or kinds[each.succeeded] < rule.limit
        if young and fits and names[each.worker] < MOST_NAMES:
            kinds[each.succeeded] += 1
            names[each.worker] += 1
            kept[each.worker, each.name] = left
    return kept


def faults(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the times of a pool's spec that can't be read, each as field and what is wrong with it."""
    for field in ("successfulPodsHistoryTTL", "failedPodsHistoryTTL"):
        value = spec.get(field)
        try:
            _seconds(value)
        except ValueError as error:
            yield field, str(error)


def _rule(spec: Mapping[str, Any], kind: str, default: int | None) -> Rule:
    limit, time = spec.get(f"{kind}PodsHistoryLimit"), spec.get(f"{kind}PodsHistoryTTL")
    try:
        ttl = _seconds(time)
    except ValueError:
        # The pool was accepted by the API server; what can't be read counts as absent, and is told (`faults`).
        ttl = None
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0:
        return Rule(limit, ttl)
    return Rule(default if ttl is None else None, ttl)


def _seconds(value: object) -> float | None:
    if value is None or value == "":
        return None
    seconds = parse_duration(value) if isinstance(value, str) else 0.0
    if seconds <= 0:
        raise ValueError("expected a duration above 0 such as 30m, 24h or 1h30m")
    return seconds
