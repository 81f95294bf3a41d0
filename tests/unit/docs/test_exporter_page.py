"""The page about the exporter says what the exporter and its chart have."""

import re
from pathlib import Path

import pytest
import yaml

from exporter.families import FAMILIES
from tests.unit.docs import chart_values, exporter_tables
from tests.unit.docs.test_helm_page import schema_keys

ROOT = Path(__file__).parents[3]
CHART = chart_values.EXPORTER.values.parent
TEXT = exporter_tables.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", exporter_tables.tables())
def test_a_table_is_the_codes(name: str) -> None:
    """`python -m tests.unit.docs.exporter_tables` writes it."""
    assert exporter_tables.written(TEXT, name) == exporter_tables.tables()[name]


def test_the_table_of_values_is_the_charts() -> None:
    """`python -m tests.unit.docs.chart_values` writes it; each value has a comment and stands in the schema."""
    table = chart_values.rendered(chart_values.EXPORTER)
    assert table.count("\n") > 30
    assert chart_values.written(TEXT) == table
    assert chart_values.undocumented(chart_values.EXPORTER) == []
    ours = {each.key for each in chart_values.documented(chart_values.EXPORTER)}
    assert schema_keys(CHART) - {"global", "enabled"} == ours


def test_alerts_ask_for_metrics_that_are_there() -> None:
    """By their whole names."""
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    rules = yaml.safe_load(block)["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"spacelift_\w+", rule["expr"])}
    assert len(asked) > 4
    assert asked <= {family.name for family in FAMILIES}
    assert {*re.findall(r"`(spacelift_\w+)`", TEXT)} <= {family.name for family in FAMILIES}


def test_links_and_files_exist() -> None:
    """A reader follows them."""
    for target in re.findall(r"\]\(([^)#:\s]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
    for path in re.findall(r"(?<![\w/.-])(charts/[\w./-]*\w)", TEXT):
        assert (ROOT / path).exists(), path
