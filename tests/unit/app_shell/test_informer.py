"""The informer follows a server that forgets, breaks, stutters and lies, and never dies of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from app.cluster.client import KubernetesApi
from app.cluster.informer import Informer, OnChange
from app.cluster.objects import KubernetesObject
from app.cluster.resources import WORKERS
from tests.unit.app_shell.fake_api import FakeApi

Wait = Callable[[Callable[[], object]], None]


class Heard:
    """Keeps what ``on_change`` was told, as (type, old spec, new spec)."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, object, object]] = []

    def __call__(self, kind: str, old: KubernetesObject | None, new: KubernetesObject | None) -> None:
        """Keep one change."""
        self.changes.append((kind, old and old["spec"], new and new["spec"]))


@pytest.fixture
def follow(api: KubernetesApi) -> Iterator[Callable[..., Informer]]:
    """Return a function that starts an informer and waits for its first list."""
    started: list[Informer] = []

    def start(on_change: OnChange | None = None, namespaces: tuple[str, ...] = ()) -> Informer:
        informer = Informer(api, WORKERS, namespaces, on_change=on_change)
        started.append(informer)
        informer.start()
        assert informer.wait_synced(10)
        return informer

    yield start
    assert all([informer.stop(5) for informer in started])  # noqa: C419 - stop each of them


def spec_of(informer: Informer, name: str, namespace: str = "default") -> object:
    """Return what the cache holds of a Worker."""
    item = informer.get(namespace, name)
    return item and item["spec"]


def test_it_lists_in_pages_and_then_follows(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """What was there is ADDED, later events are told in order, managed fields are not kept."""
    fake_api.page_size = 2
    for number in range(5):
        fake_api.put(f"w{number}", n=0)
    heard = Heard()
    informer = follow(heard)
    assert len(informer) == len(informer.items()) == 5
    assert heard.changes == [("ADDED", None, {"n": 0})] * 5
    fake_api.put("w1", n=1)
    fake_api.remove("w2")
    eventually(lambda: len(heard.changes) == 7)
    assert heard.changes[5:] == [("MODIFIED", {"n": 0}, {"n": 1}), ("DELETED", {"n": 0}, None)]
    assert "managedFields" not in (informer.get("default", "w1") or {})["metadata"]


def test_a_broken_watch_goes_on_where_it_was(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """What happened in between is told once, without another list."""
    heard = Heard()
    informer = follow(heard)
    fake_api.put("w", n=1)
    eventually(lambda: spec_of(informer, "w") == {"n": 1})
    fake_api.drop_watches()
    fake_api.put("w", n=2)
    eventually(lambda: spec_of(informer, "w") == {"n": 2})
    assert heard.changes == [("ADDED", None, {"n": 1}), ("MODIFIED", {"n": 1}, {"n": 2})]
    assert fake_api.count("GET", "limit=") == 1


def test_a_line_that_is_cut_off_is_no_event(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """The event comes again, whole, on the next watch."""
    heard = Heard()
    informer = follow(heard)
    fake_api.cut_next_event = True
    fake_api.put("w", n=1)
    eventually(lambda: spec_of(informer, "w") == {"n": 1})
    assert not fake_api.cut_next_event
    assert heard.changes == [("ADDED", None, {"n": 1})]


def test_history_that_is_forgotten_is_listed_again_and_deletions_are_told(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """410: what the fresh list doesn't hold any more was deleted unseen; what didn't change is not told."""
    fake_api.put("stays", n=1)
    fake_api.put("goes", n=1)
    heard = Heard()
    informer = follow(heard)
    fake_api.remove("goes", silently=True)
    fake_api.forget_history()
    fake_api.drop_watches()
    eventually(lambda: spec_of(informer, "goes") is None)
    assert heard.changes[2:] == [("DELETED", {"n": 1}, None)]
    fake_api.put("stays", n=2)
    eventually(lambda: spec_of(informer, "stays") == {"n": 2})


def test_a_restored_server_with_lower_versions_is_believed(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """After a restore of etcd every version is lower than the known one."""
    fake_api.version = 5000
    fake_api.put("w", n="new")
    informer = follow()
    with fake_api.changed:
        fake_api.version = 200
    fake_api.objects.clear()
    fake_api.history.clear()
    fake_api.put("w", n="restored")
    fake_api.history.clear()
    fake_api.oldest = 10**6
    fake_api.drop_watches()
    eventually(lambda: spec_of(informer, "w") == {"n": "restored"})
    fake_api.oldest = 0


def test_a_server_that_fails_is_asked_again_with_pauses(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """500s and nonsense are counted; the cache stands and catches up."""
    informer = follow()
    for status in (500, 503, 500):
        fake_api.answer_next(status, b"nonsense")
    fake_api.answer_next(200, b"this is no watch\n")
    fake_api.drop_watches()
    eventually(lambda: informer.errors >= 4)
    fake_api.put("w", n=1)
    eventually(lambda: spec_of(informer, "w") == {"n": 1})
    assert informer.alive


def test_a_callback_that_raises_costs_nothing_but_a_count(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """The thread lives and the cache is right."""

    def fail(*_: object) -> None:
        raise RuntimeError("the caller's mistake")

    informer = follow(fail)
    fake_api.put("w", n=1)
    fake_api.put("w", n=2)
    eventually(lambda: informer.callback_errors == 2)
    assert informer.alive
    assert spec_of(informer, "w") == {"n": 2}


def test_only_the_named_namespaces_are_followed_each_by_its_own_thread(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """A namespace that nobody named isn't asked about: RBAC may forbid it."""
    fake_api.put("w", "one", n=1)
    fake_api.put("w", "other", n=1)
    informer = follow(namespaces=("one", "two"))
    fake_api.put("w", "two", n=2)
    eventually(lambda: len(informer) == 2)
    assert spec_of(informer, "w", "other") is None
    assert fake_api.count("GET", "/v1beta1/workers") == 0
    names = {thread.name for thread in threading.enumerate()}
    assert {"informer-workers-one", "informer-workers-two"} <= names


def test_a_list_that_misses_one_namespace_deletes_nothing_in_another(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """Each thread answers for its own namespace."""
    fake_api.put("w", "one", n=1)
    fake_api.put("w", "two", n=1)
    heard = Heard()
    follow(heard, namespaces=("one", "two"))
    fake_api.forget_history()
    fake_api.drop_watches()
    eventually(lambda: fake_api.count("GET", "limit=") == 4)
    fake_api.put("w", "one", n=2)
    eventually(lambda: len(heard.changes) == 3)
    assert [kind for kind, _, _ in heard.changes] == ["ADDED", "ADDED", "MODIFIED"]


def test_a_write_can_be_read_at_once_and_is_told_when_the_watch_shows_it(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """``remember`` serves readers; listeners get the server's history, complete and in order."""
    fake_api.put("w", n=1)
    heard = Heard()
    informer = follow(heard)
    with fake_api.changed:
        # The watch can't go on while this is held, as if it lagged.
        fake_api.put("w", n=2)
        informer.remember(fake_api.put("w", n=3))
        assert spec_of(informer, "w") == {"n": 3}
        assert [item["spec"] for item in informer.items()] == [{"n": 3}]
        assert len(heard.changes) == 1
    eventually(lambda: len(heard.changes) == 3)
    assert heard.changes[1:] == [("MODIFIED", {"n": 1}, {"n": 2}), ("MODIFIED", {"n": 2}, {"n": 3})]
    assert spec_of(informer, "w") == {"n": 3}


def test_an_older_object_is_not_remembered(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """The answer to a write that the watch has overtaken changes nothing."""
    old = fake_api.put("w", n=1)
    informer = follow()
    fake_api.put("w", n=2)
    eventually(lambda: spec_of(informer, "w") == {"n": 2})
    informer.remember(old)
    assert spec_of(informer, "w") == {"n": 2}


def test_what_the_watch_never_shows_is_forgotten_at_the_next_bookmark(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """An object that was created and deleted again, or that the selector doesn't choose."""
    informer = follow()
    ghost = {"metadata": {"name": "g", "namespace": "default", "resourceVersion": "101"}, "spec": {}}
    informer.remember(ghost)
    assert informer.get("default", "g") is not None
    fake_api.bookmark()
    eventually(lambda: informer.get("default", "g") is None)


def test_silence_is_measured_and_a_bookmark_ends_it(
    fake_api: FakeApi, follow: Callable[..., Informer], eventually: Wait
) -> None:
    """Probes judge by it, so it must grow while nothing comes."""
    informer = follow()
    eventually(lambda: informer.silent_seconds() > 0.1)
    fake_api.bookmark()
    eventually(lambda: informer.silent_seconds() < 0.1)


def test_stopping_wakes_a_watch_that_waits(fake_api: FakeApi, follow: Callable[..., Informer]) -> None:
    """The socket is closed: nobody waits for the server's next byte."""
    informer = follow()
    fake_api.put("w")
    started = time.monotonic()
    assert informer.stop(5)
    assert time.monotonic() - started < 0.4
    assert not informer.alive


def test_stopping_ends_the_pauses_of_a_server_that_is_away(
    write_kubeconfig: Callable[..., str], eventually: Wait
) -> None:
    """It never synced, and it stops all the same."""
    informer = Informer(KubernetesApi.connect(write_kubeconfig(1)), WORKERS)
    informer.start()
    eventually(lambda: informer.errors >= 2)
    assert not informer.synced
    assert informer.stop(1)
