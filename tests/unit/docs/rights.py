"""The tables of docs/rbac.md, made from the manifests: each rule with the comment above it.

``python -m tests.unit.docs.rights`` writes them into the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "rbac.md"
TABLES = {
    "rules": ("components/all-namespaces/rbac.yaml", "base/rbac.yaml", "components/metrics/rbac.yaml"),
    "announcer": ("components/namespaces/rbac.yaml",),
    "metacontroller": ("metacontroller/rbac.yaml", "metacontroller/secret-reader.yaml"),
}
"""Name of a table in the page -> files below manifests/ that it is made of."""

LEFT_OUT = {"announcer": "spacelift-workerpool-controller-manager-role"}
"""A role that is in another table already."""


def table(name: str) -> str:
    """Return a table as it should be."""
    head = "| role | in | group | resources | verbs | why |\n|---|---|---|---|---|---|\n"
    return head + "".join(
        row for file in TABLES[name] for row in _rows(ROOT / "manifests" / file, LEFT_OUT.get(name))
    )


def written(page: str, name: str) -> str:
    """Return a table as it is in the page."""
    found = re.search(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", page, re.DOTALL)
    return found[1] if found else ""


def _rows(file: Path, left_out: str | None) -> Iterator[str]:
    for text in file.read_text(encoding="utf-8").split("\n---\n"):
        document = yaml.safe_load(text)
        if document["kind"] not in ("Role", "ClusterRole") or document["metadata"]["name"] == left_out:
            continue
        reasons = re.findall(r"^  # (.+)\n  - (?:apiGroups|nonResourceURLs)", text, re.MULTILINE)
        where = document["metadata"].get("namespace") or "the cluster"
        for rule, reason in zip(document["rules"], reasons, strict=True):
            groups = ", ".join(group or "core" for group in rule.get("apiGroups", ["-"]))
            names = rule.get("resourceNames")
            what = ", ".join(rule.get("resources") or rule["nonResourceURLs"])
            what += f" ({', '.join(names)})" if names else ""
            cells = [document["metadata"]["name"].removeprefix("spacelift-workerpool-controller-"), where]
            yield f"| {' | '.join([*cells, groups, what, ', '.join(rule['verbs']), reason])} |\n"


def main() -> None:
    """Write the tables."""
    page = PAGE.read_text(encoding="utf-8")
    for name in TABLES:
        begin, end = (f"<!-- {name}: {word} -->\n" for word in ("begin", "end"))
        before, rest = page.split(begin)
        page = before + begin + table(name) + end + rest.split(end, 1)[1]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
