"""The pages of docs/spec as data: tables, fields, links and YAML; and the definitions that they are about.

Conventions of the pages that this relies on: a table of fields has ``Field of `spec` `` (or several such paths) in its
first head cell, and in each row the path from there; a table of reasons has ``Reason`` there. A YAML block without
``kind`` is a part of the page's own kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import yaml

from app.vocabulary import API_VERSION, WORKER_KIND, WORKER_POOL_KIND
from devcluster.kubectl import parse

Object = dict[str, Any]

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = {
    WORKER_POOL_KIND: ROOT / "docs" / "spec" / "workerpool.md",
    WORKER_KIND: ROOT / "docs" / "spec" / "worker.md",
}
_DEFINITIONS: Final = {WORKER_POOL_KIND: "workerpools", WORKER_KIND: "workers"}

POD_SHAPED: Final = frozenset(
    {
        "volumes",
        "binariesCacheVolume",
        "workspaceVolume",
        "securityContext",
        "imagePullSecrets",
        "affinity",
        "tolerations",
        "hostAliases",
        "dnsConfig",
        "topologySpreadConstraints",
        "customInitContainers",
        "additionalSidecarContainers",
        "envFrom",
        "env",
        "volumeMounts",
        "resources",
        "conditions",
    }
)
"""Fields that hold a type of Kubernetes: one field for us, documented there."""

_CODE: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_PATH: Final = re.compile(r"(?:spec|status)(?:\.[A-Za-z]+(?:\[\])?)*")
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Table:
    """A table: the headings above it (outermost first), its head, its rows; cells without the blanks around them."""

    headings: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Block:
    """A YAML document of a page, and where it stands."""

    title: str
    kind: str
    document: Object

    def pool(self) -> Object:
        """Return the pool that a fragment is a part of: named, and with credentials."""
        reference = {"secretKeyRef": {"name": "test-workerpool", "key": "token"}}
        spec = {"token": reference, "privateKey": reference, **self.document["spec"]}
        return {
            "apiVersion": API_VERSION,
            "kind": WORKER_POOL_KIND,
            "metadata": {"name": "documented"},
            **self.document,
            "spec": spec,
        }


@cache
def definition(kind: str) -> Object:
    """Return the CustomResourceDefinition of a kind."""
    path = ROOT / "crds" / f"workers.spacelift.io_{_DEFINITIONS[kind]}.yaml"
    (loaded,) = parse(path.read_text(encoding="utf-8"))
    return loaded


@cache
def schema(kind: str) -> Object:
    """Return the schema of the version that is stored."""
    (stored,) = [version for version in definition(kind)["spec"]["versions"] if version["storage"]]
    found: Object = stored["schema"]["openAPIV3Schema"]
    return found


def our_fields(kind: str) -> dict[str, Object]:
    """Return the path of each field that the page must explain, with its schema."""
    top = schema(kind)["properties"]
    return dict(_leaves({"properties": {name: top[name] for name in ("spec", "status")}}, ""))


def exists(kind: str, path: str) -> bool:
    """Tell whether a kind has a field, Kubernetes' own ones in it included; lists may be written with ``[]``."""
    found = schema(kind)
    for name in path.replace("[]", "").split("."):
        while "items" in found:
            found = found["items"]
        if name not in found.get("properties", {}):
            return bool(found.get("x-kubernetes-preserve-unknown-fields"))
        found = found["properties"][name]
    return True


def text(kind: str) -> str:
    """Return a page."""
    return PAGES[kind].read_text(encoding="utf-8")


def tables(page: str) -> list[Table]:
    """Return the tables of a page."""
    found, headings, lines = [], dict[int, str](), _FENCE.sub("", page).splitlines()
    for number, (line, following) in enumerate(pairwise(lines)):
        if level := len(line) - len(line.lstrip("#")):
            headings = {depth: each for depth, each in headings.items() if depth < level} | {
                level: line.lstrip("# ")
            }
        if line.startswith("|") and re.fullmatch(r"[|\- :]+", following):
            rows = tuple(_cells(row) for row in _while_table(lines[number + 2 :]))
            found.append(Table(tuple(headings.values()), _cells(line), rows))
    return found


def documented_fields(kind: str) -> dict[str, tuple[str, ...]]:
    """Return the path of each field in the page's tables of fields, with its row; a second row of a path is an error."""
    found: dict[str, tuple[str, ...]] = {}
    for table in tables(text(kind)):
        if not table.head[0].startswith("Field of"):
            continue
        for prefix in _CODE.findall(table.head[0]):
            for row in table.rows:
                (name,) = _CODE.findall(row[0])
                path = f"{prefix}.{name}"
                assert path not in found, f"{path} is explained twice"
                found[path] = row
    return found


def reasons(kind: str, heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of the table of reasons below a heading, by reason."""
    (table,) = [
        table for table in tables(text(kind)) if table.headings[-1] == heading and table.head[0] == "Reason"
    ]
    return {_CODE.findall(row[0])[0]: row[1:] for row in table.rows}


def mentioned_fields(page: str) -> set[str]:
    """Return every path in the page's prose that says it is a field: ``spec.poolSize``, ``status.run.phase``."""
    prose = _FENCE.sub("", page)
    return {code for code in _CODE.findall(prose) if _PATH.fullmatch(code)}


def mentioned_flags(page: str) -> set[str]:
    """Return every flag in the page's prose, without its value."""
    codes = _CODE.findall(_FENCE.sub("", page))
    return {code.split("=")[0] for code in codes if code.startswith("--")}


def links(page: str) -> list[str]:
    """Return the targets of the page's links that lead to files or headings of this repository."""
    return [target for target in _LINK.findall(_FENCE.sub("", page)) if "://" not in target]


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", _FENCE.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def chapters(page: str) -> list[str]:
    """Return the headings of the page's chapters."""
    return re.findall(r"^## +(.*)$", _FENCE.sub("", page), re.MULTILINE)


def blocks(kind: str) -> list[Block]:
    """Return the YAML documents of a page."""
    page, found = text(kind), []
    for fence in _FENCE.finditer(page):
        if fence[1] == "yaml":
            line = page.count("\n", 0, fence.start()) + 1
            for number, document in enumerate(yaml.safe_load_all(fence[2])):
                title = f"{PAGES[kind].stem}-line-{line}" + (f"-{number}" if number else "")
                found.append(Block(title, document.get("kind", kind), document))
    return found


def pools() -> list[Block]:
    """Return the documents of the pages that are pools or parts of their specs."""
    every = [block for kind in PAGES for block in blocks(kind)]
    return [block for block in every if block.kind == WORKER_POOL_KIND and "spec" in block.document]


def json_schema(structural: Object) -> Object:
    """Return a JSON Schema that also refuses unknown fields, as kubectl does before it sends anything."""
    found = {
        key: value for key, value in structural.items() if key in ("enum", "pattern", "minimum", "minLength")
    }
    if structural.get("x-kubernetes-int-or-string"):
        return found | {"type": ["integer", "string"]}
    if "type" in structural:
        found["type"] = [structural["type"]] + (["null"] if structural.get("nullable") else [])
    if "properties" in structural:
        found["properties"] = {name: json_schema(each) for name, each in structural["properties"].items()}
        if not structural.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
        found["required"] = structural.get("required", [])
    for key in ("items", "additionalProperties"):
        if isinstance(structural.get(key), dict):
            found[key] = json_schema(structural[key])
    return found


def _leaves(structural: Object, path: str) -> Iterator[tuple[str, Object]]:
    for name, child in structural["properties"].items():
        here = f"{path}.{name}" if path else name
        if name not in POD_SHAPED and "properties" in child:
            yield from _leaves(child, here)
        else:
            yield here, child


def _while_table(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield line


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
