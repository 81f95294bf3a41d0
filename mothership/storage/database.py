"""The database file: one writer at a time, readers beside it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mothership.errors import SetupError, UnavailableError
from mothership.storage.migrations import OLDEST, migrate
from mothership.storage.tables import SCHEMA_VERSION, metadata

_BEGIN = "sqlite_begin"


class Database:
    """Transactions on one SQLite file.

    WAL with synchronous=NORMAL: a killed process loses nothing; a power failure may lose the last transactions but
    never leaves half of one. `durable` transactions are on the disk before they are answered.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._engine = sa.create_engine(
            f"sqlite:///{path}",
            connect_args={"timeout": 30, "check_same_thread": False},
            pool_size=8,
            max_overflow=64,
            # An error's text ends up in the log, and the parameters hold the environments of runs.
            hide_parameters=True,
        )
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin)
        # SQLite has one writer; waiting here is fair and cheap, its own busy handler polls.
        self._writing = threading.Lock()
        self._prepare()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a consistent view for reading. Raises `UnavailableError` when the file can't be read."""
        with _availability(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        """Give a transaction that reads and writes; it commits unless an exception leaves the block.

        Raises `UnavailableError`, with nothing stored, when the file can't be read or written.
        """
        with _availability(), self._writing, self._engine.connect() as connection:
            connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
            if durable:
                _set_synchronous(connection, "FULL")
            try:
                with connection.begin():
                    yield connection
            finally:
                if durable:
                    _set_synchronous(connection, "NORMAL")

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    def _prepare(self) -> None:
        with self.write() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if version and not OLDEST <= version <= SCHEMA_VERSION:
                raise SetupError(
                    f"the database has schema version {version}, this mothership needs {SCHEMA_VERSION}"
                )
            if version:
                migrate(connection, version)
            metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def _availability() -> Iterator[None]:
    """Turn what says that the database can't be used now (full, locked, I/O error, damaged) into one type.

    Errors that a statement or its values are to blame for pass through: they would come again.
    """
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.DataError, sa.exc.ProgrammingError):
        raise
    except sa.exc.DBAPIError as error:
        raise UnavailableError(f"the database can't be used: {error.orig}") from error
    except sa.exc.TimeoutError as error:
        raise UnavailableError("the database is busy") from error


def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
    # Transactions are begun explicitly below; the driver's own begin would come too late for a read.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 30000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _set_synchronous(connection: sa.Connection, level: str) -> None:
    driver = connection.connection.dbapi_connection
    if driver is not None:
        driver.cursor().execute(f"PRAGMA synchronous = {level}")
