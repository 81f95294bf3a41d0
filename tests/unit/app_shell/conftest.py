"""A fake API server, a real client of it, and waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.cluster.client import KubernetesApi
from app.cluster.transport import Timeouts
from tests.unit.app_shell.fake_api import FakeApi


@pytest.fixture
def fake_api() -> Iterator[FakeApi]:
    """Return a running fake; ``api`` is a client of it."""
    fake = FakeApi()
    yield fake
    fake.close()


@pytest.fixture
def write_kubeconfig(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a kubeconfig for a port and a user entry, and returns its path."""

    def write(port: int, user: dict[str, object] | None = None) -> str:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "it", "user": user or {"token": "static"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(document))
        return str(path)

    return write


@pytest.fixture
def api(fake_api: FakeApi, write_kubeconfig: Callable[..., str]) -> Iterator[KubernetesApi]:
    """Return the real client, connected to the fake."""
    kubeconfig = write_kubeconfig(fake_api.port)
    client = KubernetesApi.connect(kubeconfig, timeouts=Timeouts(connect=2, read=2))
    yield client
    client.close()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Return a function that waits until its argument is true and fails after a deadline."""

    def wait(condition: Callable[[], object], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the condition did not become true in time"
            time.sleep(0.005)

    return wait
