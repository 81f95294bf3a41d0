"""A small world around the agent: an API server that counts and can be told to fail, and a broker link.

Both are servers in small, with the sharp edges that matter here: resourceVersions and conflicts, UID preconditions,
finalizers that hold objects, merge patches that can't touch what isn't theirs. The agent's own code runs unchanged.
"""

import copy
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from app.agent.connection import AckToken, ConnectionSettings, ConnectionState, Sink
from app.agent.effects import RevisionStore
from app.agent.engine import Engine
from app.agent.inbox import Inbox, Letter
from app.agent.pools import Pools
from app.agent.roster import Roster
from app.agent.runtime import AgentSettings, Clock, Cluster, Counters, Key
from app.agent.session import Session
from app.agent.worker_state import parse_worker
from app.cluster.errors import AlreadyExists, Conflict, NotFound
from app.cluster.resources import PODS, WORKERPOOLS, WORKERS, Resource
from protocol.messages import Message, encode, parse
from tests.unit.agent import builders as a

Json = dict[str, Any]


class FakeApi:
    """An API server in memory. `fail` is asked before each call and may raise; `calls` lists (verb, plural, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str | None, str], Json] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.fail: Callable[[str, str, str], None] = lambda *_: None
        self.watchers: list[Callable[[Resource, Json | None, Json | None], None]] = []
        self.version = 100
        self.lock = threading.RLock()

    def put(self, resource: Resource, found: Json) -> Json:
        """Store an object as it is, as another client would."""
        with self.lock:
            self.version += 1
            found = copy.deepcopy(found)
            found["metadata"]["resourceVersion"] = str(self.version)
            key = (resource.plural, found["metadata"].get("namespace"), found["metadata"]["name"])
            old, self.objects[key] = self.objects.get(key), found
            self._show(resource, old, found)
            return copy.deepcopy(found)

    def remove(self, resource: Resource, name: str) -> None:
        """Take an object away by force."""
        with self.lock:
            old = self.objects.pop((resource.plural, a.NAMESPACE, name))
            self._show(resource, old, None)

    def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        """Return a copy."""
        self._call("get", resource, name)
        with self.lock:
            return copy.deepcopy(self._find(resource, namespace, name))

    def list(
        self, resource: Resource, namespace: str | None, label_selector: str = "", field_selector: str = ""
    ) -> SimpleNamespace:
        """Return all objects of the namespace; equality selectors only, of fields `involvedObject.uid` alone."""
        self._call("list", resource, label_selector or field_selector)
        key, _, value = label_selector.partition("=")
        with self.lock:
            items = [
                copy.deepcopy(found)
                for (plural, space, _), found in self.objects.items()
                if plural == resource.plural and namespace in (None, space)
            ]
        if field_selector:
            field, _, uid = field_selector.partition("=")
            assert field == "involvedObject.uid"
            return SimpleNamespace(items=[each for each in items if each["involvedObject"]["uid"] == uid])
        labelled = [each for each in items if key in (each["metadata"].get("labels") or {})]
        return SimpleNamespace(
            items=[each for each in labelled if not value or each["metadata"]["labels"][key] == value]
        )

    def create(self, resource: Resource, namespace: str | None, body: Json, dry_run: bool = False) -> Json:
        """Create, with a UID."""
        name = body["metadata"]["name"]
        self._call("dry-run" if dry_run else "create", resource, name)
        with self.lock:
            if (resource.plural, namespace, name) in self.objects:
                raise AlreadyExists(f"{name} already exists", status=409)
            if dry_run:
                return body
            found = copy.deepcopy(body)
            found["metadata"] |= {"uid": f"uid-{self.version + 1}", "namespace": namespace}
            return self.put(resource, found)

    def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Json,
        subresource: str | None = None,
    ) -> Json:
        """Apply RFC 7396 with the preconditions in metadata; a status patch changes the status alone."""
        self._call("patch", resource, name)
        with self.lock:
            old = self._find(resource, namespace, name)
            wanted = patch.get("metadata", {})
            for field in ("resourceVersion", "uid"):
                if field in wanted and wanted[field] != old["metadata"][field]:
                    raise Conflict("the object has been modified", status=409)
            new = _merge(old, {"status": patch["status"]} if subresource == "status" else patch)
            if new == old:
                return copy.deepcopy(old)
            stored = self.put(resource, new)
            if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers"):
                self.remove(resource, name)
            return stored

    def delete(self, resource: Resource, namespace: str | None, name: str, uid: str | None = None) -> Json:
        """Delete at once, or mark it when a finalizer holds it."""
        self._call("delete", resource, name)
        with self.lock:
            old = self._find(resource, namespace, name)
            if uid not in (None, old["metadata"]["uid"]):
                raise Conflict("the UID differs", status=409)
            if old["metadata"].get("finalizers"):
                marked = copy.deepcopy(old)
                marked["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                return self.put(resource, marked)
            self.remove(resource, name)
            return {}

    def count(self, verb: str, plural: str) -> int:
        """Return how often a verb was called on a resource."""
        return sum(1 for call in self.calls if call[:2] == (verb, plural))

    def _call(self, verb: str, resource: Resource, name: str) -> None:
        self.calls.append((verb, resource.plural, name))
        self.fail(verb, resource.plural, name)

    def _find(self, resource: Resource, namespace: str | None, name: str) -> Json:
        found = self.objects.get((resource.plural, namespace, name))
        if found is None:
            raise NotFound(f'{resource.plural} "{name}" not found', status=404)
        return found

    def _show(self, resource: Resource, old: Json | None, new: Json | None) -> None:
        for watcher in self.watchers:
            watcher(resource, old, new)


def _merge(old: Any, patch: Any) -> Any:  # noqa: ANN401
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


class FakeCache:
    """An informer's cache that shows what the watch showed: `frozen` makes it lag."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.found: dict[Key, Json] = {}
        self.frozen = False

    def get(self, namespace: str | None, name: str) -> Json | None:
        """Return the newest known version."""
        return self.found.get((namespace or "", name))

    def items(self) -> list[Json]:
        """Return everything."""
        return list(self.found.values())

    def remember(self, item: Json) -> None:
        """Take in the answer to a write, if it is newer."""
        key = item["metadata"]["namespace"], item["metadata"]["name"]
        known = self.found.get(key)
        if known is None or int(item["metadata"]["resourceVersion"]) > int(
            known["metadata"]["resourceVersion"]
        ):
            self.found[key] = copy.deepcopy(item)


class FakeLink:
    """The connection to a broker that keeps what was published and what was acknowledged."""

    def __init__(self, settings: ConnectionSettings, sink: Sink) -> None:
        self.settings, self.sink = settings, sink
        self.state = ConnectionState()
        self.alive = True
        self.stopped = False
        self.published: list[tuple[str, Message]] = []
        self.acked: list[int] = []
        self._mid = 0

    def start(self) -> None:
        """Do nothing: the test says when it connects."""

    def connect(self, *, session_present: bool = False) -> None:
        """Have the broker grant the subscription."""
        self.state = ConnectionState(ready=True, epoch=self.state.epoch + 1, session_present=session_present)
        self.sink.on_ready()

    def lose(self, error: str = "gone") -> None:
        """Break the connection."""
        failures = self.state.failures + 1
        self.state = ConnectionState(ready=False, epoch=self.state.epoch, error=error, failures=failures)
        self.sink.on_lost()

    def deliver(self, message: Message, worker_ulid: str = a.WORKER_ULID) -> int:
        """Deliver a message to a Worker's topic; return its packet identifier."""
        body = encode(message, id=a.RUN, time="2026-01-01T00:00:00Z")
        return self.deliver_bytes(body, worker_ulid)

    def deliver_bytes(self, body: bytes, worker_ulid: str = a.WORKER_ULID) -> int:
        """Deliver any bytes."""
        self._mid += 1
        topic = f"spacelift/readonly/{a.POOL_ULID}/{worker_ulid}"
        self.sink.on_message(topic, body, AckToken(self.state.epoch, self._mid))
        return self._mid

    def stop(self, deadline: float = 5.0) -> bool:  # noqa: ARG002
        """End."""
        self.stopped = True
        self.state = ConnectionState()
        return True

    def publish(self, key: object, topic: str, payload: bytes) -> bool:  # noqa: ARG002
        """Keep a message."""
        if self.state.ready:
            self.published.append((topic, parse(payload).message))
        return self.state.ready

    def ack(self, token: AckToken) -> None:
        """Keep an acknowledgement."""
        self.acked.append(token.mid)

    def oldest_unacknowledged(self) -> float:
        """Nothing ages here."""
        return 0.0

    def take(self, topic_end: str | None = None) -> list[Message]:
        """Return and forget what was published (below a topic's last part)."""
        found = [
            message for topic, message in self.published if topic_end in (None, topic.rsplit("/", 1)[-1])
        ]
        self.published = []
        return found


class World:
    """One pool, its Workers and Pods, and the agent's engine and pools without their threads."""

    def __init__(self, credentials: Json, **chosen: Any) -> None:  # noqa: ANN401 - fields of AgentSettings
        self.api = FakeApi()
        self.time = 1000.0
        self.date = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
        self.events: list[tuple[str, str, str, str]] = []
        self.caches = {each.plural: FakeCache(each) for each in (WORKERPOOLS, WORKERS, PODS)}
        self.api.watchers.append(self._watch)
        self.links: list[FakeLink] = []
        self.roster, self.inbox, self.counters = Roster(), Inbox(), Counters()
        self.woken: dict[Key, float] = {}
        self.pools_woken: set[Key] = set()
        self.schema_ok = True
        self.dry_run_pod: Json | None = a.pod_object()
        clock = Clock(lambda: self.time, lambda: self.date)
        settings = AgentSettings(replica="replica-1", version="1.0", **chosen)
        cluster = Cluster(
            self.api,
            self.caches["workerpools"],
            self.caches["workers"],
            self.caches["pods"],
            self,
            lambda _worker, _revision: self.dry_run_pod,
        )
        self.revisions = RevisionStore(self.api)
        self.cluster, self.clock = cluster, clock
        self.pools = Pools(
            cluster,
            self.roster,
            self.revisions,
            settings,
            clock,
            self.counters,
            self._connect,
            lambda: self,
            lambda key, _after: self.pools_woken.add(key),
            self._wake,
            lambda: "" if self.schema_ok else "CRD workers has schema revision 1",
        )
        self.engine = Engine(
            cluster,
            self.pools,
            self.roster,
            self.inbox,
            self.revisions,
            settings,
            clock,
            self.counters,
            lambda: self.schema_ok,
            self._wake,
        )
        self.secret: Json = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": a.NAMESPACE, "name": "creds", "uid": "creds-uid"},
            "data": credentials,
        }

    # What the agent is given

    def emit(self, reference_object: Json, type: str, reason: str, message: str) -> None:  # noqa: A002
        """Keep an Event."""
        self.events.append((reference_object["kind"], type, reason, message))

    def on_worker_letter(self, session: Session, letter: Letter) -> None:
        """Hand a letter over as the agent does."""
        key = session.pool_key[0], f"{session.pool_key[1]}-{letter.worker_ulid.lower()}"
        self.inbox.put(key, letter)
        self._wake(key)

    def on_pool_letter(self, session: Session, letter: Letter) -> None:
        """Hand a letter over as the agent does."""
        self.pools.letter(session.pool_key, letter)

    def on_session_ready(self, session: Session) -> None:
        """Look at everything."""
        self.pools.ready(session)
        for member in self.roster.members(session.pool_key):
            self._wake((session.pool_key[0], member.name))

    def on_session_lost(self, session: Session) -> None:
        """Look at the pool."""
        self.pools_woken.add(session.pool_key)

    # What tests do

    @property
    def link(self) -> FakeLink:
        """The newest connection."""
        return self.links[-1]

    def up(self, *workers: Json, **spec: Any) -> FakeLink:  # noqa: ANN401
        """Make the pool and its Workers, connect, and settle; forget what was said so far."""
        self.api.put(_SECRETS, self.secret)
        self.api.put(WORKERPOOLS, a.pool_object(**spec))
        for worker in workers:
            self.api.put(WORKERS, worker)
        self.settle()
        self.link.connect()
        self.settle()
        self.link.take()
        self.api.calls.clear()
        return self.link

    def settle(self, rounds: int = 50) -> None:
        """Work on everything that was woken until nothing is; delayed looks stay for `pass_time`."""
        for _ in range(rounds):
            pools, self.pools_woken = self.pools_woken, set()
            for key in pools:
                self.pools.reconcile(key)
            due = [key for key, when in self.woken.items() if when <= self.time]
            for key in due:
                self.woken.pop(key)
                again = self.engine.reconcile(key)
                if again is not None:
                    self._wake(key, again)
            if not pools and not due:
                return
        raise AssertionError("the agent doesn't come to rest")

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps of at most a second."""
        end = self.time + seconds
        while self.time < end:
            self.time = min(self.time + 1.0, end)
            self.settle()

    def worker(self, ulid: str = a.WORKER_ULID) -> Json:
        """Return the Worker as the API server has it."""
        return self.api.objects["workers", a.NAMESPACE, f"{a.POOL}-{ulid.lower()}"]

    def status(self) -> Json:
        """Return the Worker's status."""
        status: Json = self.worker().get("status", {})
        return status

    def secrets(self) -> list[str]:
        """Return the names of the run Secrets."""
        return [name for plural, _, name in self.api.objects if plural == "secrets" and name != "creds"]

    def connection(self) -> Json:
        """Return the pool's connection annotation."""
        pool = self.api.objects["workerpools", a.NAMESPACE, a.POOL]
        annotations = pool["metadata"].get("annotations", {})
        found: Json = json.loads(annotations.get("workers.spacelift.io/connection", "{}"))
        return found

    def finalizers(self, name: str = a.POD_NAME) -> list[str]:
        """Return a Pod's finalizers."""
        found: list[str] = self.api.objects["pods", a.NAMESPACE, name]["metadata"].get("finalizers", [])
        return found

    def _wake(self, key: Key, after: float = 0.0) -> None:
        self.woken[key] = min(self.woken.get(key, float("inf")), self.time + after)

    def _connect(self, settings: ConnectionSettings, sink: Sink) -> FakeLink:
        self.links.append(FakeLink(settings, sink))
        return self.links[-1]

    def _watch(self, resource: Resource, old: Json | None, new: Json | None) -> None:
        cache = self.caches.get(resource.plural)
        if cache is None or cache.frozen:
            return
        found = new or old or {}
        key = found["metadata"]["namespace"], found["metadata"]["name"]
        if new is None:
            cache.found.pop(key, None)
        else:
            cache.found[key] = copy.deepcopy(new)
        self._index(resource, found, exists=new is not None)

    def _index(self, resource: Resource, found: Json, *, exists: bool) -> None:
        namespace, name = found["metadata"]["namespace"], found["metadata"]["name"]
        if resource is PODS:
            key = self.roster.note_pod(found, exists=exists)
            if key is not None:
                self._wake(key)
        elif resource is WORKERS:
            view = parse_worker(found)
            if exists:
                self.roster.note(view)
            else:
                self.roster.forget(view)
            self._wake((namespace, name))
            self.pools_woken.add((namespace, a.POOL))
        else:
            self.pools_woken.add((namespace, name))


def types(messages: Iterator[Message] | list[Message]) -> list[str]:
    """Return the messages' types."""
    return [message.type for message in messages]


_SECRETS = Resource("", "v1", "secrets")
