"""The built-in kinds of each Kubernetes minor version, field by field, from that version's published OpenAPI.

The Python client of each minor is generated from that release's OpenAPI document, so its models are that document in
another form: names, types, required fields and enumerations. They are read as text from the client's wheel, which pip
fetches once into the cache; nothing of them is imported or installed.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from devcluster import paths

CLIENTS = {
    "1.26": "26.1.0",
    "1.27": "27.2.0",
    "1.28": "28.1.0",
    "1.29": "29.0.0",
    "1.30": "30.1.0",
    "1.31": "31.0.0",
    "1.32": "32.0.1",
    "1.33": "33.1.0",
    "1.34": "34.1.0",
    "1.35": "35.0.0",
    "1.36": "36.0.3",
    "1.37": "37.0.2",
}
"""Kubernetes' minor version -> version of the client that was generated from it."""

_REQUIRED = re.compile(r"Invalid value for `(\w+)`, must not be `None`")
_ENUM = re.compile(r"def (\w+)\(self, \w+\):(?:(?!\n    def ).)*?allowed_values = (\[[^\]]*\])", re.DOTALL)


class Models:
    """The models of one minor version."""

    def __init__(self, wheel: Path) -> None:
        self._wheel = zipfile.ZipFile(wheel)
        self._names = set(self._wheel.namelist())

    def faults(self, document: Any) -> list[str]:  # noqa: ANN401 - a Kubernetes object
        """Return what is wrong with an object, each with the path of its field."""
        return self._object(document, f"V1{document['kind']}", str(document["kind"]))

    def knows(self, kind: str) -> bool:
        """Return whether the version has this kind, as v1."""
        return _file(f"V1{kind}") in self._names

    @cache  # noqa: B019 - lives as long as the tests
    def _model(self, name: str) -> tuple[dict[str, str], dict[str, str], set[str], dict[str, list[str]]]:
        text = self._wheel.read(_file(name)).decode()
        found: dict[str, dict[str, str]] = {}
        needed = set(_REQUIRED.findall(text))
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if not isinstance(target, ast.Name):
                continue
            if target.id in ("openapi_types", "attribute_map"):
                found[target.id] = ast.literal_eval(node.value or ast.Dict([], []))
            elif isinstance(node, ast.AnnAssign) and _is_needed(node):
                needed.add(target.id)
        names = found["attribute_map"]
        types = {names[field]: kind for field, kind in found["openapi_types"].items()}
        required = {names[field] for field in needed & names.keys()}
        enums = {names[field]: ast.literal_eval(values) for field, values in _ENUM.findall(text)}
        return types, names, required, enums

    def _object(self, value: Any, model: str, path: str) -> list[str]:  # noqa: ANN401
        if not isinstance(value, dict):
            return [f"{path}: expected {model}"]
        types, _, required, enums = self._model(model)
        faults = [f"{path}.{name}: unknown" for name in value.keys() - types.keys()]
        faults += [f"{path}.{name}: missing" for name in required - value.keys()]
        for name in value.keys() & types.keys():
            place = f"{path}.{name}"
            faults += self._value(value[name], types[name], place)
            if name in enums and value[name] not in enums[name]:
                faults.append(f"{place}: {value[name]!r} is none of {enums[name]}")
        return faults

    def _value(self, value: Any, kind: str, path: str) -> list[str]:  # noqa: ANN401
        if "|" in kind or kind.startswith("Union["):
            return []
        if inner := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
            if not isinstance(value, list):
                return [f"{path}: expected a list"]
            return [
                fault
                for number, item in enumerate(value)
                for fault in self._value(item, inner[1], f"{path}[{number}]")
            ]
        if inner := re.fullmatch(r"[Dd]ict[(\[]str, (.+)[)\]]", kind):
            if not isinstance(value, dict):
                return [f"{path}: expected a map"]
            return [
                fault for key, item in value.items() for fault in self._value(item, inner[1], f"{path}.{key}")
            ]
        if kind in _PLAIN:
            return [] if isinstance(value, _PLAIN[kind]) else [f"{path}: expected {kind}"]
        return self._object(value, kind, path)


_PLAIN: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "object": object,
    "Any": object,
    "datetime": str,
}


def _is_needed(field: ast.AnnAssign) -> bool:
    """Return whether a field of a model of the newer clients (pydantic's) has to be there."""
    kind = ast.unparse(field.annotation)
    return field.simple == 1 and not kind.startswith(("Optional[", "ClassVar[", "Any"))


def _file(model: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", model).lower()
    return f"kubernetes/client/models/{words}.py"


@cache
def models(minor: str) -> Models:
    """Return the models of a minor version, fetching its client the first time."""
    folder = paths.cache() / "kubernetes-clients"
    version = CLIENTS[minor]
    wheels = list(folder.glob(f"kubernetes-{version}-*.whl"))
    if not wheels:
        subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                ),
                *("--only-binary=:all:", f"--dest={folder}", f"kubernetes=={version}"),
            ],
            check=True,
        )
        wheels = list(folder.glob(f"kubernetes-{version}-*.whl"))
    return Models(wheels[0])
