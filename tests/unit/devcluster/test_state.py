"""A cluster's directory: owned by one process, readable by others, removed without a trace."""

import os
from pathlib import Path

import pytest

from devcluster.paths import cluster_directory
from devcluster.progress import ClusterError
from devcluster.state import OWNER_LOG, Claim, ProcessRecord, State, clear, owned, remove


def _state() -> State:
    own = ProcessRecord.of(os.getpid(), "/logs/x.log")
    return State(owner=own, ready=True, node_name="node", env={"KUBECONFIG": "/k"}, components={"etcd": own})


def test_what_the_owner_wrote_is_what_others_read(tmp_path: Path) -> None:
    """And nobody but its user can."""
    _state().write(tmp_path)
    assert State.read(tmp_path) == _state()
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


def test_no_cluster_is_no_state(tmp_path: Path) -> None:
    """Asking about a cluster that is not there is no error."""
    assert State.read(tmp_path) is None
    assert not owned(tmp_path / "nowhere")


def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    """A second cluster in the same place is refused, naming who has it."""
    claim = Claim(tmp_path)
    _state().write(tmp_path)
    assert owned(tmp_path)
    with pytest.raises(ClusterError, match=f"owned by process {os.getpid()}"):
        Claim(tmp_path)
    claim.release()
    assert not owned(tmp_path)


def test_clearing_keeps_the_log_that_is_being_written(tmp_path: Path) -> None:
    """What a killed cluster left goes, the new owner's log stays."""
    (tmp_path / OWNER_LOG).touch()
    (tmp_path / "data" / "etcd").mkdir(parents=True)
    _state().write(tmp_path)
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [OWNER_LOG]


def test_the_last_cluster_takes_the_directory_of_all_clusters_with_it(tmp_path: Path) -> None:
    """Nothing is left behind, and others are left alone."""
    for name in ("a", "b"):
        (tmp_path / ".cluster" / name / "logs").mkdir(parents=True)
    remove(tmp_path / ".cluster" / "a")
    assert (tmp_path / ".cluster" / "b").is_dir()
    remove(tmp_path / ".cluster" / "b")
    assert not (tmp_path / ".cluster").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    """Removing a cluster removes its directory: it had better be one."""
    with pytest.raises(ValueError, match="plain name"):
        cluster_directory(name)
