"""The whole run Pod of whole pools, in files that a person can read.

After a change on purpose, ``UPDATE_GOLDEN=1 python -m pytest tests/unit/children/test_golden_pods.py`` writes the
Pods anew; the difference is then reviewed like code.
"""

import os
from typing import Any

import pytest
import yaml

from tests.unit.children.pods import GOLDEN, Object, built, pool_settings

CASES = {
    "minimal": ("minimal", False),
    "all-options": ("all-options", False),
    "sidecars": ("sidecars", False),
    "sidecars-native": ("sidecars", True),
    "as-root": ("as-root", False),
}
"""Golden Pod -> the pool it comes from, and whether the cluster has native sidecars."""


def text(name: str, pod: Object) -> str:
    """Return what the golden file of that Pod holds."""
    pool, native = CASES[name]
    cluster = "a cluster with native sidecars" if native else "a cluster without native sidecars"
    origin = f"# The run Pod of {pool}.pool.yaml in {cluster}; written by test_golden_pods.py.\n"
    return origin + yaml.safe_dump(pod, sort_keys=False, width=110)


@pytest.mark.parametrize("name", CASES)
def test_a_pools_run_pod_is_the_golden_one(name: str) -> None:
    """Field by field and in the order of the file."""
    pool, native = CASES[name]
    path = GOLDEN / f"{name}.pod.yaml"
    made = text(name, built(pool_settings(pool), native_sidecars=native))
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(made, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == made


def test_the_example_left_empty_gives_the_minimal_pod() -> None:
    """Null and empty options of the documents count as not given."""
    assert built(pool_settings("empty-options")) == built()


def test_no_golden_file_is_left_over() -> None:
    """Each one is compared by a test."""
    pools = {pool for pool, _ in CASES.values()} | {"empty-options"}
    expected = {f"{name}.pod.yaml" for name in CASES} | {f"{pool}.pool.yaml" for pool in pools}
    assert {path.name for path in GOLDEN.iterdir()} == expected


def test_building_changes_neither_settings_nor_a_pod_built_before() -> None:
    """The settings come from a cache of requests, and two Pods share nothing that one could change."""
    settings = pool_settings("all-options")
    first = built(settings)
    before = yaml.safe_dump(first)
    spoil(built(settings))
    assert settings == pool_settings("all-options")
    assert yaml.safe_dump(first) == before


def spoil(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Empty every object and list below `value`."""
    if not isinstance(value, (dict, list)):
        return
    for item in list(value.values() if isinstance(value, dict) else value):
        spoil(item)
    value.clear()
