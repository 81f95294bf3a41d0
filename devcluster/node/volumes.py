"""A Pod's volumes on the node's disk: what is in them, who may read them, and their sub-paths.

Contents are settled when the Pod starts; later changes of Secrets, ConfigMaps and labels don't reach it, and tokens
aren't rotated: Pods of this node live for an hour or so.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster.node.env import Lookup, expand
from devcluster.node.fields import FieldError, NodeFacts, field_value, resource_value
from devcluster.node.quantity import parse_quantity
from devcluster.node.rootfs import VolumeBind
from devcluster.node.shapes import Json

SUPPORTED = ("emptyDir", "secret", "configMap", "downwardAPI", "projected")
_DEFAULT_MODE = 0o644
_DATA, _DATA_TARGET = "..data", "..content"


class VolumeError(Exception):
    """A volume that can't be set up at the moment; the Pod waits for it."""


@dataclass(frozen=True)
class File:
    """One file of a volume."""

    content: bytes
    mode: int


@dataclass(frozen=True)
class Sources:
    """Where contents come from; `token` is called with the projection's spec."""

    node: NodeFacts
    lookup: Lookup
    token: Callable[[Json], str]


def unsupported(pod: Json) -> list[str]:
    """Return a description of each volume of a kind that this node doesn't have."""
    kinds = [(volume["name"], _kind(volume)) for volume in pod["spec"].get("volumes") or []]
    return [f"volume {name} is a {kind}" for name, kind in kinds if kind not in SUPPORTED]


def set_up(pod: Json, folder: Path, sources: Sources) -> dict[str, Path]:
    """Create every volume of a Pod below `folder` and return their directories by name."""
    places = {}
    for volume in pod["spec"].get("volumes") or []:
        place = folder / volume["name"]
        try:
            _set_up(pod, volume, place, sources)
        except (VolumeError, FieldError) as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
        places[volume["name"]] = place
    return places


def size_limits(pod: Json) -> dict[str, str]:
    """Return the limits of emptyDir volumes that have one, as quantities by name."""
    volumes = pod["spec"].get("volumes") or []
    limits = {each["name"]: (each.get("emptyDir") or {}).get("sizeLimit") for each in volumes}
    return {name: limit for name, limit in limits.items() if limit and parse_quantity(limit) > 0}


def too_large(pod: Json, places: Mapping[str, Path]) -> str:
    """Return a kubelet's text about the first emptyDir that is over its limit, empty when none is."""
    for name, limit in size_limits(pod).items():
        if _usage(places[name]) > parse_quantity(limit):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    return ""


def _usage(folder: Path) -> int:
    """Return the bytes that a directory takes on disk; what vanishes meanwhile doesn't count."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(base) / name).lstat().st_blocks * 512
    return total


def _set_up(pod: Json, volume: Json, place: Path, sources: Sources) -> None:
    """Create one volume, whole or not at all."""
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    kind = _kind(volume)
    if kind == "emptyDir":
        place.mkdir(parents=True, exist_ok=True)
        _give(place, 0o777, group, writable=True)
        return
    files = contents(pod, kind, volume[kind], sources)
    if place.exists():
        shutil.rmtree(place)
    _write(place, files, group)


def _kind(volume: Json) -> str:
    """Return the kind of a volume; one without a source is an emptyDir."""
    return next((key for key in volume if key != "name"), "emptyDir")


def contents(pod: Json, kind: str, spec: Json, sources: Sources) -> dict[str, File]:
    """Return the files of a volume of one of the kinds that have contents."""
    if kind != "projected":
        return _projection(pod, kind, spec, spec.get("defaultMode", _DEFAULT_MODE), sources)
    files: dict[str, File] = {}
    for source in spec.get("sources") or []:
        for each, projection in source.items():
            files |= _projection(pod, each, projection, spec.get("defaultMode", _DEFAULT_MODE), sources)
    return files


def _projection(pod: Json, kind: str, spec: Json, mode: int, sources: Sources) -> dict[str, File]:
    """Return the files of one source of a projected volume, or of a volume with just that source."""
    match kind:
        case "secret":
            return _keys(
                "Secret", spec.get("secretName") or spec.get("name") or "", spec, mode, sources.lookup
            )
        case "configMap":
            return _keys("ConfigMap", spec.get("name") or "", spec, mode, sources.lookup)
        case "downwardAPI":
            return {
                item["path"]: _downward(pod, item, mode, sources.node) for item in spec.get("items") or []
            }
        case "serviceAccountToken":
            grouped = (pod["spec"].get("securityContext") or {}).get("fsGroup") is not None
            return {spec["path"]: File(sources.token(spec).encode(), 0o600 if grouped else mode)}
    raise VolumeError(f"unsupported projection {kind}")


def _keys(kind: str, name: str, spec: Json, mode: int, lookup: Lookup) -> dict[str, File]:
    """Return the wanted keys of a Secret or ConfigMap as files."""
    data: Mapping[str, bytes] | None = lookup(kind, name)
    optional = bool(spec.get("optional"))
    if data is None:
        if optional:
            return {}
        raise VolumeError(f'{kind.lower()} "{name}" not found')
    if not spec.get("items"):
        return {key: File(value, mode) for key, value in data.items()}
    files = {}
    for item in spec["items"]:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], item.get("mode", mode))
        elif not optional:
            # The kubelet's own words, which aren't alike.
            words = (
                "references non-existent secret"
                if kind == "Secret"
                else "configmap references non-existent config"
            )
            raise VolumeError(f"{words} key: {item['key']}")
    return files


def _downward(pod: Json, item: Json, mode: int, node: NodeFacts) -> File:
    """Return a file with a field of the Pod."""
    if "fieldRef" in item:
        value = field_value(pod, item["fieldRef"]["fieldPath"], node)
    else:
        value = resource_value(pod, "", item["resourceFieldRef"], node)
    return File(value.encode(), item.get("mode", mode))


def _write(place: Path, files: Mapping[str, File], group: int | None) -> None:
    """Write files with the links of a kubelet's volume: `key -> ..data/key`, `..data -> the contents`."""
    content = place / _DATA_TARGET
    content.mkdir(parents=True)
    for name, file in files.items():
        path = content / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        _give(path, file.mode, group, writable=False)
    for folder, _, _ in os.walk(place):
        _give(Path(folder), 0o755, group, writable=False)
    (place / _DATA).symlink_to(_DATA_TARGET)
    for name in sorted({name.split("/", 1)[0] for name in files}):
        (place / name).symlink_to(f"{_DATA}/{name}")


def _give(path: Path, mode: int, group: int | None, *, writable: bool) -> None:
    """Set mode and, for fsGroup, group, as a kubelet does it for the volumes it owns."""
    if group is not None:
        # Without root the node's user owns everything and is mapped to the container's user.
        if os.geteuid() == 0:
            os.chown(path, -1, group)
        mode |= 0o660 if writable else 0o440
        if path.is_dir():
            mode |= 0o2110
    path.chmod(mode)


def container_binds(
    container: Json, places: Mapping[str, Path], values: Mapping[str, str]
) -> Iterable[VolumeBind]:
    """Yield the mounts of a container; raises VolumeError for a sub-path that leaves its volume."""
    for mount in container.get("volumeMounts") or []:
        source = places[mount["name"]]
        sub = expand(mount["subPathExpr"], values) if mount.get("subPathExpr") else mount.get("subPath") or ""
        if sub:
            source = _sub_path(source, sub)
        yield VolumeBind(source, mount["mountPath"], writable=not mount.get("readOnly", False))


def _sub_path(volume: Path, sub: str) -> Path:
    """Return a directory or file of a volume; a missing one is made as a directory like the volume's own."""
    if sub.startswith("/") or ".." in sub.split("/"):
        raise VolumeError(f"subPath {sub!r} must be relative and without '..'")
    place = volume
    for part in Path(sub).parts:
        place /= part
        if not place.exists() and not place.is_symlink():
            place.mkdir()
            model = volume.stat()
            if os.geteuid() == 0:
                os.chown(place, model.st_uid, model.st_gid)
            place.chmod(model.st_mode & 0o7777)
    resolved = place.resolve()
    if not resolved.is_relative_to(volume.resolve()):
        raise VolumeError(f"subPath {sub!r} leads out of the volume")
    return resolved
