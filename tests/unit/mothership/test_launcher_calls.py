"""The launcher's calls over Flask's test client."""

import gzip
from typing import Any

import pytest

from protocol import messages
from protocol.runs import Outcome, Reason, Result

SUCCEEDED = Outcome(Result.SUCCEEDED, Reason.COMPLETED)


def lines(text: bytes, offset: int) -> dict[str, Any]:
    """Return the options of a log call."""
    return {"data": text, "query_string": {"offset": offset}}


def test_claim_is_425_then_200_then_409_for_others(mothership: Any) -> None:  # noqa: ANN401
    """Fence 5 as the launcher meets it."""
    worker = mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    assert mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-1"}).status_code == 425
    mothership.answer(worker, messages.RunPod, scheduled, pod_uid="pod-1")
    granted = mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-1"})
    assert granted.get_json() == {"granted": True, "leaseSeconds": 30}
    refused = mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-2"})
    assert (refused.status_code, refused.get_json()["error"]) == (409, "another Pod belongs to this attempt")


def test_claim_of_a_canceled_run_is_409(mothership: Any) -> None:  # noqa: ANN401
    """The cancel closed the sequence before any Pod came."""
    worker = mothership.player()
    run = mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunPod, scheduled, pod_uid="pod-1")
    mothership.admin("POST", f"/v1/runs/{run}/stop", json={})
    mothership.clock.move(10_000)
    assert mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-1"}).status_code == 409


@pytest.mark.parametrize("body", [{}, {"podUID": ""}, {"podUID": 7}])
def test_bad_claim_names_the_field(mothership: Any, body: dict[str, object]) -> None:  # noqa: ANN401
    """400, with the field."""
    _, scheduled = mothership.granted()
    answer = mothership.launcher(scheduled, "POST", "/claim", json=body)
    assert answer.status_code == 400
    assert "podUID" in answer.get_json()["error"]


def test_tokens_open_their_own_attempt_only(mothership: Any) -> None:  # noqa: ANN401
    """403 with another attempt's token, 401 with none or a wrong one."""
    _, first = mothership.granted()
    _, second = mothership.granted()
    token = mothership.opening.open(second.payload).run_token
    headers = {"Authorization": f"Bearer {token}"}
    assert mothership.launcher(first, "POST", "/lease", headers=headers).status_code == 403
    for wrong in ("Bearer nonsense", "Basic abc", ""):
        assert (
            mothership.launcher(first, "POST", "/lease", headers={"Authorization": wrong}).status_code == 401
        )


def test_details_only_after_the_grant(mothership: Any) -> None:  # noqa: ANN401
    """A Pod that may not start learns nothing."""
    mothership.player()
    mothership.trigger(source={"type": "git", "url": "https://u:p@git.example/x.git"}, environment={"A": "b"})
    (scheduled,) = mothership.schedule()
    assert mothership.launcher(scheduled, "GET", "/details").status_code == 409


def test_details_carry_source_commands_and_settings(mothership: Any) -> None:  # noqa: ANN401
    """With the URL's credentials for the launcher, and without them for people."""
    worker = mothership.player()
    url = "https://user:secret@git.example/x.git"
    run = mothership.trigger(
        source={"type": "git", "url": url}, environment={"A": "b"}, commands=["one", "two"]
    )
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunPod, scheduled, pod_uid="pod-1")
    mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-1"})
    details = mothership.launcher(scheduled, "GET", "/details").get_json()
    assert (details["source"]["url"], details["source"]["ref"], details["commands"]) == (
        url,
        "HEAD",
        ["one", "two"],
    )
    assert details["settings"] == {"leaseSeconds": 30, "lostAfterSeconds": 120, "stopGraceSeconds": 30}
    shown = mothership.admin("GET", f"/v1/runs/{run}").get_json()
    assert shown["source"]["url"] == "https://***@git.example/x.git"
    assert shown["environment"] == ["A"]


def test_lease_continues_stops_and_is_gone(mothership: Any) -> None:  # noqa: ANN401
    """The three answers."""
    worker, scheduled = mothership.granted()
    assert mothership.launcher(scheduled, "POST", "/lease").get_json()["action"] == "continue"
    mothership.admin("POST", f"/v1/runs/{scheduled.run}/stop", json={})
    assert mothership.launcher(scheduled, "POST", "/lease").get_json()["action"] == "stop"
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=SUCCEEDED)
    assert mothership.launcher(scheduled, "POST", "/lease").get_json()["action"] == "gone"


def test_token_lives_as_long_as_the_lease_is_renewed(mothership: Any) -> None:  # noqa: ANN401
    """Without a renewal the details are closed to it after 15 minutes."""
    _, scheduled = mothership.granted()
    for _ in range(3):
        mothership.clock.move(800)
        mothership.launcher(scheduled, "POST", "/lease")
        assert mothership.launcher(scheduled, "GET", "/details").status_code == 200
    mothership.clock.move(901)
    assert mothership.launcher(scheduled, "GET", "/details").status_code == 401


def test_last_lines_and_report_are_taken_for_a_while_after_the_close(mothership: Any) -> None:  # noqa: ANN401
    """Ten minutes; the verdict stays as it is."""
    worker, scheduled = mothership.granted()
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=SUCCEEDED)
    failed = {"outcome": Outcome(Result.FAILED, Reason.NON_ZERO_EXIT).to_json()}
    mothership.clock.move(599)
    assert mothership.launcher(scheduled, "POST", "/logs", **lines(b"last\n", 0)).status_code == 200
    assert mothership.launcher(scheduled, "POST", "/result", json=failed).status_code == 200
    assert mothership.state(scheduled.run) == "succeeded"
    mothership.clock.move(2)
    assert mothership.launcher(scheduled, "POST", "/logs", **lines(b"x", 5)).status_code == 401


def test_logs_are_appended_once_whatever_is_repeated(mothership: Any) -> None:  # noqa: ANN401
    """Overlaps are skipped, gaps are refused with the offset to go on from, gzip is unpacked."""
    _, scheduled = mothership.granted()
    call = mothership.launcher
    assert call(scheduled, "POST", "/logs", **lines(b"one\n", 0)).get_json() == {"offset": 4}
    assert call(scheduled, "POST", "/logs", **lines(b"one\ntwo\n", 0)).get_json() == {"offset": 8}
    gap = call(scheduled, "POST", "/logs", **lines(b"far", 100))
    assert (gap.status_code, gap.get_json()) == (409, {"offset": 8})
    packed = lines(gzip.compress(b"three\n"), 8) | {"headers": {"Content-Encoding": "gzip"}}
    assert call(scheduled, "POST", "/logs", **packed).get_json() == {"offset": 14}
    log = mothership.admin("GET", f"/v1/runs/{scheduled.run}/logs")
    assert log.data == b"one\ntwo\nthree\n"
    assert log.headers["X-Run-Finished"] == "false"


def test_streams_have_offsets_of_their_own(mothership: Any) -> None:  # noqa: ANN401
    """`init` and `run` write beside each other into one log."""
    _, scheduled = mothership.granted()
    for stream in ("init", "run"):
        options = lines(stream.encode() + b"\n", 0) | {"headers": {"X-Stream": stream}}
        assert mothership.launcher(scheduled, "POST", "/logs", **options).status_code == 200
    assert mothership.admin("GET", f"/v1/runs/{scheduled.run}/logs").data == b"init\nrun\n"


def test_log_is_cut_at_its_limit_with_a_marker(mothership: Any) -> None:  # noqa: ANN401
    """Later chunks are acknowledged and dropped, so the launcher doesn't hang."""
    _, scheduled = mothership.granted()
    for number in range(3):
        answer = mothership.launcher(scheduled, "POST", "/logs", **lines(b"x" * 600, 600 * number))
        assert answer.get_json() == {"offset": 600 * (number + 1)}
    log = mothership.admin("GET", f"/v1/runs/{scheduled.run}/logs").data
    assert log == b"x" * 1000 + b"\n[log truncated: it is longer than 1000 bytes]\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"not gzip", 400),
        (gzip.compress(b"cut off" * 100)[:30], 400),
        (gzip.compress(b"\0" * 5_000_000), 413),
    ],
    ids=["no gzip", "cut off", "bomb"],
)
def test_bad_gzip_is_refused(mothership: Any, data: bytes, status: int) -> None:  # noqa: ANN401
    """Nothing of it is stored."""
    _, scheduled = mothership.granted()
    options = lines(data, 0) | {"headers": {"Content-Encoding": "gzip"}}
    assert mothership.launcher(scheduled, "POST", "/logs", **options).status_code == status
    assert mothership.admin("GET", f"/v1/runs/{scheduled.run}/logs").data == b""


@pytest.mark.parametrize("offset", ["", "-1", "x", "1e3", "9" * 19])
def test_bad_offset_is_refused(mothership: Any, offset: str) -> None:  # noqa: ANN401
    """400."""
    _, scheduled = mothership.granted()
    assert mothership.launcher(scheduled, "POST", f"/logs?offset={offset}", data=b"x").status_code == 400


def test_workspace_comes_back_as_it_was_sent(mothership: Any) -> None:  # noqa: ANN401
    """Opaque bytes; 404 before any, 413 beyond the limit."""
    _, scheduled = mothership.granted()
    assert mothership.launcher(scheduled, "GET", "/workspace").status_code == 404
    assert mothership.launcher(scheduled, "PUT", "/workspace", data=b"\0sealed\xff").status_code == 200
    with mothership.launcher(scheduled, "GET", "/workspace") as answer:
        assert answer.data == b"\0sealed\xff"
    assert mothership.launcher(scheduled, "PUT", "/workspace", data=b"x" * 1001).status_code == 413


def test_first_report_is_kept(mothership: Any) -> None:  # noqa: ANN401
    """The call is idempotent; phases come with it."""
    _, scheduled = mothership.granted()
    first = {
        "outcome": SUCCEEDED.to_json(),
        "phases": [{"name": "initialising", "exitCode": 0, "seconds": 1.5}],
    }
    second = {"outcome": Outcome(Result.FAILED, Reason.NON_ZERO_EXIT).to_json()}
    for body in (first, second):
        assert mothership.launcher(scheduled, "POST", "/result", json=body).status_code == 200
    (attempt,) = mothership.admin("GET", f"/v1/runs/{scheduled.run}").get_json()["attempts"]
    assert (attempt["report"]["result"], attempt["phases"]) == ("succeeded", first["phases"])


def test_bad_report_names_the_field(mothership: Any) -> None:  # noqa: ANN401
    """400."""
    _, scheduled = mothership.granted()
    answer = mothership.launcher(scheduled, "POST", "/result", json={"outcome": {"result": "odd"}})
    assert answer.status_code == 400
    assert "outcome" in answer.get_json()["error"]
