"""What a pool's credentials, session and size make of it."""

import base64
import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from app.agent import pools
from app.agent.credentials import PoolCredentials, read_credentials
from app.cluster.errors import Forbidden
from app.cluster.resources import SECRETS, WORKERPOOLS, WORKERS
from protocol.messages import Inventory, InventoryRequested, Online, Register, Unregister, WorkerState
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material, make_material
from tests.unit.agent.world import FakeLink, World

KEY = (a.NAMESPACE, a.POOL)


def labels(world: World) -> dict[str, str]:
    """Return the pool's labels."""
    found: dict[str, str] = world.api.objects["workerpools", a.NAMESPACE, a.POOL]["metadata"].get(
        "labels", {}
    )
    return found


def look(world: World, seconds: float = 0.0) -> None:
    """Let time pass and look at the pool, as its queue would."""
    world.time += seconds
    world.pools.reconcile(KEY)
    world.settle()


def test_a_pool_is_labelled_once_its_session_stands(world: World) -> None:
    """Before that the hook creates no Worker; label and annotation are one patch."""
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object())
    world.settle()
    assert labels(world) == {}
    world.link.connect()
    world.settle()
    assert labels(world) == {"workers.spacelift.io/ulid": a.POOL_ULID}
    assert world.connection()["state"] == "Ready"
    assert world.api.count("patch", "workerpools") == 1
    assert [event[2] for event in world.events] == ["WorkerPoolRegistered"]


def test_a_new_session_says_online_and_sends_the_inventory(world: World) -> None:
    """On the pool's own topic; with the session kept by the broker, online alone."""
    world.up(a.worker_object())
    world.link.connect(session_present=False)
    world.time += 2
    world.pools_woken.add(KEY)
    world.settle()
    pool_level = [
        type(each) for topic, each in world.link.published if topic.endswith(f"{a.POOL_ULID}/{a.POOL_ULID}")
    ]
    assert pool_level == [Online, Inventory]
    world.link.take()
    world.link.connect(session_present=True)
    world.settle()
    assert [type(each) for each in world.link.take()] == [Online, WorkerState]


def test_an_inventory_is_sent_when_it_is_asked_for_and_not_too_often(world: World) -> None:
    """A hundred requests in a second are one inventory."""
    world.up(a.worker_object())
    world.time += 2
    for _ in range(100):
        world.link.deliver(InventoryRequested(pool_uid=a.POOL_UID), a.POOL_ULID)
    world.link.deliver_bytes(b"nonsense", a.POOL_ULID)
    world.settle()
    assert [type(each) for each in world.link.take()] == [Inventory]
    assert len(world.link.acked) == 101


def test_bad_credentials_are_an_event_and_a_condition_and_heal_by_themselves(
    world: World, material: Material
) -> None:
    """No restart, no touch of the pool: the next look at the Secret mends it."""
    good = dict(world.secret["data"])
    world.secret["data"]["privateKey"] = base64.b64encode(b"QUJD!").decode()
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object())
    world.settle()
    text = "cannot retrieve workerpool token: unable to base64 decode privateKey: illegal base64 data at input byte 4"
    assert world.connection()["state"] == "CredentialsInvalid"
    assert world.connection()["message"] == text
    assert world.events == [
        ("WorkerPool", "Warning", "WorkerPoolCannotRegister", f"Unable to register worker pool: {text}")
    ]
    look(world, 31)
    assert world.api.count("patch", "workerpools") == 1
    assert labels(world) == {}
    world.secret["data"] = good
    world.api.put(SECRETS, world.secret)
    look(world, 31)
    world.link.connect()
    world.settle()
    assert world.connection()["state"] == "Ready"
    assert material.token.pool_ulid in labels(world).values()


def test_one_refused_look_at_the_secret_heals(world: World) -> None:
    """A role that was being replaced leaves no lasting fault on a pool that works."""
    world.up(a.worker_object())

    def refuse(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("get", "secrets"):
            raise Forbidden("secrets is forbidden", status=403)

    world.api.fail = refuse
    look(world, 61)
    assert world.connection()["state"] == "CredentialsInvalid"
    world.api.fail = lambda *_: None
    look(world, 61)
    assert world.connection()["state"] == "Ready"


def test_an_unchanged_secret_is_not_parsed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of 4096 bits costs a tenth of a second; expiry is noticed all the same."""
    world.up(a.worker_object())
    parsed = []

    def counted(*given: Any) -> PoolCredentials:  # noqa: ANN401 - passed on
        parsed.append(given)
        return read_credentials(*given)

    monkeypatch.setattr(pools, "read_credentials", counted)
    look(world, 61)
    assert parsed == []
    world.date = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    look(world, 61)
    assert len(parsed) == 1
    assert "expired" in world.connection()["message"]


def test_a_secret_that_may_not_be_read_is_told(world: World) -> None:
    """RBAC of one namespace forgotten."""

    def refuse(_verb: str, plural: str, _name: str) -> None:
        if plural == "secrets":
            raise Forbidden('secrets "creds" is forbidden', status=403)

    world.api.fail = refuse
    world.api.put(WORKERPOOLS, a.pool_object())
    world.settle()
    assert "forbidden" in world.connection()["message"]


def test_a_lasting_fault_is_told_again_every_ten_minutes(world: World) -> None:
    """Events are kept for an hour only."""
    world.api.put(WORKERPOOLS, a.pool_object())
    world.settle()
    for _ in range(25):
        look(world, 30)
    assert [event[2] for event in world.events] == ["WorkerPoolCannotRegister"] * 2


def test_a_lost_connection_is_told_once_after_a_while(world: World) -> None:
    """And again when it is back; the label stays, so no Worker goes."""
    world.up(a.worker_object())
    world.link.lose("refused")
    look(world)
    assert world.connection()["state"] == "Ready"
    for _ in range(10):
        look(world, 5)
    assert (world.connection()["state"], world.api.count("patch", "workerpools")) == ("Connecting", 1)
    world.link.connect()
    world.settle()
    assert world.connection()["state"] == "Ready"
    assert [event[2] for event in world.events][-2:] == ["WorkerPoolConnectionLost", "WorkerPoolRegistered"]
    assert a.POOL_ULID in labels(world).values()


def test_a_broker_that_cannot_be_reached_at_first_is_an_event(world: World) -> None:
    """Good credentials, no connection in as many tries as documented; until then it is being made."""
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object())
    world.settle()
    for _ in range(4):
        world.link.lose("connection refused")
        look(world, 6)
    assert (world.connection()["state"], world.connection()["reason"]) == ("Connecting", "Connecting")
    assert world.events == []
    world.link.lose("connection refused")
    look(world)
    kind, _, reason, text = world.events[0]
    assert (kind, reason) == ("WorkerPool", "WorkerPoolCannotRegister")
    assert "broker.example:8883: connection refused" in text
    assert world.connection()["state"] == "CannotRegister"
    world.link.connect()
    world.settle()
    assert world.connection()["state"] == "Ready"


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_pool_says_itself_how_many_tries_its_first_connection_has(world: World, retries: int) -> None:
    """With 0 the first failure is told at once, without waiting for the grace of a lost connection."""
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object(mqttReconnectRetryCount=retries))
    world.settle()
    for _ in range(max(retries, 1)):
        assert world.events == []
        world.link.lose("connection refused")
        world.settle()
    assert [event[2] for event in world.events] == ["WorkerPoolCannotRegister"]


def test_a_pool_without_credentials_of_its_own_is_told_what_to_do(world: World) -> None:
    """It would have to register itself; giving it credentials mends it."""
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object(token=None, privateKey=None, space="root"))
    world.settle()
    said = world.connection()
    assert (said["state"], said["reason"]) == ("CredentialsInvalid", "AutoRegistrationUnavailable")
    assert [event[:3] for event in world.events] == [("WorkerPool", "Warning", "WorkerPoolCannotRegister")]
    assert "create the pool at the mothership" in world.events[0][3]
    mended = a.pool_object()
    mended["metadata"]["generation"] = 2
    world.api.put(WORKERPOOLS, mended)
    world.settle()
    world.link.connect()
    world.settle()
    assert world.connection()["state"] == "Ready"


def test_crds_of_another_revision_are_a_condition_of_every_pool(world: World) -> None:
    """And no Worker is admitted; once they are mended the pool is Ready again."""
    world.up(a.worker_object(status={}))
    world.schema_ok = False
    look(world)
    said = world.connection()
    assert (said["state"], said["reason"]) == ("CannotRegister", "SchemaRevisionMismatch")
    assert world.events[-1][1:3] == ("Warning", "SchemaRevisionMismatch")
    world.schema_ok = True
    look(world)
    assert world.connection()["state"] == "Ready"


def test_fields_without_effect_are_told_once_for_each_generation(world: World) -> None:
    """Not at every look, and again when the spec was edited."""
    world.up(space="root")
    look(world, 61)
    told = [event for event in world.events if event[2] == "SettingIgnored"]
    assert [event[:2] for event in told] == [("WorkerPool", "Warning")]
    assert told[0][3].startswith("spec.space has no effect")
    edited = a.pool_object(space="root", poolSize=2)
    edited["metadata"]["generation"] = 2
    world.api.put(WORKERPOOLS, edited)
    world.settle()
    look(world, 61)
    assert [event[2] for event in world.events].count("SettingIgnored") == 2


def rotate(world: World, days: int = 3650) -> FakeLink:
    """Change the Secret and look; return the newest connection."""
    world.secret["data"] = make_material(days).secret_data
    world.api.put(SECRETS, world.secret)
    look(world, 61)
    return world.link


def test_rotated_credentials_take_over_once_they_proved_good(world: World) -> None:
    """They are tried under an id of their own; the old session stays until then, and goes without a goodbye."""
    old = world.up(a.worker_object())
    trial = rotate(world)
    assert (len(world.links), old.stopped) == (2, False)
    assert trial.settings.client_id == f"{a.POOL_UID}-trial"
    assert (trial.settings.session_expiry, trial.settings.will_topic) == (0, "")
    trial.connect()
    world.settle()
    assert trial.stopped
    assert (old.stopped, old.farewell) == (True, False)
    assert world.link.settings.client_id == a.POOL_UID
    world.link.connect(session_present=True)
    world.settle()
    session = world.pools.session(KEY)
    assert session is not None
    assert session.state.ready
    assert Online in [type(each) for each in world.link.take()]
    assert (len(world.links), world.pools.trials()) == (3, [])


def test_changed_credentials_that_are_refused_leave_the_old_ones_in_use(world: World) -> None:
    """It is told while it lasts; with the former pair back in the Secret everything is as it was."""
    former = dict(world.secret["data"])
    old = world.up(a.worker_object())
    trial = rotate(world)
    trial.lose("the broker refused the pool's certificate")
    world.settle()
    said = world.connection()
    assert said["state"] == "CredentialsInvalid"
    assert "refused the pool's certificate; the former ones stay in use" in said["message"]
    assert not old.stopped
    world.secret["data"] = former
    world.api.put(SECRETS, world.secret)
    look(world, 61)
    assert trial.stopped
    assert (len(world.links), old.stopped) == (2, False)
    assert world.connection()["state"] == "Ready"


def test_a_broker_that_is_away_is_no_fault_of_changed_credentials(world: World) -> None:
    """Neither the old pair nor the new one can connect."""
    old = world.up(a.worker_object())
    trial = rotate(world)
    old.lose("connection refused")
    trial.lose("connection refused")
    look(world, 6)
    look(world, 6)
    assert world.connection()["state"] == "Connecting"


def test_an_expired_pair_is_replaced_without_a_trial(world: World) -> None:
    """There is nothing left that could go on meanwhile."""
    old = world.up(a.worker_object())
    world.date = dt.datetime(2050, 1, 1, tzinfo=dt.UTC)
    look(world, 61)
    assert "expired" in world.connection()["message"]
    link = rotate(world, days=36500)
    assert link.settings.client_id == a.POOL_UID
    assert old.stopped


def test_a_trial_ends_with_its_secret_and_with_its_pool(world: World) -> None:
    """Nothing connects any more with what isn't wanted any more."""
    world.up()
    first = rotate(world)
    world.api.remove(SECRETS, "creds")
    look(world, 61)
    assert first.stopped
    second = rotate(world)
    assert (second.stopped, len(world.pools.trials())) == (False, 1)
    world.api.remove(WORKERPOOLS, a.POOL)
    world.settle()
    assert second.stopped


def test_what_the_broker_refuses_is_an_event(world: World) -> None:
    """Once for each topic and reason; the pool itself works."""
    link = world.up(a.worker_object())
    link.state = replace(link.state, refused="a/topic: closed")
    look(world)
    look(world)
    told = [event for event in world.events if event[2] == "PublishRefused"]
    assert [(event[0], event[1]) for event in told] == [("WorkerPool", "Warning")]
    assert told[0][3] == "The broker refuses what is published: a/topic: closed"
    assert world.connection()["state"] == "Ready"


def test_a_broker_that_can_do_less_is_told(world: World) -> None:
    """In the words of the condition, not as a fault."""
    link = world.up(a.worker_object())
    link.state = replace(link.state, limited="MQTT 3.1.1 only")
    look(world)
    assert world.connection()["message"].endswith("; MQTT 3.1.1 only")
    assert world.connection()["state"] == "Ready"


def test_a_certificate_from_the_future_explains_a_refused_connection(world: World) -> None:
    """The operator's clock is behind: whoever reads the Event knows where to look."""
    world.date = dt.datetime(2025, 12, 31, tzinfo=dt.UTC)
    world.api.put(SECRETS, world.secret)
    world.api.put(WORKERPOOLS, a.pool_object(mqttReconnectRetryCount=1))
    world.settle()
    world.link.lose("bad certificate")
    world.settle()
    text = world.connection()["message"]
    assert "not yet valid: it begins at 2026-01-01T00:00:00Z" in text
    assert "the operator's clock says 2025-12-31T00:00:00Z" in text


def test_a_secret_that_goes_while_connected_is_told_and_harms_nothing(world: World) -> None:
    """Runs in flight go on through the session that stands."""
    link = world.up(a.worker_object())
    world.api.remove(SECRETS, "creds")
    look(world, 61)
    assert world.connection()["state"] == "CredentialsInvalid"
    assert not link.stopped


def test_a_deleted_pool_keeps_its_session_while_workers_remain(world: World) -> None:
    """They are being deregistered through it."""
    link = world.up(a.worker_object())
    world.api.remove(WORKERPOOLS, a.POOL)
    world.api.put(WORKERS, a.worker_object(deleting=True))
    world.settle()
    assert [type(each) for each in link.take()] == [Unregister]
    look(world, 10)
    assert not link.stopped
    world.api.remove(WORKERS, a.WORKER_NAME)
    world.settle()
    look(world, 10)
    assert link.stopped
    assert world.pools.sessions() == []


def test_a_pool_object_made_anew_gets_a_session_of_its_own(world: World) -> None:
    """The client id is the object's UID."""
    old = world.up()
    fresh = a.pool_object()
    fresh["metadata"]["uid"] = "second"
    world.api.put(WORKERPOOLS, fresh)
    world.settle()
    assert old.stopped
    assert world.link.settings.client_id == "second"


def test_a_growing_pool_registers_the_next_ones(world: World) -> None:
    """Admission follows the size."""
    ulids = [f"01HPS6K4BNB7BPHCDHDWFAMJN{letter}" for letter in "WXY"]
    world.up(
        *(
            a.worker_object(status={}, ulid=ulid, uid=f"uid-{number}", sequence=number)
            for number, ulid in enumerate(ulids)
        )
    )
    assert {uid for uid in ("uid-0", "uid-1", "uid-2") if world.pools.admitted(KEY, uid)} == {"uid-0"}
    world.api.put(WORKERPOOLS, a.pool_object(poolSize=3))
    world.settle()
    assert {each.worker_uid for each in world.link.take() if isinstance(each, Register)} == {"uid-1", "uid-2"}
