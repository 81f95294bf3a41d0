"""The database file and what lies beside it."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from mothership.decisions.states import Run, RunState
from mothership.errors import SetupError
from mothership.logs import redact
from mothership.storage import pools, runs
from mothership.storage.database import Database
from mothership.storage.logs import LogStore
from mothership.storage.runs import RunRequest
from mothership.storage.tables import SCHEMA_VERSION


def test_database_of_another_version_is_refused(tmp_path: Path) -> None:
    """Nothing is guessed about its tables."""
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as conn:
        conn.execute("PRAGMA user_version = 7")
    conn.close()
    with pytest.raises(SetupError, match="schema version 7"):
        Database(path)


def columns(path: Path) -> dict[str, set[str]]:
    """Return the names of the columns of each table."""
    with sqlite3.connect(path) as conn:
        tables = [name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {table: {row[1] for row in conn.execute(f"PRAGMA table_info({table})")} for table in tables}
    conn.close()
    return found


def test_database_of_the_first_version_is_migrated_with_its_runs(tmp_path: Path) -> None:
    """Its tables become those of a new one; a run of then has no tool."""
    path, new = tmp_path / "old.db", tmp_path / "new.db"
    for each in (path, new):
        Database(each).close()
    with sqlite3.connect(path) as conn:
        conn.execute("ALTER TABLE runs DROP COLUMN tool")
        conn.execute("ALTER TABLE runs DROP COLUMN failed_with")
        conn.execute("ALTER TABLE runs DROP COLUMN not_before")
        conn.execute(
            "INSERT INTO runs (id, pool, state, position, requeues, stop_requested, created_at, commands,"
            " environment, runner_image, launcher_image) VALUES ('R', 'P', 'queued', 0, 0, 0, 1.0, '[]', '{}', 'i', 'l')"
        )
        conn.execute("PRAGMA user_version = 1")
    conn.close()
    for _ in range(2):
        database = Database(path)
        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT id, tool FROM runs").all() == [("R", "")]
            assert connection.exec_driver_sql("PRAGMA user_version").scalar_one() == SCHEMA_VERSION
        database.close()
    assert columns(path) == columns(new)


def test_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """All or nothing."""
    database = Database(tmp_path / "x.db")

    def fail() -> None:
        with database.write() as conn:
            pools.remembered(conn, "name", "first")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.write(durable=True) as conn:
        assert pools.remembered(conn, "name", "second") == "second"
    database.close()


def test_error_of_the_database_does_not_tell_what_was_stored(mothership: Any) -> None:  # noqa: ANN401
    """It is logged, and a run's environment holds secrets."""
    run = Run(mothership.trigger(), mothership.pool, RunState.QUEUED, position=0)
    request = RunRequest(None, ("true",), "image", "image", {"KEY": "hush-hush"})
    with pytest.raises(IntegrityError) as caught, mothership.database.write() as conn:
        runs.add_run(conn, run, request, 0.0)
    assert "hush-hush" not in str(caught.value)


def test_what_is_remembered_stays(tmp_path: Path) -> None:
    """The MQTT client id is the same after a restart."""
    for value in ("one", "two"):
        database = Database(tmp_path / "x.db")
        with database.write() as conn:
            assert pools.remembered(conn, "id", value) == "one"
        database.close()


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    """Read, then write, from eight threads: no update is lost and none fails as locked."""
    database = Database(tmp_path / "x.db")
    with database.write() as conn:
        conn.exec_driver_sql("CREATE TABLE counter (n INTEGER)")
        conn.exec_driver_sql("INSERT INTO counter VALUES (0)")

    def add() -> None:
        for _ in range(25):
            with database.write() as conn:
                count = conn.exec_driver_sql("SELECT n FROM counter").scalar_one()
                conn.exec_driver_sql("UPDATE counter SET n = ?", (count + 1,))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as conn:
        assert conn.exec_driver_sql("SELECT n FROM counter").scalar_one() == 200
    database.close()


def test_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """It holds the environments of runs."""
    Database(tmp_path / "x.db").close()
    assert (tmp_path / "x.db").stat().st_mode & 0o077 == 0


def test_bytes_that_a_killed_process_left_behind_are_overwritten(mothership: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """The file was written, the transaction wasn't committed: the repeated chunk stands once."""
    _, scheduled = mothership.granted()
    logs = LogStore(tmp_path / "logs", 1000)
    place = (scheduled.run, scheduled.sequence)

    def die() -> None:
        with mothership.database.write() as conn:
            logs.append(conn, *place, "run", 0, b"never committed and longer\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        die()
    with mothership.database.write() as conn:
        assert logs.append(conn, *place, "run", 0, b"once\n").offset == 5
    assert logs.read(*place, 0, 100) == b"once\n"


def test_fields_that_speak_of_secrets_are_blanked_in_logs() -> None:
    """Whatever somebody logs by mistake."""
    event = redact(None, "info", {"event": "x", "run_token": "t", "Authorization": "a", "run": "R"})
    assert event == {"event": "x", "run_token": "[redacted]", "Authorization": "[redacted]", "run": "R"}
