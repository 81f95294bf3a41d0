"""The pages of docs/spec say what the definitions and the code say: no more, no less, nothing else."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest

from app.reasons import CONDITIONS, EVENTS
from app.settings import Settings, flag_of
from app.vocabulary import (
    CREDENTIALS_VOLUME,
    DEFAULT_ACTIVE_DEADLINE_SECONDS,
    DEFAULT_ANSIBLE_RUNNER_IMAGE,
    DEFAULT_FAILED_HISTORY,
    DEFAULT_RUNNER_IMAGE,
    RESERVED_CONTAINERS,
    RESERVED_PREFIX,
    RESERVED_VARIABLES,
    WORKER_KIND,
    WORKER_POOL_KIND,
)
from tests.unit.docs import pages

KINDS = (WORKER_POOL_KIND, WORKER_KIND)
TYPES = {
    "integer": ("integer",),
    "boolean": ("boolean",),
    "string": ("string", "duration", "time"),
    "array": ("list of",),
    "object": ("map of", "volume", "affinity", "DNS", "resources", "security", "Pod security"),
}
"""Type in a schema -> how the pages begin to say it."""

FILLED_IN = {
    "failedPodsHistoryLimit": DEFAULT_FAILED_HISTORY,
    "pod.activeDeadlineSeconds": DEFAULT_ACTIVE_DEADLINE_SECONDS,
    "pod.defaultRunnerImage": DEFAULT_RUNNER_IMAGE,
    "pod.defaultAnsibleRunnerImage": DEFAULT_ANSIBLE_RUNNER_IMAGE,
}
"""Field of a pool's spec -> its default."""

KUBECTL_FLAGS = {"--namespace", "--replicas", "--wait"}
"""Flags that the pages' prose mentions and that are kubectl's."""

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_every_field_is_explained_and_no_other(kind: str) -> None:
    """One row for each field of ours; Kubernetes' own types count as one field."""
    assert sorted(pages.documented_fields(kind)) == sorted(pages.our_fields(kind))


@each_kind
def test_types_and_defaults_are_those_of_the_definition(kind: str) -> None:
    """The second column is the schema's type, the third its default where it has one."""
    rows = pages.documented_fields(kind)
    for path, schema in pages.our_fields(kind).items():
        assert rows[path][1].startswith(TYPES[schema["type"]]), path
        if "default" in schema:
            assert rows[path][2] == f"`{schema['default']}`".lower(), path


@each_kind
def test_no_page_mentions_a_field_that_does_not_exist(kind: str) -> None:
    """Both pages may mention fields of both kinds."""
    mentioned = pages.mentioned_fields(pages.text(kind))
    assert mentioned
    assert {path for path in mentioned if not any(pages.exists(each, path) for each in KINDS)} == set()


def test_the_pages_have_the_same_chapters() -> None:
    """Whoever knows one page finds their way on the other."""
    assert pages.chapters(pages.text(WORKER_KIND)) == [
        chapter.replace("WorkerPools", "Workers") for chapter in pages.chapters(pages.text(WORKER_POOL_KIND))
    ]


@pytest.mark.parametrize(("kind", "condition"), CONDITIONS, ids=[" ".join(each) for each in CONDITIONS])
def test_the_reasons_of_a_condition_are_those_of_the_code(kind: str, condition: str) -> None:
    """Word for word: the table in app.reasons is the source."""
    expected = {reason: (meaning,) for reason, meaning in CONDITIONS[kind, condition].items()}
    assert pages.reasons(kind, condition) == expected


@each_kind
def test_no_condition_is_described_that_nobody_writes(kind: str) -> None:
    """Every heading below Conditions is a condition of the code."""
    described = {
        table.headings[-1] for table in pages.tables(pages.text(kind)) if "Conditions" in table.headings
    }
    assert described == {condition for each, condition in CONDITIONS if each == kind}


@each_kind
def test_the_events_are_those_of_the_code(kind: str) -> None:
    """With their type."""
    expected = {reason: told for (each, reason), told in EVENTS.items() if each == kind}
    assert pages.reasons(kind, "Events") == expected


@each_kind
def test_links_within_the_repository_lead_somewhere(kind: str) -> None:
    """To files, and to headings of pages."""
    assert broken_links(pages.PAGES[kind]) == []


@each_kind
def test_the_yaml_of_a_page_fits_the_definition(kind: str) -> None:
    """Types, required fields, enumerations; a misspelt field is a fault."""
    blocks = pages.blocks(kind)
    assert blocks
    for block in blocks:
        document = block.pool() if block.kind == WORKER_POOL_KIND else block.document
        schema = pages.json_schema(pages.schema(block.kind))
        errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
        assert [(block.title, error.json_path, error.message) for error in errors] == []


def test_defaults_that_the_code_fills_in_are_the_codes() -> None:
    """They are not in the definition, because absent has to stay absent: it means another thing for each run."""
    rows = pages.documented_fields(WORKER_POOL_KIND)
    documented = {path: rows[f"spec.{path}"][2].strip("`") for path in FILLED_IN}
    assert documented == {path: str(value) for path, value in FILLED_IN.items()}


def test_everything_reserved_is_named() -> None:
    """Whoever uses such a name is refused: the page says so before."""
    page = pages.text(WORKER_POOL_KIND)
    reserved = (*RESERVED_VARIABLES, *RESERVED_CONTAINERS, CREDENTIALS_VOLUME, RESERVED_PREFIX)
    assert [name for name in reserved if f"`{name}`" not in page] == []


@each_kind
def test_flags_of_the_operator_that_a_page_mentions_exist(kind: str) -> None:
    """Settings get renamed; the page would go on sending people to the old name."""
    known = {flag_of(field.name) for field in fields(Settings)}
    assert pages.mentioned_flags(pages.text(kind)) <= known | KUBECTL_FLAGS


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    broken = []
    for target in pages.links(page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in pages.anchors(path.read_text(encoding="utf-8"))):
            broken.append(target)
    return broken
