"""The samples are described, complete and hold no credentials."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.vocabulary import WORKER_POOL_KIND
from tests.unit.docs import pages
from tests.unit.docs.test_spec_pages import broken_links

FOLDER = pages.ROOT / "manifests" / "samples"
SAMPLES = sorted(FOLDER.glob("*.yaml"))
README = FOLDER / "README.md"

NOT_IN_ALL_OPTIONS = {
    "spec.space",
    "spec.description",
    "spec.driftDetectionRunLimits.disabled",
    "spec.driftDetectionRunLimits.maxRuns",
    "spec.spaceliftAPICredentials.secretKeyRef.name",
    "spec.token.secretKeyRef.optional",
    "spec.privateKey.secretKeyRef.optional",
}
"""Options that have no effect on a pool with a token of its own, or none at all."""


def documents(sample: Path) -> list[dict[str, Any]]:
    """Return the objects of a sample."""
    return list(yaml.safe_load_all(sample.read_text(encoding="utf-8")))


def pool(sample: Path) -> dict[str, Any]:
    """Return the one pool of a sample."""
    (found,) = [document for document in documents(sample) if document["kind"] == WORKER_POOL_KIND]
    return found


def has(document: Any, path: str) -> bool:  # noqa: ANN401 - any YAML value
    """Tell whether an object has a field, with whatever value."""
    name, _, rest = path.partition(".")
    return isinstance(document, dict) and name in document and (not rest or has(document[name], rest))


def test_the_readme_lists_every_sample_and_its_links_lead_somewhere() -> None:
    """One row for each file."""
    (table,) = [
        table for table in pages.tables(README.read_text(encoding="utf-8")) if table.head[0] == "file"
    ]
    listed = [re.fullmatch(r"\[(.*)\]\(\1\)", row[0]) for row in table.rows]
    assert sorted(found[1] for found in listed if found) == [sample.name for sample in SAMPLES]
    assert all(row[1] for row in table.rows)
    assert broken_links(README) == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_begins_with_what_it_is_for(sample: Path) -> None:
    """A comment of a sentence or more."""
    first = sample.read_text(encoding="utf-8").splitlines()[0]
    assert re.fullmatch(r"# [A-Z].{30,}", first)


def test_samples_can_be_applied_side_by_side() -> None:
    """No two of them make the same object."""
    made = [
        (document["kind"], document["metadata"]["name"])
        for sample in SAMPLES
        for document in documents(sample)
    ]
    assert len(made) == len(set(made))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_holds_no_secret(sample: Path) -> None:
    """Neither a Secret nor anything that could be a key."""
    assert "Secret" not in [document["kind"] for document in documents(sample)]
    text = sample.read_text(encoding="utf-8")
    assert "PRIVATE KEY" not in text
    for word in re.findall(r"[A-Za-z0-9+/=]{60,}", text):
        with pytest.raises(binascii.Error):
            base64.b64decode(word, validate=True)


def test_the_sample_of_all_options_has_all_of_them() -> None:
    """A field that comes to the definition comes to the sample."""
    fields = {path for path in pages.our_fields(WORKER_POOL_KIND) if path.startswith("spec.")}
    options = pool(FOLDER / "workerpool-all-options.yaml")
    assert {path for path in fields if not has(options, path)} == NOT_IN_ALL_OPTIONS & fields
    assert fields >= NOT_IN_ALL_OPTIONS
