"""Which components a cluster has, and what each of them needs."""

from __future__ import annotations

from collections.abc import Collection

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")
COMPONENTS = (*CONTROL_PLANE, "node", "mosquitto", "mothership", "operator", "hookdriver")
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
    ("hookdriver", "operator", "node"),
    ("mothership", "kube-controller-manager"),
    ("mosquitto", "kube-apiserver"),
    ("etcd",),
)


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
