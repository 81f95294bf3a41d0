"""Which components a cluster has, and what each of them needs."""

from __future__ import annotations

from collections.abc import Collection

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")
COMPONENTS = (*CONTROL_PLANE, "node", "mosquitto", "mothership", "operator", "hookdriver")
NODE_PARTS = ("sandbox", "containerd", "kube-scheduler", "kube-proxy", "coredns")
"""What a real node consists of beside its kubelet, which is `node`."""
# Not a process: the definitions, roles and hook objects in the API server.
OBJECTS = "objects"
GROUPS = {
    "controlplane": CONTROL_PLANE,
    "broker": ("mosquitto",),
    "all": (*COMPONENTS, OBJECTS),
}
REQUIRES = {
    "kube-apiserver": ("etcd",),
    "kube-controller-manager": ("kube-apiserver",),
    OBJECTS: CONTROL_PLANE,
    "node": CONTROL_PLANE,
    "mothership": ("mosquitto",),
    "operator": (OBJECTS,),
    "hookdriver": (OBJECTS,),
}
# Who uses whom, in reverse: those of one row have nothing to lose by ending together.
STOP_ORDER = (
    ("hookdriver", "operator", "node", *NODE_PARTS),
    ("mothership", "kube-controller-manager"),
    ("mosquitto", "kube-apiserver"),
    ("etcd",),
)


# More than any test needs; each is a process with all of its threads.
MOST_REPLICAS = 9


def replicas(count: int) -> tuple[str, ...]:
    """Return the names of the operator's replicas: `operator`, `operator-2` and so on; raise ValueError for too many."""
    if not 1 <= count <= MOST_REPLICAS:
        msg = f"{count} replicas: choose from 1 to {MOST_REPLICAS}"
        raise ValueError(msg)
    return ("operator", *(f"operator-{number}" for number in range(2, count + 1)))


def kind(name: str) -> str:
    """Return the component that a process belongs to: `operator` of `operator-2`."""
    return "operator" if name in replicas(MOST_REPLICAS) else name


def resolve(names: Collection[str]) -> frozenset[str]:
    """Return the components that the names mean: groups taken apart, and what each needs added."""
    wanted: set[str] = set()
    pending = [part for name in names for part in GROUPS.get(name, (name,))]
    while pending:
        name = pending.pop()
        if name not in GROUPS["all"]:
            msg = f"no component {name!r}: choose from {', '.join([*GROUPS, *GROUPS['all']])}"
            raise ValueError(msg)
        if name not in wanted:
            wanted.add(name)
            pending.extend(REQUIRES.get(name, ()))
    return frozenset(wanted)
