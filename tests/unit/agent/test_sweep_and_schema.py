"""Settings revisions that nobody needs go, and CRDs that would prune the ledger are noticed."""

import pytest

from app.agent.decisions import revisions
from app.agent.schema import CRDS, SchemaCheck
from app.agent.sweep import sweep_revisions
from app.cluster.errors import Unavailable
from app.cluster.resources import CONTROLLER_REVISIONS, CUSTOM_RESOURCE_DEFINITIONS, WORKERS
from tests.unit.agent import builders as a
from tests.unit.agent.world import FakeApi, World

OLD = "2026-01-01T00:00:00Z"


def put_revision(world: World, *, pod: a.Json, created: str = OLD) -> str:
    """Store the revision of a pool with these settings; return its name."""
    body = revisions.revision_body(a.pool(pod=pod), a.POOL_ULID)
    body["metadata"] |= {"uid": "r", "creationTimestamp": created}
    world.api.put(CONTROLLER_REVISIONS, body)
    name: str = body["metadata"]["name"]
    return name


def left(world: World) -> set[str]:
    """Return the revisions that are there."""
    return {name for plural, _, name in world.api.objects if plural == "controllerrevisions"}


def sweep(world: World) -> int:
    """Sweep all namespaces."""
    return sweep_revisions(world.cluster, world.revisions, (), world.clock)


def test_only_what_nobody_refers_to_is_swept(world: World) -> None:
    """The current one, those of runs in flight and young ones stay."""
    world.up(pod={"current": 1})
    current, used, unused = (put_revision(world, pod={kind: 1}) for kind in ("current", "used", "unused"))
    young = put_revision(world, pod={"young": 1}, created="2026-05-31T23:59:00Z")
    world.api.put(WORKERS, a.worker_object(status=a.busy_status("Running", settings=used)))
    assert sweep(world) == 1
    assert left(world) == {current, used, young}
    assert unused not in left(world)


def test_a_revision_that_a_claim_used_lately_stays(world: World) -> None:
    """Its claim may be about to be recorded."""
    world.up(pod={"then": 1})
    name = put_revision(world, pod={"then": 1})
    assert world.revisions.ensure(a.pool(pod={"then": 1}), a.POOL_ULID, world.time) == name
    world.api.put(WORKERS, a.worker_object())
    world.caches["workerpools"].found[a.NAMESPACE, a.POOL]["spec"]["pod"] = {"now": 1}
    assert sweep(world) == 0
    world.time += revisions.MIN_AGE + 1
    assert sweep(world) == 1


def test_only_a_pools_owner_sweeps_it(world: World) -> None:
    """It alone knows which revisions its claims have used lately."""
    world.up()
    put_revision(world, pod={"unused": 1})
    asked: list[tuple[str, str]] = []

    def owns(pool: tuple[str, str]) -> bool:
        asked.append(pool)
        return False

    assert sweep_revisions(world.cluster, world.revisions, (), world.clock, owns) == 0
    assert asked == [(a.NAMESPACE, a.POOL)]


def test_nothing_is_swept_while_a_worker_cannot_be_read(world: World) -> None:
    """Its run may refer to anything."""
    world.up()
    put_revision(world, pod={"unused": 1})
    world.api.put(WORKERS, a.worker_object(status={"run": {"phase": "?"}}))
    assert sweep(world) == 0


def test_an_idle_sweep_lists_no_workers(world: World) -> None:
    """Only a candidate is worth the question."""
    world.up(pod={"current": 1})
    put_revision(world, pod={"current": 1})
    world.api.calls.clear()
    assert sweep(world) == 0
    assert [call[:2] for call in world.api.calls] == [("list", "controllerrevisions")]


def crds(*revisions_: str | None) -> FakeApi:
    """Return an API server with the CRDs of these schema revisions."""
    api = FakeApi()
    for name, revision in zip(CRDS, revisions_, strict=False):
        annotations = {"workers.spacelift.io/schema-revision": revision} if revision else {}
        api.put(
            CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": name, "uid": name, "annotations": annotations}}
        )
    return api


def test_nothing_is_claimed_before_the_crds_were_read() -> None:
    """The first answer must be there."""
    check = SchemaCheck(crds("2", "2"))
    assert not check.ok()
    assert check.refresh()
    assert check.ok()
    assert not check.refresh()


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (("2", None), "no annotation"),
        (("1", "2"), "schema revision 1, this operator needs 2"),
        (("2",), "not installed"),
        ((), "not installed"),
    ],
)
def test_other_crds_are_named_with_what_mends_it(found: tuple[str | None, ...], text: str) -> None:
    """Absent, without the annotation, or of another major revision."""
    check = SchemaCheck(crds(*found))
    check.refresh()
    assert not check.ok()
    assert text in check.fault


def test_a_minor_revision_is_no_other_schema() -> None:
    """Fields were added; ours are kept."""
    check = SchemaCheck(crds("2.3", "2"))
    check.refresh()
    assert check.ok()


def test_an_api_that_cannot_be_asked_changes_nothing() -> None:
    """What was read before still holds."""
    api = crds("2", "2")
    check = SchemaCheck(api)
    check.refresh()

    def away(*_: str) -> None:
        raise Unavailable("away")

    api.fail = away
    assert not check.refresh()
    assert check.ok()
