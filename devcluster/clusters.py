"""Which kind of cluster there is: the one that the options ask for, or the one that a state tells of."""

from __future__ import annotations

from pathlib import Path

from devcluster import processnode
from devcluster.cluster import CONTAINERS, NODES, Cluster, Options
from devcluster.progress import Say, say_to_stderr
from devcluster.realnode import cgroups, means
from devcluster.realnode.cluster import ContainerCluster, provide
from devcluster.state import State


def make(
    where: str | Path = "default", options: Options | None = None, *, say: Say = say_to_stderr
) -> Cluster:
    """Describe a cluster, by its name below .cluster or by a directory of its own; `up` starts it.

    Raises ValueError for a kind of node that there isn't.
    """
    chosen = options or Options()
    if chosen.node not in NODES:
        msg = f"NODE={chosen.node}: choose {' or '.join(NODES)}"
        raise ValueError(msg)
    return (ContainerCluster if chosen.node == CONTAINERS else Cluster)(where, chosen, say=say)


def provide_containers(say: Say) -> None:
    """Install, build and cache everything that a real node is made of; raises ClusterError."""
    provide(say)


def provide_containers_for_tests(say: Say) -> None:
    """Do the same where the machine has the means; elsewhere say what it lacks, as those tests will be skipped."""
    if why := means.unavailable():
        say(why)
    else:
        provide(say)


def sweep(saved: State) -> None:
    """Remove the control groups of a cluster whose owner could not do it itself."""
    cgroups.remove(cgroups.PREFIX + saved.node_name)
    if "node" in saved.components:
        processnode.sweep(saved.node_name)
