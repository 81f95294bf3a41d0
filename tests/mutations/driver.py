"""A hook driver in small: caches that can stand still or fall back, and the writes that Metacontroller makes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson

from app import vocabulary as words
from app.cluster.errors import AlreadyExists, Conflict, NotFound
from app.cluster.resources import PODS, WORKERPOOLS, WORKERS, Resource
from tests.replay import ours
from tests.unit.agent.world import FakeApi

Json = dict[str, Any]
Objects = dict[str, Json]

POOL_FINALIZER = "metacontroller.io/compositecontroller-workerpool"
FOREGROUND = "foregroundDeletion"


class Driver:
    """Calls the product's hooks with what its caches show; `frozen` caches (by plural) stay as they are."""

    def __init__(self, api: FakeApi, dropping: Callable[[Json], None]) -> None:
        self._api, self._dropping = api, dropping
        self.frozen: set[str] = set()
        self.hidden: set[str] = set()
        self.off = False
        self._cache: dict[str, Objects] = {
            "workerpools": {},
            "workers": {},
            "pods": {},
            "controllerrevisions": {},
        }
        self._asked: dict[str, bytes] = {}

    def snapshot(self, plural: str) -> Objects:
        """Return what a cache shows now, to fall back to later."""
        return copy.deepcopy(self._cache[plural])

    def fall_back(self, plural: str, old: Objects) -> None:
        """Restart onto an old list: it stands until `frozen` is emptied."""
        self._cache[plural] = copy.deepcopy(old)
        self.frozen.add(plural)

    def step(self) -> None:
        """Sync every pool and every Worker once."""
        if self.off:
            return
        self._look()
        for pool in list(self._cache["workerpools"].values()):
            self._sync_pool(pool)
        for worker in list(self._cache["workers"].values()):
            self._sync_worker(worker)

    def _look(self) -> None:
        for plural in set(self._cache) - self.frozen:
            self._cache[plural] = {
                name: copy.deepcopy(found)
                for (kind, _, name), found in self._api.objects.items()
                if kind == plural and name not in self.hidden
            }

    def _sync_pool(self, pool: Json) -> None:
        deleting = "deletionTimestamp" in pool["metadata"]
        if not self._held(WORKERPOOLS, pool, POOL_FINALIZER, deleting=deleting):
            return
        uid = pool["metadata"]["uid"]
        children = {name: found for name, found in self._cache["workers"].items() if _owner(found) == uid}
        body = {"parent": pool, "children": {words.WORKER_GROUP: children}, "finalizing": deleting}
        if not self._is_news(uid, body):
            return
        answer = ours.pool_hook(copy.deepcopy(body))
        self._apply(WORKERS, pool, children, answer["children"])
        if deleting and answer.get("finalized"):
            self._let_go(WORKERPOOLS, pool, POOL_FINALIZER)
            return
        true = self._api.objects.get(("workerpools", pool["metadata"]["namespace"], pool["metadata"]["name"]))
        if true is not None and true["metadata"]["uid"] == uid and true.get("status") != answer["status"]:
            self._api.put(WORKERPOOLS, {**true, "status": answer["status"]})

    def _sync_worker(self, worker: Json) -> None:
        deleting = "deletionTimestamp" in worker["metadata"]
        if not self._held(WORKERS, worker, words.WORKER_FINALIZER, deleting=deleting):
            return
        uid = worker["metadata"]["uid"]
        pods = {name: found for name, found in self._cache["pods"].items() if _owner(found) == uid}
        body = {
            "object": worker,
            "attachments": {words.POD_GROUP: pods},
            "related": {words.CONTROLLER_REVISION_GROUP: self._cache["controllerrevisions"]},
            "finalizing": deleting,
        }
        if not self._is_news(uid, body):
            return
        answer = ours.worker_hook(copy.deepcopy(body))
        # With the collector's finalizer on the parent, Metacontroller leaves its children to the collector.
        if FOREGROUND not in (worker["metadata"].get("finalizers") or ()):
            self._apply(PODS, worker, pods, answer["attachments"])
        if deleting and answer.get("finalized"):
            self._let_go(WORKERS, worker, words.WORKER_FINALIZER)

    def _is_news(self, uid: str, body: Json) -> bool:
        """Tell whether the hook was not asked this already: a driver is woken by changes."""
        text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        news = self._asked.get(uid) != text
        self._asked[uid] = text
        return news

    def _held(self, resource: Resource, found: Json, finalizer: str, *, deleting: bool) -> bool:
        """Put the controller's finalizer on; return whether the object is to be synced."""
        if finalizer in (found["metadata"].get("finalizers") or ()):
            return True
        if not deleting:
            self._finalizers(resource, found, lambda present: [*present, finalizer])
        return False

    def _let_go(self, resource: Resource, found: Json, finalizer: str) -> None:
        self._finalizers(resource, found, lambda present: [each for each in present if each != finalizer])

    def _finalizers(self, resource: Resource, found: Json, change: Callable[[list[str]], list[str]]) -> None:
        metadata = found["metadata"]
        wanted = change(list(metadata.get("finalizers") or ()))
        patch = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": wanted,
            }
        }
        try:
            self._api.merge_patch(resource, metadata["namespace"], metadata["name"], patch)
        except (Conflict, NotFound):
            # Seen too late; the next look shows what is there now.
            self._asked.pop(metadata["uid"], None)

    def _apply(self, resource: Resource, parent: Json, observed: Objects, desired: list[Json]) -> None:
        namespace = parent["metadata"]["namespace"]
        wanted = {child["metadata"]["name"]: child for child in desired}
        for name, found in observed.items():
            if name not in wanted and "deletionTimestamp" not in found["metadata"]:
                self._dropping(found)
                try:
                    self._api.delete(resource, namespace, name, found["metadata"]["uid"])
                except (Conflict, NotFound):
                    continue
            elif name in wanted and resource is WORKERS:
                self._update(found, wanted[name])
        for name in [name for name in wanted if name not in observed]:
            child = copy.deepcopy(wanted[name])
            owners = child["metadata"].setdefault("ownerReferences", [])
            owners.append({"kind": parent["kind"], "uid": parent["metadata"]["uid"], "controller": True})
            try:
                self._api.create(resource, namespace, child)
            except AlreadyExists:
                continue

    def _update(self, found: Json, wanted: Json) -> None:
        metadata = found["metadata"]
        if found["spec"] == wanted["spec"]:
            return
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": wanted["spec"]}
        try:
            self._api.merge_patch(WORKERS, metadata["namespace"], metadata["name"], patch)
        except (Conflict, NotFound):
            return


def collect_garbage(api: FakeApi) -> None:
    """Do as the garbage collector does with Pods: no live owner, no Pod; of several owners the doomed one is taken off.

    Doomed is who is deleted in the foreground: it waits for its dependents, and the collector deletes those first.
    """
    everything = list(api.objects.items())
    doomed = {found["metadata"]["uid"] for _, found in everything if _in_foreground(found)}
    alive = {found["metadata"]["uid"] for _, found in everything} - doomed
    owned: set[str] = set()
    for (plural, namespace, name), found in everything:
        owners = found["metadata"].get("ownerReferences") or []
        if plural != "pods" or not owners:
            continue
        kept = [owner for owner in owners if owner["uid"] in alive]
        if not kept and "deletionTimestamp" not in found["metadata"]:
            api.delete(PODS, namespace, name)
        elif kept and any(owner["uid"] in doomed for owner in owners):
            api.merge_patch(PODS, namespace, name, {"metadata": {"ownerReferences": kept}})
        owned |= {owner["uid"] for owner in (kept or owners)}
    for (plural, namespace, name), found in everything:
        if plural == "workers" and _in_foreground(found) and found["metadata"]["uid"] not in owned:
            rest = [each for each in found["metadata"]["finalizers"] if each != FOREGROUND]
            api.merge_patch(WORKERS, namespace, name, {"metadata": {"finalizers": rest}})


def _in_foreground(found: Json) -> bool:
    return FOREGROUND in (found["metadata"].get("finalizers") or ())


def _owner(found: Json) -> str:
    owners = found["metadata"].get("ownerReferences") or ()
    uid: str = next((owner["uid"] for owner in owners if owner.get("controller")), "")
    return uid
