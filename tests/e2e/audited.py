"""Clusters whose API server writes down what the operator and the hooks' driver ask, and the judgement of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from devcluster import audit
from devcluster.cluster import Cluster


def never(_asked: audit.Asked) -> bool:
    """Say that no refusal is meant."""
    return False


@contextmanager
def standing(cluster: Cluster, meant: Callable[[audit.Asked], bool] = never) -> Iterator[Cluster]:
    """Have a cluster up; at its end, nothing may have been refused but what a test provokes and so is meant.

    The cluster must have been made with `Options(audit=True)`.
    """
    assert cluster.options.audit
    try:
        cluster.up()
        yield cluster
        asked = list(audit.requests(cluster.site.audit_log))
        assert asked, "nothing was written down: this judges nothing"
        refused = {each for each in asked if not each.allowed and not meant(each)}
        assert not refused, f"the manifests don't grant what was asked: {sorted(refused)}"
    finally:
        cluster.down()
