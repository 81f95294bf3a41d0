"""Mounts of the user's: added to ours, never in their place, and never of the run's credentials."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from app.errors import PodSettingsError
from app.vocabulary import CREDENTIALS_VOLUME

if TYPE_CHECKING:
    from app.children.pod_settings import Settings
    from app.contract.fields import JsonObject


def merged_mounts(own: list[JsonObject], container: Settings) -> list[JsonObject]:
    """Return our mounts followed by the ``volumeMounts`` of a container's settings.

    Raises PodSettingsError for a mount at one of our paths, and as `refuse_credentials` does.
    """
    refuse_credentials(container)
    taken = {mount["mountPath"] for mount in own}
    for mount in container.items("volumeMounts"):
        if _normal(mount.text("mountPath") or "") in taken:
            raise PodSettingsError(
                f"{mount.path}.mountPath",
                "is where the operator mounts a volume of its own; choose another path",
            )
    return own + container.objects("volumeMounts")


def refuse_credentials(container: Settings) -> None:
    """Raise PodSettingsError when a container of the user's, or the user's wish for one of ours, mounts the run Secret.

    Whoever reads it can act as this run at the mothership.
    """
    for mount in container.items("volumeMounts"):
        if mount.text("name") == CREDENTIALS_VOLUME:
            raise PodSettingsError(
                f"{mount.path}.name",
                f"must not be {CREDENTIALS_VOLUME}, which holds the run's credentials; remove this mount, or mount"
                " a volume of your own from spec.pod.volumes",
            )


def _normal(path: str) -> str:
    """Return the path as our own ones are written: the API server compares text, the kernel doesn't."""
    return posixpath.normpath("/" + path.lstrip("/"))
