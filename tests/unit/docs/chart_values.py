"""The tables of the charts' values in docs/helm.md and docs/exporter.md, made from the comments in the values.

``python -m tests.unit.docs.chart_values`` writes them into the pages.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Table:
    """A table, and what it is made of."""

    page: Path
    values: Path


OPERATOR = Table(
    ROOT / "docs" / "helm.md", ROOT / "charts" / "spacelift-workerpool-controller" / "values.yaml"
)
EXPORTER = Table(ROOT / "docs" / "exporter.md", ROOT / "charts" / "spacelift-promex" / "values.yaml")
HEAD = "| value | default | meaning |\n|---|---|---|\n"
_KEY = re.compile(r"( *)([\w-]+):(?: |$)")


@dataclass(frozen=True)
class Value:
    """One value that users set."""

    key: str
    """With dots."""
    default: Any
    meaning: str


def documented(table: Table = OPERATOR) -> list[Value]:
    """Return every value with a comment."""
    text = table.values.read_text(encoding="utf-8")
    defaults = yaml.safe_load(text)
    found: list[Value] = []
    way: list[str] = []
    meaning = ""
    for line in text.splitlines():
        if line.lstrip().startswith("# -- "):
            meaning = line.lstrip().removeprefix("# -- ")
        elif key := _KEY.match(line):
            way = [*way[: len(key[1]) // 2], key[2]]
            if meaning:
                found.append(Value(".".join(way), _at(defaults, way), meaning))
                meaning = ""
    return found


def undocumented(table: Table = OPERATOR) -> list[str]:
    """Return the values that no comment describes, neither theirs nor that of what they are part of."""
    known = tuple(each.key for each in documented(table))

    def unknown(values: Any, path: str) -> list[str]:  # noqa: ANN401 - any value
        if path in known:
            return []
        if isinstance(values, dict) and values:
            return [
                each
                for key, value in values.items()
                for each in unknown(value, f"{path}.{key}" if path else key)
            ]
        return [path]

    return unknown(yaml.safe_load(table.values.read_text(encoding="utf-8")), "")


def rendered(table: Table = OPERATOR) -> str:
    """Return the table as it should be."""
    rows = (f"| `{each.key}` | `{_short(each.default)}` | {each.meaning} |\n" for each in documented(table))
    return HEAD + "".join(rows)


def written(page: str) -> str:
    """Return the table as it is in the page."""
    found = re.search(r"<!-- values: begin -->\n(.*?)<!-- values: end -->", page, re.DOTALL)
    return found[1] if found else ""


def _at(values: Any, way: list[str]) -> Any:  # noqa: ANN401 - any value
    for step in way:
        values = values[step]
    return values


def _short(value: Any) -> str:  # noqa: ANN401 - any value
    return value if isinstance(value, str) and value else json.dumps(value)


def put(page: Path, name: str, text: str) -> None:
    """Write a text between the marks of its name in a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name}: begin -->\n")
    _, end, after = rest.partition(f"<!-- {name}: end -->")
    page.write_text(f"{before}<!-- {name}: begin -->\n{text}{end}{after}", encoding="utf-8")


def main() -> None:
    """Write the tables."""
    for table in (OPERATOR, EXPORTER):
        put(table.page, "values", rendered(table))


if __name__ == "__main__":
    main()
