"""Logs of attempts: one file each, appended to by offset.

The database says how long the file is and how far each stream has come; bytes behind that length are left over from
a killed process and are overwritten.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from mothership.storage.tables import attempts, log_streams


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the stream's next chunk starts; `gap` says that this one came too early and nothing was stored."""

    offset: int
    gap: bool = False


class LogStore:
    """The log files below one directory, each at most `limit` bytes and a marker long."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._marker = f"\n[log truncated: it is longer than {limit} bytes]\n".encode()

    def append(
        self, conn: sa.Connection, run: str, sequence: int, stream: str, offset: int, chunk: bytes
    ) -> Appended:
        """Append what is new in a chunk of a stream; bytes that are there already are skipped.

        Call it in a transaction: file and database move together.
        """
        have = _stream_offset(conn, run, sequence, stream)
        if offset > have:
            return Appended(have, gap=True)
        fresh = chunk[have - offset :]
        if fresh:
            self._write(conn, run, sequence, fresh)
            _set_stream_offset(conn, run, sequence, stream, have + len(fresh))
        return Appended(have + len(fresh))

    def read(self, run: str, sequence: int, offset: int, end: int) -> bytes:
        """Return the bytes from `offset` up to `end`, which the database gave as length."""
        try:
            with self._path(run, sequence).open("rb") as file:
                file.seek(offset)
                return file.read(max(end - offset, 0))
        except FileNotFoundError:
            return b""

    def _write(self, conn: sa.Connection, run: str, sequence: int, fresh: bytes) -> None:
        attempt = sa.and_(attempts.c.run == run, attempts.c.sequence == sequence)
        length = conn.execute(sa.select(attempts.c.log_bytes).where(attempt)).scalar_one()
        if length > self._limit:
            return
        room = self._limit - length
        data = fresh if len(fresh) <= room else fresh[:room] + self._marker
        path = self._path(run, sequence)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.seek(length)
            file.write(data)
            file.truncate()
        conn.execute(sa.update(attempts).where(attempt).values(log_bytes=length + len(data)))

    def _path(self, run: str, sequence: int) -> Path:
        return self._root / run / f"{sequence}.log"


def _stream_offset(conn: sa.Connection, run: str, sequence: int, stream: str) -> int:
    statement = sa.select(log_streams.c.offset).where(
        log_streams.c.run == run, log_streams.c.sequence == sequence, log_streams.c.stream == stream
    )
    return conn.execute(statement).scalar() or 0


def _set_stream_offset(conn: sa.Connection, run: str, sequence: int, stream: str, offset: int) -> None:
    statement = insert(log_streams).values(run=run, sequence=sequence, stream=stream, offset=offset)
    keys = ["run", "sequence", "stream"]
    conn.execute(statement.on_conflict_do_update(index_elements=keys, set_={"offset": offset}))
