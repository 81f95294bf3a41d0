"""Encrypted archives of workspaces: opaque bytes between the stages of a run."""

import os
import secrets
from pathlib import Path
from typing import IO

from mothership.errors import BadRequestError, TooLargeError

_BLOCK = 256 * 1024


class WorkspaceStore:
    """Archives below one directory, each at most `limit` bytes long."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit

    def put(self, run: str, sequence: int, body: IO[bytes], announced: int | None) -> int:
        """Store the body as the archive of an attempt, in one step once it is complete; return its length."""
        if announced is not None and announced > self._limit:
            raise TooLargeError(f"the workspace has {announced} bytes, the limit is {self._limit}")
        path = self._path(run, sequence)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{secrets.token_hex(4)}.new")
        try:
            length = self._copy(body, draft)
            if announced is not None and length != announced:
                raise BadRequestError(f"the body ended after {length} of {announced} bytes")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return length

    def find(self, run: str, sequence: int) -> Path | None:
        """Return the archive that the run's latest attempt up to `sequence` stored."""
        stored = [int(path.stem) for path in (self._root / run).glob("*.workspace")]
        earlier = [number for number in stored if number <= sequence]
        return self._path(run, max(earlier)) if earlier else None

    def _copy(self, body: IO[bytes], draft: Path) -> int:
        length = 0
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while block := body.read(_BLOCK):
                length += len(block)
                if length > self._limit:
                    raise TooLargeError(f"the workspace has more than {self._limit} bytes")
                file.write(block)
        return length

    def _path(self, run: str, sequence: int) -> Path:
        return self._root / run / f"{sequence}.workspace"
