"""A container's environment, command and arguments from its spec; pure: Secrets and ConfigMaps come from a lookup."""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from devcluster.node.fields import FieldError, NodeFacts, field_value, resource_value
from devcluster.node.shapes import Json

# Returns the data of a Secret or ConfigMap (first argument is the kind), or None when there is no such object.
Lookup = Callable[[str, str], Mapping[str, bytes] | None]

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_KINDS = {
    "secretKeyRef": "Secret",
    "configMapKeyRef": "ConfigMap",
    "secretRef": "Secret",
    "configMapRef": "ConfigMap",
}


class ConfigError(Exception):
    """The container can't be configured as its spec wants; a kubelet calls it CreateContainerConfigError."""


@dataclass(frozen=True)
class Scope:
    """What values of one container may refer to."""

    pod: Json
    node: NodeFacts
    lookup: Lookup


def object_data(item: Json) -> dict[str, bytes]:
    """Return the keys and bytes of a Secret or ConfigMap object."""
    if item.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()}
    plain = {key: value.encode() for key, value in (item.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (item.get("binaryData") or {}).items()}
    return plain | binary


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; unknown names stay as written and `$$` is a plain `$`."""

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)


def environment(container: Json, scope: Scope, base: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a container on top of what its image and the node give."""
    values = dict(base)
    for source in container.get("envFrom") or []:
        values |= _all_keys(source, scope)
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _referred(container["name"], variable["valueFrom"], scope)
            if value is None:
                continue
        else:
            value = expand(variable.get("value", ""), values)
        values[variable["name"]] = value
    return values


def command_line(
    container: Json, entrypoint: list[str], cmd: list[str], values: Mapping[str, str]
) -> list[str]:
    """Return the argv: `command` replaces the image's entrypoint and its default arguments, `args` the latter."""
    command = [expand(word, values) for word in container.get("command") or []]
    args = [expand(word, values) for word in container.get("args") or []]
    argv = command + args if command else [*entrypoint, *(args or cmd)]
    if not argv:
        raise ConfigError("no command specified")
    return argv


def _all_keys(source: Json, scope: Scope) -> dict[str, str]:
    """Return what one `envFrom` source contributes."""
    kind = "secretRef" if "secretRef" in source else "configMapRef"
    reference = source[kind]
    data = scope.lookup(_KINDS[kind], reference["name"])
    if data is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{_KINDS[kind].lower()} "{reference["name"]}" not found')
    prefix = source.get("prefix", "")
    return {prefix + key: value.decode("utf-8", "replace") for key, value in data.items()}


def _referred(container: str, source: Json, scope: Scope) -> str | None:
    """Return the value a `valueFrom` refers to, or None when an optional one is missing."""
    try:
        if "fieldRef" in source:
            return field_value(scope.pod, source["fieldRef"]["fieldPath"], scope.node)
        if "resourceFieldRef" in source:
            return resource_value(scope.pod, container, source["resourceFieldRef"], scope.node)
    except FieldError as error:
        raise ConfigError(str(error)) from error
    kind = "secretKeyRef" if "secretKeyRef" in source else "configMapKeyRef"
    if kind not in source:
        raise ConfigError(f"unsupported valueFrom: {', '.join(source)}")
    return _key(_KINDS[kind], source[kind], scope)


def _key(kind: str, reference: Json, scope: Scope) -> str | None:
    """Return one key of a Secret or ConfigMap."""
    data = scope.lookup(kind, reference["name"])
    if data is not None and reference["key"] in data:
        return data[reference["key"]].decode("utf-8", "replace")
    if reference.get("optional"):
        return None
    if data is None:
        raise ConfigError(f'{kind.lower()} "{reference["name"]}" not found')
    namespace = scope.pod["metadata"]["namespace"]
    raise ConfigError(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")
