"""What the runs themselves write: the only witness of what was executed.

Every run appends lines to one file outside the product, with a shell's `echo` alone: `start`, now and then `beat`, and
`end`, each with the run's name and the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Evidence:
    """What the journal says of each run, by its name; times in seconds since 1970."""

    starts: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)
    """When the run was last seen doing something."""

    @classmethod
    def of(cls, lines: Iterable[str]) -> Evidence:
        """Read the lines; raise ValueError for one that no run writes, because a witness must not be half-heard."""
        found = cls()
        for line in lines:
            word, name, at = line.split()
            if word not in ("start", "beat", "end"):
                raise ValueError(f"no line of a run: {line!r}")
            if word == "start":
                found.starts[name] += 1
            if word == "end":
                found.ends[name] += 1
            found.last[name] = max(found.last.get(name, 0.0), float(at))
        return found


@dataclass(frozen=True)
class Journal:
    """The file, and the commands that make a run write to it."""

    path: Path

    @classmethod
    def new(cls, path: Path) -> Journal:
        """Make an empty journal that every user may append to: runs aren't root."""
        path.touch()
        path.chmod(0o666)
        return cls(path)

    def commands(self, name: str, work: str) -> list[str]:
        """Return the commands of a run that writes its start, works, and writes its end."""
        return [
            self.line("start", name),
            work.replace("{beat}", self.line("beat", name)),
            self.line("end", name),
        ]

    def line(self, word: str, name: str) -> str:
        """Return the shell command that appends one line. One write of less than a page is never torn."""
        return f'echo "{word} {name} $(date +%s.%N)" >> {self.path}'

    def read(self) -> Evidence:
        """Return what was written so far; a line still being written is left for the next time."""
        return Evidence.of(self.path.read_text().split("\n")[:-1])


def name_of(commands: list[str]) -> str | None:
    """Return the name of the run that these commands are of; None when no journal gave them."""
    words = commands[0].split() if commands else []
    return words[2] if words[:2] == ["echo", '"start'] else None
