"""Volumes of the run Pod, and where each container mounts them."""

from __future__ import annotations

from dataclasses import dataclass

from app.children.names import check_names
from app.children.pod_settings import Settings
from app.contract.fields import JsonObject
from app.vocabulary import (
    BINARIES_CACHE_PATH,
    BINARIES_CACHE_VOLUME,
    BINARIES_PATH,
    BINARIES_SUBPATH,
    CREDENTIALS_MODE,
    CREDENTIALS_PATH,
    CREDENTIALS_VOLUME,
    PROJECT_SUBPATH,
    SOCKET_PATH,
    SOCKET_SUBPATH,
    WORKER_WORKSPACE_PATH,
    WORKSPACE_PATH,
    WORKSPACE_VOLUME,
)


@dataclass(frozen=True, slots=True)
class RunVolumes:
    """The three volumes that every run Pod has, and the user's own ones."""

    workspace: JsonObject
    binaries_cache: JsonObject
    credentials: JsonObject
    extra: list[JsonObject]

    def to_pod(self) -> list[JsonObject]:
        """Return ``spec.volumes``."""
        return [self.workspace, self.binaries_cache, self.credentials, *self.extra]

    def init_mounts(self) -> list[JsonObject]:
        """Return what ``init`` mounts: it fills the workspace and the cache, with the run's credentials."""
        return [
            _mount(self.workspace, WORKSPACE_PATH),
            _mount(self.binaries_cache, BINARIES_CACHE_PATH),
            _mount(self.credentials, CREDENTIALS_PATH, read_only=True),
        ]

    def grpc_mounts(self) -> list[JsonObject]:
        """Return what ``launcher-grpc`` mounts."""
        return [
            _mount(self.workspace, WORKSPACE_PATH),
            _mount(self.credentials, CREDENTIALS_PATH, read_only=True),
        ]

    def worker_mounts(self) -> list[JsonObject]:
        """Return what ``worker`` mounts: parts of the workspace, never the credentials.

        The run's own commands execute there, in an image that anybody may have built.
        """
        return [
            _mount(self.workspace, WORKER_WORKSPACE_PATH, sub_path=PROJECT_SUBPATH),
            _mount(self.workspace, SOCKET_PATH, sub_path=SOCKET_SUBPATH),
            _mount(self.workspace, BINARIES_PATH, sub_path=BINARIES_SUBPATH, read_only=True),
        ]


def run_volumes(pod: Settings, secret_name: str) -> RunVolumes:
    """Return the volumes of a run whose credentials are in the Secret `secret_name`.

    Raises PodSettingsError when two volumes would have one name.
    """
    volumes = RunVolumes(
        workspace=_special_volume(pod, "workspaceVolume", WORKSPACE_VOLUME),
        binaries_cache=_special_volume(pod, "binariesCacheVolume", BINARIES_CACHE_VOLUME),
        credentials={
            "name": CREDENTIALS_VOLUME,
            "secret": {"secretName": secret_name, "defaultMode": CREDENTIALS_MODE, "optional": False},
        },
        extra=pod.objects("volumes"),
    )
    _check_names(pod, volumes)
    return volumes


def _special_volume(pod: Settings, key: str, default_name: str) -> JsonObject:
    volume = pod.section(key)
    # The user's own name stays: their sidecars may mount the volume by it.
    name = volume.text("name") or default_name
    source = {field: value for field, value in volume.values.items() if field != "name"}
    return {"name": name, **(source or {"emptyDir": {}})}


def _check_names(pod: Settings, volumes: RunVolumes) -> None:
    special = [
        Settings(volumes.workspace, f"{pod.path}.workspaceVolume"),
        Settings(volumes.binaries_cache, f"{pod.path}.binariesCacheVolume"),
    ]
    check_names([*special, *pod.items("volumes")], [CREDENTIALS_VOLUME], "volume")


def _mount(
    volume: JsonObject, path: str, *, sub_path: str | None = None, read_only: bool = False
) -> JsonObject:
    mount: JsonObject = {"name": volume["name"], "mountPath": path}
    if sub_path is not None:
        mount["subPath"] = sub_path
    if read_only:
        mount["readOnly"] = True
    return mount
