"""The real exporter, as a process, and scrapes of it over real HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.unit.exporter.api_double import KEY_ID, KEY_SECRET

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0
"""Seconds that a slow machine gets; nothing waits for so long."""


@dataclass
class Answer:
    """What a GET was answered."""

    status: int
    kind: str
    text: str

    def values(self) -> dict[str, float]:
        """Return the samples by name and labels, as Prometheus reads them."""
        assert self.status == 200, self.text
        return {
            sample.name
            + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }


@dataclass
class Exporter:
    """A running exporter."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    port: int = 0
    _events: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)

    def read(self) -> None:
        """Keep what it logs."""
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            with contextlib.suppress(ValueError):
                self._events.put(json.loads(line))
        self._events.put({"event": "(ended)"})

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return the next log line of this event."""
        while True:
            found = self._events.get(timeout=PATIENCE)
            if found["event"] == event:
                return found
            assert found["event"] != "(ended)", "".join(self.lines)

    def get(self, path: str = "/metrics", accept: str = "text/plain;version=0.0.4") -> Answer:
        """Return what a GET is answered."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - loopback
                return Answer(answer.status, answer.headers["Content-Type"], answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers["Content-Type"], error.read().decode())


def start(arguments: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the exporter with nothing in its environment but what is given."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME")}
    return subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments],
        cwd=ROOT,
        env={**kept, "NO_PROXY": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(arguments: list[str], environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run the exporter to its end; return status, output and what it logged."""
    process = start(arguments, environment)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def serve_arguments(endpoint: str, *more: str, secret: str = KEY_SECRET) -> list[str]:
    """Return a command line of `serve`."""
    given = ["--api-endpoint", endpoint, "--api-key-id", KEY_ID, "--listen-address", "127.0.0.1:0"]
    return ["serve", *given, *(["--api-key-secret", secret] if secret else []), *more]


@contextlib.contextmanager
def exporting(
    endpoint: str, *more: str, secret: str = KEY_SECRET, environment: dict[str, str] | None = None
) -> Iterator[Exporter]:
    """Run the exporter while a test looks at it; it ends well."""
    exporter = Exporter(start(serve_arguments(endpoint, *more, secret=secret), environment))
    reader = threading.Thread(target=exporter.read)
    reader.start()
    try:
        exporter.port = exporter.wait_for("listening")["port"]
        yield exporter
        exporter.process.terminate()
        assert exporter.process.wait(timeout=PATIENCE) == 0, "".join(exporter.lines)
    finally:
        exporter.process.kill()
        exporter.process.wait()
        reader.join()
        for pipe in (exporter.process.stdout, exporter.process.stderr):
            if pipe:
                pipe.close()
    assert KEY_SECRET not in "".join(exporter.lines)
    assert "a8c3e7" not in "".join(exporter.lines)
