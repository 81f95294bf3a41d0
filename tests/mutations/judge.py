"""Watches a scenario from outside: every change in the API, every message, every start. What is wrong becomes a sign."""

from __future__ import annotations

from collections import Counter
from typing import Any

from app import vocabulary as words
from app.cluster.resources import PODS, WORKERPOOLS, WORKERS, Resource
from protocol.messages import Message, RunFinished, RunScheduled
from tests.mutations import signs
from tests.unit.agent.world import FakeApi

Json = dict[str, Any]
OUR_FINALIZERS = (words.VERDICT_FINALIZER, words.WORKER_FINALIZER)


class Judge:
    """Collects signs. `own` are the UIDs of pool objects of this cluster."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self.signs: set[str] = set()
        self.claims: Counter[tuple[str, int]] = Counter()
        self.pods: Counter[tuple[str, str]] = Counter()
        self.foreign_pools: set[str] = set()
        self.assigned: dict[tuple[str, int], str] = {}
        self.dropped: set[str] = set()
        self.by_force = False
        api.watchers.append(self._change)

    def dropping(self, found: Json) -> None:
        """Judge an object that the hook driver is about to delete."""
        if found["kind"] == words.WORKER_KIND:
            return
        self.dropped.add(found["metadata"]["uid"])
        true = self._api.objects.get(("pods", found["metadata"]["namespace"], found["metadata"]["name"]))
        if (
            true is not None
            and true["metadata"]["uid"] == found["metadata"]["uid"]
            and not self.is_over(true)
        ):
            self.signs.add(signs.LIVE_POD_DROPPED)

    def said(self, message: Message) -> None:
        """Judge what the operator publishes."""
        pool = getattr(message, "pool_uid", None)
        if pool in self.foreign_pools:
            self.signs.add(signs.FOREIGN_ANSWER)
        if isinstance(message, RunFinished):
            name = f"{message.run.lower()}-{message.stage}-{message.sequence}"
            secret = next((key for key in self._api.objects if key[0] == "secrets" and key[2] == name), None)
            if secret is not None and self.is_run_secret(self._api.objects[secret]):
                self.signs.add(signs.END_TOLD_EARLY)

    def acknowledged(self, message: Message, answered: list[Message]) -> None:
        """Judge that the operator told the broker to forget a message."""
        if not isinstance(message, RunScheduled):
            return
        key = message.run, message.sequence
        stored = any(
            found.get("status", {}).get("assignment", 0) >= message.assignment for found in self._workers()
        )
        told = any((getattr(each, "run", ""), getattr(each, "sequence", 0)) == key for each in answered)
        if not stored and not told:
            self.signs.add(signs.ACKNOWLEDGED_EARLY)

    def is_run_secret(self, found: Json) -> bool:
        """Tell whether a Secret is one of ours, not a user's of that name."""
        return words.RUN_LABEL in (found["metadata"].get("labels") or {})

    def is_over(self, pod: Json) -> bool:
        """Tell whether the truth says that a Pod's attempt has a verdict."""
        labels = pod["metadata"]["labels"]
        worker = next(
            (
                found
                for found in self._workers()
                if found["metadata"]["labels"].get(words.ULID_LABEL) == labels[words.WORKER_LABEL]
            ),
            None,
        )
        if worker is None:
            return True
        status = worker.get("status") or {}
        run = status.get("run") or {}
        if (run.get("id"), str(run.get("sequence"))) == (
            labels[words.RUN_LABEL],
            labels[words.SEQUENCE_LABEL],
        ):
            return bool(run["phase"] == "Finished")
        return int(status.get("assignment") or 0) >= int(labels[words.ASSIGNMENT_LABEL])

    # --- changes in the API ---

    def _change(self, resource: Resource, old: Json | None, new: Json | None) -> None:
        if resource is PODS:
            self._pod(old, new)
        elif resource is WORKERS:
            self._worker(old, new)
        elif resource is WORKERPOOLS and new is None and old is not None:
            uid = old["metadata"]["uid"]
            owners = [each["metadata"].get("ownerReferences") or [] for each in self._workers()]
            if any(owner["uid"] == uid for each in owners for owner in each):
                self.signs.add(signs.POOL_GONE)
        elif resource.plural == "secrets" and new is None and old is not None:
            self._secret_gone(old)

    def _pod(self, old: Json | None, new: Json | None) -> None:
        if old is None and new is not None:
            labels = new["metadata"]["labels"]
            key = labels[words.RUN_LABEL], labels[words.SEQUENCE_LABEL]
            self.pods[key] += 1
            if self.pods[key] > 1:
                self.signs.add(signs.SECOND_POD)
        if new is None and old is not None and not self.by_force and not self.is_over(old):
            self.signs.add(signs.POD_GONE)
        if old is None or new is None or self.by_force:
            return
        before, after = (set(each["metadata"].get("finalizers") or ()) for each in (old, new))
        if words.VERDICT_FINALIZER in before - after and not self.is_over(new):
            self.signs.add(signs.POD_UNGUARDED)
        if before - after - set(OUR_FINALIZERS):
            self.signs.add(signs.FOREIGN_FINALIZER)

    def _worker(self, old: Json | None, new: Json | None) -> None:
        before = (old or {}).get("status", {}).get("run")
        if new is None:
            if before is not None and not self.by_force:
                self.signs.add(signs.WORKER_GONE)
            return
        run = new.get("status", {}).get("run")
        if run is None or (before is not None and _key(before) == _key(run)):
            return
        self.claims[_key(run)] += 1
        metadata = new["metadata"]
        if before is not None:
            self.signs.add(signs.CLAIM_OVERWRITTEN)
        if self.claims[_key(run)] > 1:
            self.signs.add(signs.REPLAY_CLAIMED)
        if "deletionTimestamp" in metadata or words.WORKER_FINALIZER not in (
            metadata.get("finalizers") or ()
        ):
            self.signs.add(signs.CLAIM_WHILE_LEAVING)
        if self.assigned.get(_key(run), metadata["uid"]) != metadata["uid"]:
            self.signs.add(signs.CLAIM_FOR_ANOTHER)

    def _secret_gone(self, old: Json) -> None:
        if not self.is_run_secret(old):
            self.signs.add(signs.FOREIGN_SECRET)
        labels = old["metadata"].get("labels") or {}
        for found in self._workers():
            run = found.get("status", {}).get("run") or {}
            mine = (run.get("id"), str(run.get("sequence"))) == (
                labels.get(words.RUN_LABEL),
                labels.get(words.SEQUENCE_LABEL),
            )
            if mine and run["phase"] != "Finished" and not self.by_force:
                self.signs.add(signs.SECRET_EARLY)

    def _workers(self) -> list[Json]:
        return [found for (plural, _, _), found in self._api.objects.items() if plural == "workers"]


def _key(run: Json) -> tuple[str, int]:
    return str(run.get("id")), int(run.get("sequence") or 0)
