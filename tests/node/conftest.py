"""One cluster with a real node for all tests of this folder; without the means they are skipped, and that is said."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from devcluster import clusters
from devcluster.cluster import CONTAINERS, Cluster, Options
from devcluster.realnode import means
from tests.e2e.conftest import GRACES
from tests.e2e.harness import Shell

LACKING = means.unavailable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in a line of its own whether the real node was tested: a skip among hundreds of tests is easily missed."""
    if LACKING:
        terminalreporter.section("THE REAL NODE WAS NOT TESTED", red=True, bold=True)
        terminalreporter.write_line(LACKING)
        terminalreporter.write_line("docs/real-node.md says what it needs")


@pytest.fixture(scope="session")
def means_at_hand() -> None:
    """Skip where no real node can run."""
    if LACKING:
        pytest.skip(LACKING)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, means_at_hand: None) -> Iterator[Cluster]:  # noqa: ARG001
    """Start the whole cluster for a module: operator, mothership and broker are Pods, as in the manifests."""
    options = Options(node=CONTAINERS, arguments={"operator": GRACES})
    with clusters.make(tmp_path_factory.mktemp("node") / "c", options) as running:
        yield running


@pytest.fixture(scope="module")
def shell(cluster: Cluster) -> Shell:
    """Return a shell with the cluster's environment."""
    return Shell({**os.environ, **cluster.env()})
