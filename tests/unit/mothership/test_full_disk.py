"""A full disk loses nothing and doubles nothing: what can't be stored isn't acknowledged, and callers ask again."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from mothership.counters import Counters
from mothership.errors import UnavailableError
from mothership.inbox import Inbox
from mothership.storage.tables import runs
from protocol import messages
from protocol.messages import encode
from protocol.runs import Outcome, Reason, Result

SUCCEEDED = Outcome(Result.SUCCEEDED, Reason.COMPLETED, "", {"worker": 0})


@contextmanager
def full_disk(mothership: Any) -> Iterator[None]:  # noqa: ANN401
    """Let SQLite find no page more, and answer what it answers on a full disk. What needs no new page is still stored."""
    engine = mothership.database._engine

    def limit(connection: Any, _record: object) -> None:  # noqa: ANN401
        connection.execute("PRAGMA max_page_count = 1").close()

    engine.dispose()
    sa.event.listen(engine, "connect", limit)
    try:
        yield
    finally:
        sa.event.remove(engine, "connect", limit)
        engine.dispose()


class Letter:
    """A message that came over MQTT."""

    def __init__(self, mothership: Any, worker: Any, message: messages.Message) -> None:  # noqa: ANN401
        self.topic = f"spacelift/writeonly/{mothership.pool}/{worker.id}"
        self.payload = encode(message, id="01HPS6XB76J1JB3EHSK4AWE5ZZ", time="2026-01-02T03:04:05Z")
        self.acknowledged = 0

    def acknowledge(self) -> None:
        """Count."""
        self.acknowledged += 1


def register(worker: Any) -> messages.Register:  # noqa: ANN401
    """Return a registration that takes many pages."""
    tags = {f"tag-{number}": "x" * 400 for number in range(60)}
    return messages.Register(
        pool_uid="pool-uid", worker_uid=f"{worker.uid}-2", controller_version="1", protocol=1, metadata=tags
    )


def test_a_message_that_cannot_be_stored_is_not_acknowledged(mothership: Any) -> None:  # noqa: ANN401
    """It is tried again with its batch, and stored once there is room."""
    worker = mothership.player()
    inbox = Inbox(mothership.database, mothership.desk, mothership.clock, Counters())
    letter: Any = Letter(mothership, worker, register(worker))
    with full_disk(mothership):
        for _ in range(3):
            with pytest.raises(UnavailableError, match="full"):
                inbox.handle([letter])
    assert letter.acknowledged == 0
    (answer,) = inbox.handle([letter])
    assert answer.message.type == "registered"
    assert letter.acknowledged == 1


def test_the_api_answers_503_and_stores_nothing(mothership: Any) -> None:  # noqa: ANN401
    """Callers know that they may ask again; the run isn't half there."""
    body = {"pool": "alpha", "commands": ["x" * 20_000]}
    before = len(mothership.rows(sa.select(runs.c.id)))
    with full_disk(mothership):
        answer = mothership.admin("POST", "/v1/runs", json=body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "full" in answer.get_json()["error"]
    assert len(mothership.rows(sa.select(runs.c.id))) == before
    assert mothership.admin("POST", "/v1/runs", json=body).status_code == 201


def test_a_result_that_found_no_room_is_taken_later(mothership: Any) -> None:  # noqa: ANN401
    """The launcher's call fails as a whole and succeeds as a whole; the verdict is there once."""
    worker, scheduled = mothership.granted()
    # The longest message that is stored, so that it takes a page of its own.
    long = Outcome(Result.SUCCEEDED, Reason.COMPLETED, "x" * 4096, {"worker": 0})
    body = {"outcome": long.to_json(), "phases": [{"name": "a" * 100, "seconds": 1.0, "exitCode": 0}] * 100}
    with full_disk(mothership):
        refused = mothership.launcher(scheduled, "POST", "/result", json=body)
        assert refused.status_code == 503
        assert mothership.case(scheduled).attempt.report is None
    assert mothership.launcher(scheduled, "POST", "/result", json=body).status_code == 200
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=SUCCEEDED)
    assert mothership.state(scheduled.run) == "succeeded"


def test_a_log_that_finds_no_room_is_appended_once(
    mothership: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file may be written in part: the next try overwrites it."""
    _, scheduled = mothership.granted()
    opened = os.open

    def full(*_arguments: Any, **_options: Any) -> int:  # noqa: ANN401
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    assert mothership.launcher(scheduled, "POST", "/logs?offset=0", data=b"hello").status_code == 503
    monkeypatch.setattr(os, "open", opened)
    for _ in range(2):
        answer = mothership.launcher(scheduled, "POST", "/logs?offset=0", data=b"hello")
        assert answer.get_json()["offset"] == 5
    shown = mothership.admin("GET", f"/v1/runs/{scheduled.run}/logs")
    assert shown.data.decode().count("hello") == 1


def test_a_fault_of_one_message_is_not_taken_for_a_full_disk(mothership: Any) -> None:  # noqa: ANN401
    """It would come again for ever."""
    with pytest.raises(sa.exc.IntegrityError), mothership.database.write() as conn:
        conn.execute(sa.insert(runs).values(id=None))
