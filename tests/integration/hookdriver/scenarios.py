# ruff: noqa: D401  # a scenario's docstring states a fact, as a test's does
"""The scripted scenarios: each drives one world and leaves a recording of it.

Hooks here are deterministic functions of what matters only (names, not versions), and their status says at most
whether everything is there, so that what is recorded doesn't depend on how many events melted into one sync.
"""

import time
from collections.abc import Callable

from devcluster.hookdriver.objects import Json
from tests.integration.hookdriver.hookserver import Answer, Body
from tests.integration.hookdriver.world import GROUP, World, blank

Scenario = Callable[[World], None]
HOLD = "fidelity.example.com/hold"
ITEMS, CONFIG_MAPS = f"Item.{GROUP}", "ConfigMap.v1"


def item(name: str, **spec: Json) -> Body:
    """Return a desired Item."""
    return {**blank("Item", name), "spec": spec}


def config_map(name: str, **data: str) -> Body:
    """Return a desired ConfigMap."""
    return {**blank("ConfigMap", name), "data": data}


def live(children: Body) -> list[str]:
    """Return the names of the children that aren't going away."""
    return sorted(name for name, obj in children.items() if "deletionTimestamp" not in obj["metadata"])


def pool_answer(request: Body) -> Body:
    """Want `replicas` items; the status says how many and whether they are there."""
    wanted = [f"member-{number}" for number in range(request["parent"]["spec"]["replicas"])]
    return {
        "status": {"desired": len(wanted), "complete": live(request["children"][ITEMS]) == wanted},
        "children": [item(name, text="<same> & more") for name in wanted],
    }


def composite(world: World, hooks: Body, *children: Body, **spec: Json) -> None:
    """Create the CompositeController of this world's pools."""
    parent = {"apiVersion": GROUP, "resource": "pools", **spec.pop("parent", {})}
    labels = {"labelSelector": {"matchLabels": {"world": world.name}}}
    rules = children or ({"apiVersion": GROUP, "resource": "items"},)
    world.control(
        "CompositeController",
        {
            "parentResource": {**parent, **labels},
            "childResources": list(rules),
            "generateSelector": True,
            "hooks": hooks,
            **spec,
        },
    )


def pool(world: World, **spec: Json) -> Body:
    """Create this world's pool."""
    return world.create("Pool", "pool", labels={"world": world.name}, spec={"replicas": 1, **spec})


def scaled(replicas: int) -> Callable[[Body], None]:
    """Return a change that sets the replicas."""
    return lambda obj: obj["spec"].update(replicas=replicas)


def complete(world: World, replicas: int) -> Callable[[], bool]:
    """Return whether the pool says that it has so many items."""
    wanted = {"desired": replicas, "complete": True}

    def holds() -> bool:
        status = world.read("Pool", "pool").get("status") or {}
        return {name: status.get(name) for name in wanted} == wanted

    return holds


def gone(world: World, kind: str, name: str) -> Callable[[], bool]:
    """Return whether the object isn't there."""
    return lambda: world.get(kind, name) is None


def every(*conditions: Callable[[], bool]) -> Callable[[], bool]:
    """Return whether all conditions hold."""
    return lambda: all(condition() for condition in conditions)


def there(world: World, kind: str, *names: str) -> Callable[[], bool]:
    """Return whether just these objects of the kind are there."""
    return lambda: world.names(kind) == sorted(names)


def terminating(world: World, kind: str, *names: str) -> Callable[[], bool]:
    """Return whether all these objects are on their way out."""
    return lambda: all("deletionTimestamp" in world.read(kind, name)["metadata"] for name in names)


def collected(world: World, kind: str, name: str) -> Callable[[], bool]:
    """Return whether the garbage collector is done with the object that waits for its driver."""

    def holds() -> bool:
        left = set(world.read(kind, name)["metadata"].get("finalizers", []))
        return bool(left) and not left & {"foregroundDeletion", "orphan"}

    return holds


def scale(world: World) -> None:
    """A pool is created, grows, shrinks, loses a child by hand, and is deleted."""
    finalize = world.hook(
        "finalize", lambda request: {"children": [], "finalized": not request["children"][ITEMS]}
    )
    composite(world, {"sync": world.hook("sync", pool_answer), "finalize": finalize})
    with world.step("created", complete(world, 3)):
        pool(world, replicas=3)
    with world.step("scaled up", complete(world, 5)):
        world.change("Pool", "pool", scaled(5))
    with world.step("scaled down", complete(world, 2)):
        world.change("Pool", "pool", scaled(2))
    with world.step("child deleted by hand", lambda: world.names("Item") == ["member-0", "member-1"]):
        world.delete("Item", "member-0")
    # The last finalize call may come before the pool's status of the call before is seen.
    with world.step("label lost", there(world, "Item"), loose=True):
        world.change("Pool", "pool", lambda obj: obj["metadata"]["labels"].clear())
    with world.step("label back", complete(world, 2)):
        world.change("Pool", "pool", lambda obj: obj["metadata"].update(labels={"world": world.name}))
    with world.step("deleted", gone(world, "Pool", "pool"), loose=True):
        world.delete("Pool", "pool")


def _held_pool(world: World) -> None:
    """Make a pool whose finalize hook lets go on request, and wants one more child until then."""

    def finalize(request: Body) -> Body:
        release = "release" in request["parent"]["metadata"].get("annotations", {})
        wanted = [] if release else [item("member-0", text="<same> & more"), item("farewell")]
        return {"status": {"desired": 0, "complete": True}, "children": wanted, "finalized": release}

    composite(world, {"sync": world.hook("sync", pool_answer), "finalize": world.hook("finalize", finalize)})
    with world.step("created", complete(world, 2)):
        pool(world, replicas=2)


def _release(obj: Body) -> None:
    obj["metadata"].setdefault("annotations", {})["release"] = "now"


def delete_background(world: World) -> None:
    """While a finalize hook holds a deleted pool, its children are managed: one goes, one comes."""
    _held_pool(world)
    with world.step("deleted", complete(world, 0)):
        world.delete("Pool", "pool")
    with world.step("released", every(gone(world, "Pool", "pool"), there(world, "Item")), loose=True):
        world.change("Pool", "pool", _release)


def delete_foreground(world: World) -> None:
    """A pool in foreground deletion has its children collected, and none is written before that is done.

    Then the pool still waits for its finalize hook, and whatever that wants is made anew.
    """
    _held_pool(world)
    with world.step("children held"):
        for name in world.names("Item"):
            world.change("Item", name, lambda obj: obj["metadata"].update(finalizers=[HOLD]))
    children = terminating(world, "Item", "member-0", "member-1")
    with world.step("deleted", every(complete(world, 0), children), loose=True):
        world.delete("Pool", "pool", "Foreground")
    with world.step("annotated"):
        world.change("Pool", "pool", lambda obj: obj["metadata"].update(annotations={"look": "again"}))
    anew = there(world, "Item", "farewell", "member-0")
    with world.step("children let go", every(collected(world, "Pool", "pool"), anew), loose=True):
        for name in world.names("Item"):
            world.change("Item", name, lambda obj: obj["metadata"].pop("finalizers"))
    with world.step("released", every(gone(world, "Pool", "pool"), there(world, "Item")), loose=True):
        world.change("Pool", "pool", _release)


def delete_orphan(world: World) -> None:
    """A pool deleted with orphaning leaves its children behind, ownerless, and doesn't take them back."""
    _held_pool(world)
    three = there(world, "Item", "farewell", "member-0", "member-1")
    with world.step("deleted", every(collected(world, "Pool", "pool"), three), loose=True):
        world.delete("Pool", "pool", "Orphan")
    two = there(world, "Item", "member-0", "member-1")
    with world.step("released", every(gone(world, "Pool", "pool"), two), loose=True):
        world.change("Pool", "pool", _release)


def no_finalize_hook(world: World) -> None:
    """Without a finalize hook a pool gets no finalizer, and a foreign one is none of the driver's business."""
    composite(world, {"sync": world.hook("sync", pool_answer)})
    with world.step("created", complete(world, 1)):
        world.create("Pool", "pool", labels={"world": world.name}, finalizers=[HOLD], spec={"replicas": 1})
    with world.step("deleted but held"):
        world.delete("Pool", "pool")
    with world.step("scaled while terminating"):
        world.change("Pool", "pool", scaled(2))
    with world.step("let go", every(gone(world, "Pool", "pool"), there(world, "Item")), loose=True):
        world.change("Pool", "pool", lambda obj: obj["metadata"].pop("finalizers"))


def hook_errors(world: World) -> None:
    """Hooks that fail are called again with back-off; 429 waits for as long as it says."""
    calls: list[float] = []

    def sync(request: Body) -> Body | Answer:
        calls.append(time.monotonic())
        if len(calls) <= 3:
            return Answer({"error": "not yet"}, 500)
        if len(calls) == 4:
            return Answer({}, 429, {"Retry-After": "2"})
        return pool_answer(request)

    composite(world, {"sync": world.hook("sync", sync)})
    with world.step("created", complete(world, 1)):
        pool(world)
    assert calls[4] - calls[3] >= 1.9, "the pause that the hook asked for wasn't kept"
    assert calls[3] - calls[0] < 1.5, "three failures must not take long"
    assert calls[3] - calls[2] > calls[2] - calls[1] - 0.005, "the back-off must grow"


def bad_labels(world: World) -> None:
    """Children that the pool's own selector doesn't match stop the sync before any write."""

    def sync(request: Body) -> Body:
        labelled = blank("Item", "member-0", labels={"app": request["parent"]["spec"]["app"]})
        return {"status": {"wrote": True}, "children": [labelled]}

    composite(world, {"sync": world.hook("sync", sync)}, generateSelector=False)
    selector = {"matchLabels": {"app": "right"}}
    with world.step("created", lambda: len(world.requests) >= 3, loose=True):
        pool(world, app="wrong", selector=selector)
    with world.step("mended", lambda: world.names("Item") == ["member-0"]):
        world.change("Pool", "pool", lambda obj: obj["spec"].update(app="right"))


def resync_after(world: World) -> None:
    """A hook that asks to be called again is, though nothing happened, and nothing is written."""
    asking = [True]

    def sync(request: Body) -> Body:
        return {**pool_answer(request), "resyncAfterSeconds": 0.2 if asking[0] else 0}

    composite(world, {"sync": world.hook("sync", sync)})
    count = [0]

    def enough() -> bool:
        if complete(world, 1)() and not count[0]:
            count[0] = len(world.requests)
        asking[0] = not count[0] or len(world.requests) < count[0] + 5
        return not asking[0]

    with world.step("created", enough):
        pool(world)


def foreign_status(world: World) -> None:
    """The whole status is replaced: another writer's words are lost, even those written during the call."""
    meanwhile: list[bool] = []

    def write(obj: Body) -> None:
        obj["status"] = {**obj.get("status", {}), "foreign": True}

    def sync(request: Body) -> Body:
        if meanwhile:
            meanwhile.clear()
            world.change("Pool", "pool", write, "status")
        return pool_answer(request)

    composite(world, {"sync": world.hook("sync", sync)})
    with world.step("created", complete(world, 1)):
        pool(world)

    def ours() -> bool:
        return "foreign" not in world.read("Pool", "pool")["status"]

    with world.step("written between syncs", ours):
        world.change("Pool", "pool", write, "status")
    with world.step("written during the call", lambda: ours() and not meanwhile):
        meanwhile.append(True)
        world.change("Pool", "pool", scaled(2))


def update_strategies(world: World) -> None:
    """OnDelete leaves a changed child alone, InPlace merges three ways, Recreate deletes and creates."""

    def sync(request: Body) -> Body:
        spec = request["parent"]["spec"]
        owner = spec.get("owner")
        merged = config_map("merged", **spec["data"])
        if owner:
            merged["metadata"]["ownerReferences"] = [owner]
        account = blank("ServiceAccount", "renewed", annotations={"text": spec["text"]})
        return {
            "status": {"seen": spec["text"]},
            "children": [item("kept", text=spec["text"]), merged, account],
        }

    def text(word: str, **data: str) -> Callable[[Body], None]:
        return lambda obj: obj["spec"].update(text=word, data=data)

    def settled(word: str) -> Callable[[], bool]:
        def holds() -> bool:
            account = world.read("ServiceAccount", "renewed")
            return bool(account["metadata"].get("annotations", {}).get("text") == word)

        return holds

    owner = world.create("ConfigMap", "owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    composite(
        world,
        {"sync": world.hook("sync", sync)},
        {"apiVersion": GROUP, "resource": "items", "updateStrategy": {"method": "OnDelete"}},
        {"apiVersion": "v1", "resource": "configmaps", "updateStrategy": {"method": "InPlace"}},
        {"apiVersion": "v1", "resource": "serviceaccounts", "updateStrategy": {"method": "Recreate"}},
    )
    with world.step("created", settled("one")):
        pool(world, text="one", data={"a": "1", "b": "<2> & \u2028 \u00e9"}, owner=reference)
    with world.step("changed", settled("two")):
        world.change("Pool", "pool", text("two", a="1", c="3"))
    with world.step("child changed by hand", lambda: world.read("ConfigMap", "merged")["data"]["a"] == "1"):
        world.change("ConfigMap", "merged", lambda obj: obj.update(data={"a": "9", "c": "3", "mine": "x"}))
    with world.step("kept child deleted", lambda: world.read("Item", "kept").get("spec") == {"text": "two"}):
        world.delete("Item", "kept")
    with world.step("owner no longer wanted"):
        world.change("Pool", "pool", lambda obj: obj["spec"].pop("owner"))


def adoption(world: World) -> None:
    """Orphans that match the pool's selector are adopted; children that no longer match are released."""

    def sync(request: Body) -> Body:
        names = {"own", *live(request["children"][ITEMS])}
        labels = {"app": "adopting"}
        return {
            "status": {"names": sorted(names)},
            "children": [blank("Item", name, labels=labels) for name in sorted(names)],
        }

    composite(world, {"sync": world.hook("sync", sync)}, generateSelector=False)

    def owned(name: str) -> Callable[[], bool]:
        return lambda: bool(world.read("Item", name)["metadata"].get("ownerReferences"))

    world.create("Item", "stray", labels={"app": "adopting"})
    world.create("Item", "other", labels={"app": "different"})
    with world.step("created", lambda: owned("stray")() and owned("own")()):
        pool(world, selector={"matchLabels": {"app": "adopting"}})
    with world.step("orphan appears", owned("late")):
        world.create("Item", "late", labels={"app": "adopting"})
    with world.step("relabelled", lambda: not owned("stray")()):
        world.change("Item", "stray", lambda obj: obj["metadata"].update(labels={"app": "free"}))


def ignore_status_changes(world: World) -> None:
    """With ignoreStatusChanges, a status alone wakes nobody; a label does."""
    composite(world, {"sync": world.hook("sync", pool_answer)}, parent={"ignoreStatusChanges": True})
    # Nothing makes the pool's own status seen again, so the last request may be older than it.
    with world.step("created", complete(world, 1), loose=True):
        pool(world)
    with world.step("status changed"):
        world.change("Pool", "pool", lambda obj: obj["status"].update(foreign=True), "status")
    with world.step("label changed", lambda: "foreign" not in world.read("Pool", "pool")["status"]):
        world.change("Pool", "pool", lambda obj: obj["metadata"]["labels"].update(more="yes"))


def _relate(request: Body) -> Body:
    rule = {"apiVersion": "v1", "resource": "configmaps"}
    name = request.get("parent", {})["spec"].get("names")
    chosen = {"names": name} if name else {"labelSelector": {"matchLabels": {"related": "yes"}}}
    return {"relatedResources": [{**rule, **chosen}]}


def related(world: World) -> None:
    """Related objects are in the request, their changes wake the pool, the customize answer is kept."""

    def sync(request: Body) -> Body:
        data = {name: obj.get("data", {}) for name, obj in request["related"][CONFIG_MAPS].items()}
        return {"status": {"related": data}, "children": []}

    composite(world, {"sync": world.hook("sync", sync), "customize": world.hook("customize", _relate)})

    def sees(data: Body) -> Callable[[], bool]:
        def holds() -> bool:
            return (world.read("Pool", "pool").get("status") or {}).get("related") == data

        return holds

    world.create("ConfigMap", "first", labels={"related": "yes"}, data={"a": "1"})
    world.create("ConfigMap", "second", data={"a": "2"})
    with world.step("created", sees({"first": {"a": "1"}})):
        pool(world)
    with world.step("related changed", sees({"first": {"a": "9"}})):
        world.change("ConfigMap", "first", lambda obj: obj.update(data={"a": "9"}))
    with world.step("another labelled", sees({"first": {"a": "9"}, "second": {"a": "2"}})):
        world.change("ConfigMap", "second", lambda obj: obj["metadata"].update(labels={"related": "yes"}))
    with world.step("one deleted", sees({"second": {"a": "2"}})):
        world.delete("ConfigMap", "first")
    with world.step("unrelated changed"):
        world.create("ConfigMap", "third", data={"a": "3"})
    with world.step("pool relabelled"):
        world.change("Pool", "pool", lambda obj: obj["metadata"]["labels"].update(more="yes"))
    with world.step("by name", sees({"third": {"a": "3"}})):
        world.change("Pool", "pool", lambda obj: obj["spec"].update(names=["third"]))


def second_version(world: World) -> None:
    """A version 2 hook gets its maps by namespace and name."""

    def sync(request: Body) -> Body:
        return {"status": {"seen": sorted(request["children"][ITEMS])}, "children": [item("member-0")]}

    composite(world, {"sync": {"version": "v2", **world.hook("sync", sync)}})

    def seen() -> bool:
        status = world.read("Pool", "pool").get("status") or {}
        return bool(status.get("seen"))

    with world.step("created", seen):
        pool(world)


def decorator(world: World, hooks: Body, attachment: Body | None = None, **rule: Json) -> None:
    """Create the DecoratorController of this world's items."""
    attachments = {"apiVersion": "v1", "resource": "configmaps", **(attachment or {})}
    world.control(
        "DecoratorController",
        {
            "resources": [{"apiVersion": GROUP, "resource": "items", **rule}],
            "attachments": [attachments],
            "hooks": hooks,
        },
    )


def decorate(request: Body) -> Body:
    """Attach one ConfigMap, label and annotate the item, say nothing about its status."""
    name = request["object"]["metadata"]["name"]
    return {
        "labels": {"decorated": "yes", "unwanted": None},
        "annotations": {"attached": name},
        "attachments": [config_map(f"{name}-attached", text=request["object"]["spec"]["text"])],
    }


def undecorate(request: Body) -> Body:
    """Take everything back."""
    return {
        "labels": {"decorated": None},
        "annotations": {"attached": None},
        "attachments": [],
        "finalized": not request["attachments"][CONFIG_MAPS],
    }


def has_attachments(world: World, *names: str) -> Callable[[], bool]:
    """Return whether just these ConfigMaps are there."""
    return lambda: world.names("ConfigMap") == sorted(names)


def decorated(world: World, name: str) -> Callable[[], bool]:
    """Return whether the item carries the decorator's label."""

    def holds() -> bool:
        labels = world.read("Item", name)["metadata"].get("labels", {})
        return bool(labels.get("decorated") == "yes")

    return holds


def decorator_labelled(world: World) -> None:
    """Only labelled items are decorated; losing the label is like being deleted; the status isn't touched."""
    decorator(
        world,
        {"sync": world.hook("sync", decorate), "finalize": world.hook("finalize", undecorate)},
        {"updateStrategy": {"method": "InPlace"}},
        labelSelector={"matchLabels": {"decorate": world.name}},
    )
    chosen = {"decorate": world.name, "unwanted": "x"}
    with world.step(
        "created", lambda: decorated(world, "one")() and has_attachments(world, "one-attached")()
    ):
        world.create("Item", "one", labels=chosen, spec={"text": "a"})
    with world.step("not chosen"):
        world.create("Item", "two", spec={"text": "a"})
    with world.step("status written by another"):
        world.change("Item", "one", lambda obj: obj.update(status={"foreign": True}), "status")
    with world.step("changed", lambda: world.read("ConfigMap", "one-attached")["data"]["text"] == "b"):
        world.change("Item", "one", lambda obj: obj["spec"].update(text="b"))
    with world.step("attachment deleted by hand", has_attachments(world, "one-attached")):
        world.delete("ConfigMap", "one-attached")
    with world.step("label lost", has_attachments(world)):
        world.change("Item", "one", lambda obj: obj["metadata"]["labels"].pop("decorate"))
    with world.step(
        "label back", lambda: decorated(world, "one")() and has_attachments(world, "one-attached")()
    ):
        world.change("Item", "one", lambda obj: obj["metadata"].update(labels=chosen))
    with world.step("deleted", gone(world, "Item", "one")):
        world.delete("Item", "one")


def decorator_status(world: World) -> None:
    """A decorator of all items that returns a status writes it, and what else is in it goes."""

    def sync(request: Body) -> Body:
        return {"status": {"text": request["object"]["spec"]["text"]}, "attachments": []}

    decorator(world, {"sync": world.hook("sync", sync)})

    def status(name: str, wanted: Body) -> Callable[[], bool]:
        return lambda: world.read("Item", name).get("status") == wanted

    with world.step("created", status("one", {"text": "a"})):
        world.create("Item", "one", spec={"text": "a"})
    with world.step("status written by another", status("one", {"text": "a"})):
        world.change("Item", "one", lambda obj: obj["status"].update(foreign=True), "status")
    with world.step("deleted", gone(world, "Item", "one")):
        world.delete("Item", "one")


def decorator_held(world: World) -> None:
    """A finalize hook that isn't done keeps item and attachments; in foreground deletion it can't keep those."""

    def finalize(request: Body) -> Body:
        release = "release" in request["object"]["metadata"].get("annotations", {})
        return {**decorate(request), "finalized": release}

    hooks = {"sync": world.hook("sync", decorate), "finalize": world.hook("finalize", finalize)}
    decorator(world, hooks, labelSelector={"matchLabels": {"decorate": world.name}})
    for name in ("back", "fore"):
        with world.step(f"{name} created", decorated(world, name)):
            world.create("Item", name, labels={"decorate": world.name}, spec={"text": "a"})
    with world.step("deleted in background"):
        world.delete("Item", "back")
    with world.step("attachment deleted by hand", has_attachments(world, "back-attached", "fore-attached")):
        world.delete("ConfigMap", "back-attached")
    # The collector takes the attachment; once it is done, the hook has its way and gets it back.
    both = has_attachments(world, "back-attached", "fore-attached")
    attached = world.read("ConfigMap", "fore-attached")["metadata"]["uid"]

    def replaced() -> bool:
        return bool(world.read("ConfigMap", "fore-attached")["metadata"].get("uid") != attached)

    with world.step(
        "deleted in foreground", every(collected(world, "Item", "fore"), replaced, both), loose=True
    ):
        world.delete("Item", "fore", "Foreground")
    with world.step("annotated"):
        world.change("Item", "fore", lambda obj: obj["metadata"]["annotations"].update(look="again"))
    for name, left in (("back", ["fore-attached"]), ("fore", [])):
        with world.step(
            f"{name} released", every(gone(world, "Item", name), has_attachments(world, *left)), loose=True
        ):
            world.change("Item", name, _release)


def restart(world: World) -> None:
    """What happened while the driver was away is made up for at its start."""
    composite(world, {"sync": world.hook("sync", pool_answer)})
    with world.step("created", complete(world, 2)):
        pool(world, replicas=2)
    world.driver.stop()
    with world.step("changes while it is away"):
        world.change("Pool", "pool", scaled(4))
        world.delete("Item", "member-0")
    with world.step("started again", complete(world, 4)):
        world.driver.start()


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        scale,
        delete_background,
        delete_foreground,
        delete_orphan,
        no_finalize_hook,
        hook_errors,
        bad_labels,
        resync_after,
        foreign_status,
        update_strategies,
        adoption,
        ignore_status_changes,
        related,
        second_version,
        decorator_labelled,
        decorator_status,
        decorator_held,
        restart,
    )
}
