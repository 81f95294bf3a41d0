"""One replica's Lease at the API server: made, renewed and deleted here, and read as `decisions.sharing` sees it.

Every write carries the resourceVersion that it was decided on, so two processes of one name notice each other.
"""

import contextlib
import math
from collections.abc import Callable
from typing import Any

from app import vocabulary as words
from app.agent.decisions.sharing import Lease
from app.agent.runtime import Api, Clock
from app.cluster.errors import AlreadyExists, Conflict, NotFound
from app.cluster.objects import KubernetesObject
from app.cluster.resources import LEASES

SELECTOR = f"{words.REPLICA_LABEL}=true"
"""Chooses the Leases of the operator's replicas among all of the namespace."""


class NameInUseError(Exception):
    """Another process renews the Lease of this replica's name; the text says which."""


def lease_name(replica: str) -> str:
    """Return the name of a replica's Lease."""
    return words.REPLICA_LEASE_PREFIX + replica


def parse_lease(found: KubernetesObject, default_duration: float) -> Lease | None:
    """Return a Lease as seen, None when it is none of a replica's."""
    metadata, spec = found["metadata"], found.get("spec") or {}
    name: str = metadata["name"]
    replica = name.removeprefix(words.REPLICA_LEASE_PREFIX)
    version = metadata.get("resourceVersion") or ""
    if replica in ("", name) or not version.isdigit():
        return None
    seconds = spec.get("leaseDurationSeconds")
    annotations = metadata.get("annotations") or {}
    return Lease(
        name=name,
        replica=replica,
        holder=spec.get("holderIdentity") or "",
        uid=metadata.get("uid") or "",
        version=int(version),
        duration=float(seconds) if isinstance(seconds, int) and seconds > 0 else default_duration,
        fit=annotations.get(words.REPLICA_FIT_ANNOTATION) != "false",
    )


class OwnLease:
    """The Lease of this process. Touched by one thread; each call makes one request while all is well."""

    def __init__(
        self, api: Api, namespace: str, replica: str, identity: str, duration: float, clock: Clock
    ) -> None:
        self.name = lease_name(replica)
        self._api, self._namespace, self._identity = api, namespace, identity
        self._duration, self._clock = duration, clock
        self._held: tuple[str, str] | None = None
        self._ever_held = False
        self._other: tuple[str, float] = ("", 0.0)

    @property
    def version(self) -> str:
        """The resourceVersion of our last write, empty when we don't hold the Lease."""
        return self._held[1] if self._held else ""

    def renew(self, *, fit: bool) -> None:
        """Make the Lease, or renew it; `fit` tells the others whether this replica can work on pools.

        Raise NameInUseError when another process of this name holds it, and the API's own errors.
        """
        if self._held is not None:
            try:
                self._write({"renewTime": self._now()}, self._held[1], fit=fit)
            except (Conflict, NotFound):
                self._held = None
            else:
                return
        try:
            found = self._api.get(LEASES, self._namespace, self.name)
        except NotFound:
            self._create(fit=fit)
        else:
            self._take(found, fit=fit)

    def forget(self) -> None:
        """Believe no longer that the Lease is as it was written last: it is read again before the next renewal."""
        self._held = None

    def drop(self) -> None:
        """Delete the Lease if it is still ours, so that the others need not wait for its end."""
        held, self._held = self._held, None
        if held is not None:
            with contextlib.suppress(NotFound, Conflict):
                # Of this very UID: one that somebody deleted may have been made again by another process.
                self._api.delete(LEASES, self._namespace, self.name, held[0])

    def _create(self, *, fit: bool) -> None:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name,
                "namespace": self._namespace,
                "labels": {words.REPLICA_LABEL: "true"},
                "annotations": _annotations(fit),
            },
            "spec": self._new_term(0),
        }
        try:
            self._hold(self._api.create(LEASES, self._namespace, body))
        except AlreadyExists as error:
            raise NameInUseError("another process made the Lease of this replica's name") from error

    def _take(self, found: KubernetesObject, *, fit: bool) -> None:
        """Go on with a Lease that is there: our own, a former process's, or another one's that ended."""
        spec, version = found.get("spec") or {}, found["metadata"]["resourceVersion"]
        holder = spec.get("holderIdentity") or ""
        if holder == self._identity:
            self._write({"renewTime": self._now()}, version, fit=fit)
            return
        if self._ever_held and holder and not self._ended(version):
            raise NameInUseError(f"{holder} holds the Lease of this replica's name")
        # At the start a name belongs to the newer process: a container that starts again keeps its Pod's name.
        transitions = spec.get("leaseTransitions")
        self._write(self._new_term(transitions + 1 if isinstance(transitions, int) else 1), version, fit=fit)

    def _ended(self, version: str) -> bool:
        """Return whether the other process's Lease has not changed for a whole duration before our eyes."""
        now = self._clock.monotonic()
        if self._other[0] != version:
            self._other = version, now
        return now - self._other[1] >= self._duration

    def _write(self, spec: dict[str, Any], version: str, *, fit: bool) -> None:
        metadata = {
            "resourceVersion": version,
            "labels": {words.REPLICA_LABEL: "true"},
            "annotations": _annotations(fit),
        }
        patch = {"metadata": metadata, "spec": spec}
        self._hold(self._api.merge_patch(LEASES, self._namespace, self.name, patch))

    def _hold(self, written: KubernetesObject) -> None:
        self._held = written["metadata"]["uid"], written["metadata"]["resourceVersion"]
        self._ever_held = True

    def _new_term(self, transitions: int) -> dict[str, Any]:
        now = self._now()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _now(self) -> str:
        return self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def delete_abandoned(api: Api, namespace: str, leases: list[Lease]) -> None:
    """Delete Leases that nobody renews any more; a replica that wakes up after all makes its own anew."""
    for lease in leases:
        with contextlib.suppress(NotFound, Conflict):
            api.delete(LEASES, namespace, lease.name, lease.uid)


def look(api: Api, namespace: str, default_duration: float) -> list[Lease]:
    """Return all replicas' Leases as they are at the API server now."""
    found = api.list(LEASES, namespace, SELECTOR).items
    parsed: list[Lease | None] = [parse_lease(item, default_duration) for item in found]
    return [lease for lease in parsed if lease is not None]


def _annotations(fit: bool) -> dict[str, str]:
    return {words.REPLICA_FIT_ANNOTATION: "true" if fit else "false"}


Changed = Callable[[str, KubernetesObject | None, KubernetesObject | None], None]
"""What a watch calls with ADDED, MODIFIED or DELETED, the old object and the new one."""
