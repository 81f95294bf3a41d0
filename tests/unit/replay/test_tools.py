"""The tools of time travel, with kinds that have nothing to do with ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.integration.hookdriver.hookserver import Answer, HookServer
from tests.replay.__main__ import main
from tests.replay.history import Moment, Name, histories
from tests.replay.recorder import Recorder
from tests.replay.recording import Call, Recording
from tests.replay.travel import Truth, View, travel

Json = dict[str, Any]


def thing(kind: str, name: str, version: int, **fields: Any) -> Json:  # noqa: ANN401 - any field
    """Return one version of an object."""
    metadata = {"name": name, "namespace": "default", "uid": f"{name}-uid", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def sync(parent: Json, *children: Json, path: str = "/sync") -> Call:
    """Return a call as it was recorded."""
    named = {child["metadata"]["name"]: child for child in children}
    return Call(
        path, {"parent": parent, "children": {"Egg.v1": named}, "finalizing": False}, {"children": []}
    )


NEST = thing("Nest", "nest", 1, spec={"eggs": 1})
LATER = thing("Nest", "nest", 4, spec={"eggs": 0})
EGG = thing("Egg", "egg", 2)
WARM = thing("Egg", "egg", 3, status={"warm": True})
CALLS = [sync(NEST), sync(NEST, EGG), sync(NEST, WARM), sync(LATER, WARM), sync(LATER)]


def hen(body: Json) -> Json:
    """Answer with an egg for as long as the nest wants one: a warm egg is dropped for a cold wish."""
    return {
        "children": [{"apiVersion": "v1", "kind": "Egg", "metadata": {"name": "egg"}}]
        * body["parent"]["spec"]["eggs"]
    }


def careful_hen(body: Json) -> Json:
    """Answer with every warm egg, too."""
    answer = hen(body)
    if not answer["children"] and any("status" in egg for egg in body["children"]["Egg.v1"].values()):
        answer["children"] = [{"apiVersion": "v1", "kind": "Egg", "metadata": {"name": "egg"}}]
    return answer


class NoWarmEggDropped:
    """A rule of its own for hens."""

    def dropped(self, child: Json, view: View, truth: Truth) -> str:  # noqa: ARG002 - a simple rule
        """Judge a dropped egg by what it had become by then."""
        now = truth.now.children.get(("Egg", child["metadata"]["name"]))
        return "a warm egg dropped" if now and now.get("status") else ""

    def wished(self, name: Name, view: View, truth: Truth) -> str:  # noqa: ARG002 - as above
        """Allow every wish."""
        return ""

    def finalized(self, view: View, truth: Truth) -> str:  # noqa: ARG002 - as above
        """Allow every end."""
        return ""


def test_a_history_has_every_version_in_its_place() -> None:
    """Versions by their numbers, removals where they were first missed."""
    (history,) = histories([CALLS[0], *CALLS[2:0:-1], *CALLS[3:]], "Nest")
    shown = [
        (moment.at, moment.parent and moment.parent["spec"]["eggs"], list(moment.children.values()))
        for moment in history.moments
    ]
    assert shown == [(1, 1, []), (2, 1, [EGG]), (3, 1, [WARM]), (4, 0, [])]


def test_an_object_that_comes_back_under_its_name_is_another_one() -> None:
    """It went, and came again: both are in the history."""
    again = thing("Egg", "egg", 9)
    (history,) = histories([*CALLS, sync(LATER, again)], "Nest")
    assert history.moments[-1] == Moment(9, LATER, {("Egg", "egg"): again}, {})
    assert history.moments[-2].children == {}


def test_ages_that_never_met_are_asked_about() -> None:
    """The old nest with no egg, the new nest with the warm one: nobody recorded these together."""
    (history,) = histories(CALLS[:3] + CALLS[4:], "Nest")
    report = travel(history, hen, NoWarmEggDropped())
    assert report.calls == 6
    assert report.violations == []
    (history,) = histories(CALLS[:4], "Nest")
    report = travel(history, hen, NoWarmEggDropped())
    assert "a warm egg dropped: Egg egg (parent as of 4, children as of 2)" in map(str, report.violations)
    # Careful isn't enough: the egg that it saw was cold, and had become warm by then.
    assert [
        each.view.children_at for each in travel(history, careful_hen, NoWarmEggDropped()).violations
    ] == [2, 2]


def test_a_recording_is_the_same_after_it_was_stored(tmp_path: Path) -> None:
    """Nothing that a hook reads is lost; what it mustn't read is, and the bytes don't depend on the day."""
    noisy = thing("Egg", "egg", 3, status={"warm": True})
    noisy["metadata"]["managedFields"] = [{"manager": "hen"}]
    noisy["metadata"]["annotations"] = {
        "metacontroller.k8s.io/last-applied-configuration": "{}",
        "colour": "brown",
    }
    Recording([sync(NEST, noisy)]).save(tmp_path / "first.json.gz")
    Recording([sync(NEST, noisy)]).save(tmp_path / "second.json.gz")
    (call,) = Recording.load(tmp_path / "first.json.gz").calls
    (stored,) = call.request["children"]["Egg.v1"].values()
    assert stored["metadata"]["annotations"] == {"colour": "brown"}
    assert "managedFields" not in stored["metadata"]
    assert stored["status"] == {"warm": True}
    assert (tmp_path / "first.json.gz").read_bytes() == (tmp_path / "second.json.gz").read_bytes()


@pytest.fixture
def hooks() -> Iterator[HookServer]:
    """Serve the hens' hooks."""
    server = HookServer()
    server.hooks = {
        "/sync": lambda body: Answer(hen(body)),
        "/broken": lambda _: Answer({"error": "no"}, 500),
    }
    yield server
    server.close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Return a recorder that nobody has told where the hooks are."""
    made = Recorder()
    yield made
    made.close()


def test_the_recorder_passes_calls_on_and_keeps_them(hooks: HookServer, recorder: Recorder) -> None:
    """The driver gets the hook's own answer; failures pass too, but aren't a part of the history."""
    body = {"controller": {"metadata": {}}, **CALLS[0].request}
    with urllib3.PoolManager() as http:
        assert http.request("POST", recorder.url + "/sync", json=body).status == 503
        recorder.forward_to(hooks.url)
        assert http.request("POST", recorder.url + "/sync", json=body).json() == hen(body)
        assert http.request("POST", recorder.url + "/broken", json=body).status == 500
    assert recorder.take().calls == [Call("/sync", CALLS[0].request, hen(body))]
    assert recorder.take().calls == []


def test_the_recorder_keeps_calls_that_come_at_once(hooks: HookServer, recorder: Recorder) -> None:
    """A driver has many workers."""
    recorder.forward_to(hooks.url)

    def call() -> None:
        with urllib3.PoolManager() as http:
            for _ in range(10):
                http.request("POST", recorder.url + "/sync", json=CALLS[0].request)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.take().calls) == 40


def test_anybody_can_send_hooks_through_time(
    hooks: HookServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line: a recording, the hooks' URL, and a class of rules."""
    path = tmp_path / "nest.json.gz"
    Recording(CALLS[:4]).save(path)
    argv = ["travel", str(path), "--kind", "Nest", "--sync", f"{hooks.url}/sync"]
    argv += ["--rules", f"{__name__}:NoWarmEggDropped"]
    assert main(argv) == 1
    printed = capsys.readouterr().out
    assert "a warm egg dropped: Egg egg (parent as of 4, children as of 3)" in printed
    Recording(CALLS[:3]).save(path)
    assert main(argv) == 0
    with pytest.raises(SystemExit, match="answered 500"):
        main([*argv, "--sync", f"{hooks.url}/broken"])
