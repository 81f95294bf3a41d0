"""The way of a run, and scaling down under one, on the oldest Kubernetes that the documents promise."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import build
from devcluster.cluster import PROCESSES, Cluster, Options
from tests.e2e.audited import standing
from tests.e2e.conftest import open_folder
from tests.e2e.harness import CommandError, Shell, make_repository, manifest
from tests.e2e.test_scale_down_while_busy import test_scaling_to_zero_keeps_the_busy_worker
from tests.e2e.test_sidecars import test_a_long_running_sidecar_ends_with_the_run
from tests.e2e.test_walking_skeleton import (
    test_a_pool_says_that_it_is_ready,
    test_a_run_goes_from_triggered_to_finished,
    test_kubectl_shows_the_documented_columns,
)

__all__ = [
    "test_a_long_running_sidecar_ends_with_the_run",
    "test_a_pool_says_that_it_is_ready",
    "test_a_run_goes_from_triggered_to_finished",
    "test_kubectl_shows_the_documented_columns",
    "test_scaling_to_zero_keeps_the_busy_worker",
]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of this module's own: the same tests in their own modules have journals and gates of these names."""
    return open_folder(tmp_path_factory, "outside-oldest")


@pytest.fixture(scope="module")
def repository(outside: Path) -> Path:
    """Return a small real git repository in that folder."""
    return make_repository(outside / "repository")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Iterator[Cluster]:
    """Start a cluster with that Kubernetes; skip where it isn't built, which pytest's last lines say (conftest.py)."""
    if not build.place(build.OLDEST).is_dir():
        pytest.skip("the oldest supported Kubernetes isn't built: make test-oldest")
    options = Options(allow_paths=(outside,), oldest=True, audit=True, node=PROCESSES)
    with standing(Cluster(tmp_path_factory.mktemp("oldest") / "c", options)) as running:
        yield running


@pytest.fixture(scope="module")
def shell(cluster: Cluster) -> Shell:
    """Return a shell with this cluster's environment."""
    return Shell({**os.environ, **cluster.env()})


@pytest.fixture
def native() -> bool:
    """Tell the test of sidecars what the operator has to find out by itself: this Kubernetes has no native ones."""
    return False


def test_it_is_the_version_that_the_documents_name(shell: Shell) -> None:
    """Not a newer one by mistake."""
    version = json.loads(shell.kubectl("version", "-o", "json"))["serverVersion"]
    assert (version["major"], version["minor"]) == ("1", "26")
    assert version["gitVersion"] == "v1.26.0"


def test_contradictions_are_refused(shell: Shell) -> None:
    """By the rules of the definition, which are a beta feature in this version: they are on."""
    pool = manifest("contradiction", "default", 1)
    del pool["spec"]["privateKey"]
    with pytest.raises(CommandError, match="give token and privateKey both"):
        shell.kubectl("apply", "-f", "-", stdin=json.dumps(pool))
    pool["spec"]["privateKeys"] = pool["spec"].pop("token")
    with pytest.raises(CommandError, match=r"unknown field .*privateKeys"):
        shell.kubectl("apply", "-f", "-", stdin=json.dumps(pool))
