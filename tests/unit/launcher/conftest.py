"""Fixtures of the launcher's tests: a mothership and a Pod."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.launcher.certificates import Certificates, make_certificates
from tests.unit.launcher.mothership_fake import RUN, SEQUENCE, MothershipFake
from tests.unit.launcher.pod import Pod, running_pod


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One authority for all tests: making keys takes time."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def mothership(certificates: Certificates) -> Iterator[MothershipFake]:
    """Give a mothership that has a run of one command without a source."""
    fake = MothershipFake(certificates)
    fake.script.details = {
        "run": RUN,
        "stage": "preparing",
        "sequence": SEQUENCE,
        "source": None,
        "commands": ["echo hello"],
        "environment": {},
        "settings": {"leaseSeconds": 1, "lostAfterSeconds": 60, "stopGraceSeconds": 2},
    }
    yield fake
    fake.close()


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """Give a Pod without a mothership."""
    with running_pod(Pod(tmp_path / "pod")) as made:
        yield made


@pytest.fixture
def connected(tmp_path: Path, mothership: MothershipFake, certificates: Certificates) -> Iterator[Pod]:
    """Give a Pod whose credentials lead to the mothership."""
    with running_pod(Pod(tmp_path / "pod", mothership.endpoint, certificates.ca)) as made:
        yield made
