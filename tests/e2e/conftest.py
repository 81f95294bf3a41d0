"""One local cluster for all end-to-end tests; each test makes pools of its own in it."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import clusters
from devcluster.cluster import Cluster, Options
from tests.e2e.audited import standing
from tests.e2e.harness import PATIENCE, Journal, Pool, Shell, make_pool, make_repository, remove_pool

HERE = Path(__file__).parent
GRACES = (
    # A kubelet says ImagePullBackOff ten to fifteen seconds after the first failure.
    f"--image-pull-grace={8 * PATIENCE}s",
    "--container-config-grace=3s",
    "--unschedulable-grace=3s",
    "--refusal-grace=3s",
)
"""Flags of the operator: the failures that tests provoke don't pass, so waiting for the defaults proves nothing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what judges the whole suite last, and give tests on a real node the time that they wait there."""
    items.sort(key=lambda item: item.path.name == "test_permissions.py")
    for item in items:
        if PATIENCE > 1 and item.path.is_relative_to(HERE):
            own = item.get_closest_marker("timeout")
            seconds = PATIENCE * float(own.args[0] if own else item.config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(seconds), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in a section of its own when the oldest Kubernetes wasn't there: a skip among hundreds is easily missed."""
    skipped = terminalreporter.stats.get("skipped", ())
    if any("test_oldest_kubernetes" in report.nodeid for report in skipped):
        terminalreporter.section("THE OLDEST SUPPORTED KUBERNETES WAS NOT TESTED", red=True, bold=True)
        terminalreporter.write_line("`make test-oldest` builds it once, and runs these tests")


def open_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """Return a new folder that runs may write, whoever they run as."""
    folder = factory.mktemp(name)
    folder.chmod(0o777)
    return folder


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder outside the product that runs may write: journals, repositories, gates."""
    return open_folder(tmp_path_factory, "outside")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Iterator[Cluster]:
    """Start the whole local cluster, with Metacontroller when METACONTROLLER_BIN names one."""
    options = Options(allow_paths=(outside,), arguments={"operator": GRACES}, audit=True)
    with standing(clusters.make(tmp_path_factory.mktemp("cluster") / "c", options)) as running:
        yield running


@pytest.fixture(scope="session")
def shell(cluster: Cluster) -> Shell:
    """Return a shell with the cluster's environment."""
    return Shell({**os.environ, **cluster.env()})


@pytest.fixture
def journal(outside: Path, request: pytest.FixtureRequest) -> Journal:
    """Return a journal of the test's own."""
    path = outside / f"{request.node.name.replace('[', '-').rstrip(']')}.journal"
    path.touch()
    path.chmod(0o666)
    return Journal(path)


@pytest.fixture(scope="session")
def repository(outside: Path) -> Path:
    """Return a small real git repository."""
    return make_repository(outside / "repository")


@pytest.fixture
def pool_name(request: pytest.FixtureRequest) -> str:
    """Return a name for the test's pool."""
    words = str(request.node.name).lower().replace("_", "-").replace("[", "-").rstrip("]")
    return f"{words.removeprefix('test-')[:32].strip('-')}-{zlib.crc32(words.encode()):x}"


@pytest.fixture
def pool(shell: Shell, tmp_path: Path, pool_name: str) -> Iterator[Pool]:
    """Return a pool of two registered workers; it is removed, with everything of it, after the test."""
    made = make_pool(shell, pool_name, tmp_path, size=2)
    yield made
    remove_pool(made)
