"""Replicas agree on one Secret, serve by it, and tell Metacontroller; whatever is missing is waited for."""

import base64
import copy
import datetime as dt
import uuid
from typing import Any, cast

import pytest

from app.cluster.client import KubernetesApi
from app.cluster.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound
from app.cluster.resources import COMPOSITE_CONTROLLERS, DECORATOR_CONTROLLERS, Resource
from app.webhook.authority import AUTHORITY_LIFETIME, SERVING_LIFETIME
from app.webhook.keeper import Keeper, Place
from app.webhook.serving import GivenCredentials
from app.webhook.trust import SecretError

PLACE = Place("operator", "hooks", ("hooks.operator",))
NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
Object = dict[str, Any]


class Api:
    """The part of an API server that keeps these objects and counts what is asked."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.asked: list[str] = []
        self.refuses: type[ApiError] | None = None
        self.prunes = False
        for resource, name in ((COMPOSITE_CONTROLLERS, "workerpool"), (DECORATOR_CONTROLLERS, "worker")):
            service = {"name": "hooks", "namespace": "operator", "port": 443, "protocol": "https"}
            spec = {"hooks": {"sync": {"webhook": {"path": "/sync", "service": service}}}}
            self.objects[str(resource), name] = {"spec": spec}

    def get(self, resource: Resource, _namespace: str | None, name: str) -> Object:
        """Return an object."""
        self._ask("get")
        return copy.deepcopy(self._found(resource, name))

    def create(self, resource: Resource, _namespace: str | None, body: Object) -> Object:
        """Create it once."""
        self._ask("create")
        key = str(resource), body["metadata"]["name"]
        if key in self.objects:
            raise AlreadyExists("there")
        self.objects[key] = copy.deepcopy(body)
        self.objects[key]["metadata"]["uid"] = str(uuid.uuid4())
        return body

    def delete(self, resource: Resource, _namespace: str | None, name: str, uid: str) -> None:
        """Delete this very object."""
        self._ask("delete")
        if self._found(resource, name)["metadata"]["uid"] != uid:
            raise Conflict("another")
        del self.objects[str(resource), name]

    def merge_patch(self, resource: Resource, _namespace: str | None, name: str, patch: Object) -> Object:
        """Replace fields of the spec, unless the definition doesn't have them."""
        self._ask("patch")
        found = self._found(resource, name)
        if not self.prunes:
            found["spec"] |= copy.deepcopy(patch["spec"])
        return copy.deepcopy(found)

    def entries(self) -> list[Any]:
        """Return what both controllers were told."""
        return [found["spec"].get("endpointConfigs") for found in self.objects.values() if "spec" in found]

    def _ask(self, verb: str) -> None:
        self.asked.append(verb)
        if self.refuses:
            raise self.refuses("no")

    def _found(self, resource: Resource, name: str) -> Object:
        try:
            return self.objects[str(resource), name]
        except KeyError:
            raise NotFound(f"no {name}") from None


class Site:
    """An API server, a clock, and replicas."""

    def __init__(self) -> None:
        self.api, self.now = Api(), NOW

    def replica(self, *, wants_token: bool = True) -> Keeper:
        """Return another replica's keeper."""
        credentials = GivenCredentials(wants_token=wants_token)
        return Keeper(cast("KubernetesApi", self.api), PLACE, credentials, lambda: self.now)

    def writes(self) -> list[str]:
        """Return the writes since the last time."""
        found = [verb for verb in self.api.asked if verb != "get"]
        self.api.asked.clear()
        return found


@pytest.fixture
def site() -> Site:
    """Return an empty cluster."""
    return Site()


def token(site: Site) -> str:
    """Return the token as Metacontroller reads it."""
    return base64.b64decode(site.api.objects["secrets", "hooks"]["data"]["token"]).decode()


def test_the_first_replica_makes_everything_and_the_next_looks_write_nothing(site: Site) -> None:
    """An idle operator writes nothing."""
    keeper = site.replica()
    assert (keeper.serves, keeper.credentials.context()) == (False, None)
    keeper.bring_up_to_date()
    assert site.writes() == ["create", "patch", "patch"]
    assert keeper.serves
    assert keeper.credentials.context() is not None
    assert keeper.credentials.accepts(token(site))
    assert not keeper.credentials.accepts("")
    assert not keeper.credentials.accepts(token(site) + "x")
    for _ in range(3):
        keeper.bring_up_to_date()
    assert site.writes() == []


def test_a_second_replica_takes_what_the_first_made(site: Site) -> None:
    """Both at once, too: the slower one meets AlreadyExists."""
    first, second = site.replica(), site.replica()
    first.bring_up_to_date()
    told = copy.deepcopy(site.api.entries())
    second.bring_up_to_date()
    site.api.objects.setdefault(("secrets", "hooks"), {})
    assert second.credentials.accepts(token(site))
    assert second.serves
    assert site.api.entries() == told
    assert second._create(None).token == token(site)


def test_a_serving_certificate_is_replaced_in_its_last_third(site: Site) -> None:
    """Without a write: it lives in the process."""
    keeper = site.replica()
    keeper.bring_up_to_date()
    site.writes()
    before = keeper.credentials.context()
    site.now += SERVING_LIFETIME / 2
    keeper.bring_up_to_date()
    assert keeper.credentials.context() is before
    site.now += SERVING_LIFETIME / 4
    keeper.bring_up_to_date()
    assert keeper.credentials.context() is not before
    assert site.writes() == []
    site.now += SERVING_LIFETIME * 2
    assert not keeper.serves


def test_an_authority_near_its_end_is_replaced_and_the_token_stays(site: Site) -> None:
    """Whichever replica comes first; the other follows."""
    first, second = site.replica(), site.replica()
    for each in (first, second):
        each.bring_up_to_date()
    before = token(site)
    site.now = NOW + AUTHORITY_LIFETIME - dt.timedelta(days=100)
    site.writes()
    first.bring_up_to_date()
    assert site.writes() == ["delete", "create", "patch", "patch"]
    second.bring_up_to_date()
    assert site.writes() == []
    assert token(site) == before
    assert site.api.entries()[0][0]["caBundle"]["inline"].count("BEGIN CERTIFICATE") == 2


def test_a_deleted_secret_is_made_again_and_told(site: Site) -> None:
    """Which is how a token is changed."""
    keeper = site.replica()
    keeper.bring_up_to_date()
    before = token(site)
    del site.api.objects["secrets", "hooks"]
    site.writes()
    keeper.bring_up_to_date()
    assert site.writes() == ["create", "patch", "patch"]
    assert keeper.credentials.accepts(token(site))
    assert not keeper.credentials.accepts(before)


def test_without_a_token_metacontroller_is_not_sent_to_the_secret(site: Site) -> None:
    """Else it would have to read all Secrets of the cluster."""
    keeper = site.replica(wants_token=False)
    keeper.bring_up_to_date()
    assert all("authorization" not in entry for entries in site.api.entries() for entry in entries)


def test_hooks_are_served_before_metacontroller_is_there(site: Site) -> None:
    """Its objects may come later; until then the fault says what is missing."""
    missing = site.api.objects.pop((str(DECORATOR_CONTROLLERS), "worker"))
    keeper = site.replica()
    with pytest.raises(NotFound):
        keeper.bring_up_to_date()
    assert keeper.serves
    site.api.objects[str(DECORATOR_CONTROLLERS), "worker"] = missing
    keeper.bring_up_to_date()
    assert all(site.api.entries())


def test_a_metacontroller_that_is_too_old_is_named(site: Site) -> None:
    """Its definitions drop the field without a word."""
    site.api.prunes = True
    with pytest.raises(SecretError, match=r"Metacontroller 4\.17"):
        site.replica().bring_up_to_date()


def test_the_thread_survives_whatever_is_answered_and_says_it(site: Site) -> None:
    """The probe shows the fault; the certificate in use goes on."""
    keeper = site.replica()
    keeper.bring_up_to_date()
    site.api.refuses = Forbidden
    keeper.start()
    try:
        deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
        while "no" not in keeper.fault and dt.datetime.now(dt.UTC) < deadline:
            pass
        assert keeper.fault == "no"
        assert keeper.alive
        assert keeper.serves
    finally:
        keeper.stop(5)
    assert not keeper.alive
