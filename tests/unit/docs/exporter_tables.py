"""The tables of docs/exporter.md that are made of the code.

``python -m tests.unit.docs.exporter_tables`` writes them into the page.
"""

from __future__ import annotations

import re

from exporter.families import FAMILIES, PARTS
from exporter.settings import OPTIONS
from tests.unit.docs.chart_values import EXPORTER, put

PAGE = EXPORTER.page


def tables() -> dict[str, str]:
    """Return the text between each pair of marks, as it should be."""
    flags = "".join(
        f"| `--{option.name}`{f', `-{option.short}`' if option.short else ''} | `{option.variable}` "
        f"| {f'`{option.default}`' if option.default else ''} | {option.meaning} |\n"
        for option in OPTIONS
    )
    metrics = "".join(
        f"| `{family.name}` | {', '.join(f'`{label}`' for label in family.labels)} | {family.help} |\n"
        for family in FAMILIES
    )
    return {
        "flags": f"| flag | variable | default | meaning |\n|---|---|---|---|\n{flags}",
        "metrics": f"| metric | labels | meaning |\n|---|---|---|\n{metrics}",
        "parts": f"{', '.join(f'`{part}`' for part in PARTS)}.\n",
    }


def written(page: str, name: str) -> str:
    """Return what stands between the marks of a page."""
    found = re.search(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", page, re.DOTALL)
    return found[1] if found else ""


def main() -> None:
    """Write the tables."""
    for name, text in tables().items():
        put(PAGE, name, text)


if __name__ == "__main__":
    main()
