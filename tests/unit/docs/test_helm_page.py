"""The page about the chart says what the chart has."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from app.vocabulary import SCHEMA_REVISION_ANNOTATION
from tests.unit.docs import chart_values

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "spacelift-workerpool-controller"
PAGE = chart_values.OPERATOR.page


def schema_keys(chart: Path) -> set[str]:
    """Return the values that a chart's schema knows, with dots."""
    found: set[str] = set()

    def walk(part: dict[str, Any], path: str) -> None:
        if not part.get("properties"):
            found.add(path)
        for name, child in part.get("properties", {}).items():
            walk(child, f"{path}.{name}" if path else name)

    walk(json.loads((chart / "values.schema.json").read_text(encoding="utf-8")), "")
    return found


def test_the_table_of_values_is_the_charts() -> None:
    """`python -m tests.unit.docs.chart_values` writes it."""
    table = chart_values.rendered()
    assert table.count("\n") > 50
    assert chart_values.written(PAGE.read_text(encoding="utf-8")) == table


def test_every_value_has_a_comment() -> None:
    """One that starts with `# --`; the parser finds each where YAML does."""
    assert chart_values.undocumented() == []


def test_the_schema_knows_every_value_and_no_other() -> None:
    """Maps that users fill end the way."""
    ours = {each.key for each in chart_values.documented()}
    assert {each for each in schema_keys(CHART) if not each.endswith("global")} == ours


def test_links_and_files_exist() -> None:
    """A reader follows them."""
    text = PAGE.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
    for path in re.findall(r"(?<![\w/.-])((?:manifests|charts)/[\w./-]*\w)", text):
        assert (ROOT / path).exists(), path


def test_the_charts_version_is_the_products() -> None:
    """The image's tag, and both charts'."""
    project = re.search(
        r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert project
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    crds = yaml.safe_load((CHART / "charts" / "crds" / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == project[1]
    exporter = yaml.safe_load(
        (CHART / "charts" / "spacelift-promex" / "Chart.yaml").read_text(encoding="utf-8")
    )
    assert [each["version"] for each in chart["dependencies"]] == [crds["version"], exporter["version"]]
    assert exporter["appVersion"] == project[1]


def test_the_definitions_of_the_chart_are_the_generated_ones() -> None:
    """By link, so that they can't differ; where they are annotated, one annotation is there before."""
    files = sorted((CHART / "charts" / "crds" / "files").iterdir())
    assert [each.resolve().parent for each in files] == [ROOT / "crds"] * 2
    assert {each.name for each in files} == {each.name for each in (ROOT / "crds").glob("workers.*.yaml")}
    for each in files:
        text = each.read_text(encoding="utf-8")
        assert text.count("\n  annotations:\n") == 1
        assert SCHEMA_REVISION_ANNOTATION in text.split("\n  annotations:\n")[1].split("\nspec:")[0]
