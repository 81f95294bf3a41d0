"""Parts that several integration tests start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mqtt_parts import Broker, Pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """Return certificates of this test alone."""
    # Started as root, Mosquitto drops to a user of its own, who must be able to read and write here.
    for parent in (tmp_path, *tmp_path.parents):
        if parent == Path("/tmp"):  # noqa: S108
            break
        parent.chmod(0o755)
    return Pki(tmp_path)


@pytest.fixture
def broker(pki: Pki) -> Iterator[Broker]:
    """Run a broker."""
    broker = Broker(pki.folder)
    (pki.folder / "data").chmod(0o777)
    for file in pki.folder.iterdir():
        if file.is_file():
            file.chmod(0o644)
    broker.config.write_text(broker.config.read_text() + "user root\n")
    broker.start()
    yield broker
    broker.stop()
