"""Whom a container runs as, from security contexts, the image and its accounts; pure but for reading accounts."""

from collections.abc import Iterator
from pathlib import Path

from devcluster.node.env import ConfigError
from devcluster.node.images import Image
from devcluster.node.sandbox import Identity
from devcluster.node.shapes import Json


def identity(pod: Json, container: Json, image: Image, passwd: Path | None) -> Identity:
    """Return user and groups of a container; its own settings go before the Pod's and the image's."""
    outer = pod["spec"].get("securityContext") or {}
    merged = outer | (container.get("securityContext") or {})
    uid = merged.get("runAsUser")
    if uid is None:
        uid = image.user or 0
    if merged.get("runAsNonRoot") and uid == 0:
        raise ConfigError("container has runAsNonRoot and image will run as root")
    gid = merged.get("runAsGroup")
    if gid is None:
        gid = next((account[1] for account in accounts(passwd) if account[0] == uid), 0)
    groups = {int(group) for group in outer.get("supplementalGroups") or []}
    if outer.get("fsGroup") is not None:
        groups.add(int(outer["fsGroup"]))
    return Identity(int(uid), int(gid), tuple(sorted(groups)))


def home(uid: int, passwd: Path | None) -> str:
    """Return the home of a user of the image; who has no account has `/`."""
    return next((account[2] for account in accounts(passwd) if account[0] == uid), "/")


def accounts(passwd: Path | None) -> Iterator[tuple[int, int, str]]:
    """Yield uid, gid and home of the accounts in a passwd file."""
    if passwd is None or not passwd.is_file():
        return
    for line in passwd.read_text(errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdigit() and fields[3].isdigit():
            yield int(fields[2]), int(fields[3]), fields[5]
