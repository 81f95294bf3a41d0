"""What answers mean, to the field; and what is shown of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import build_schema, parse, validate
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from exporter import documents
from exporter.answers import data_of
from exporter.errors import AnswerError, ApiError, UnauthorizedError, UnsupportedError
from exporter.families import FAMILIES, Build, OneScrape, Outcome, Scrape, metrics_of
from exporter.snapshot import schedulable_of, snapshot_of, waiting_of
from tests.unit.exporter.api_double import SCHEMA, account

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def changed(path: str, value: object) -> dict[str, Any]:
    """Return an account with another value at a path."""
    data = account()
    target: Any = data
    *way, last = path.split("/")
    for step in way:
        target = target[int(step) if step.isdecimal() else step]
    target[last] = value
    return data


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"errors": [{"message": "unauthorized"}], "data": None}, UnauthorizedError),
        (200, {"errors": [{"message": "You are Unauthorized: x"}]}, UnauthorizedError),
        (401, "nobody", UnauthorizedError),
        (422, {"errors": [{"message": 'Cannot query field "x" on type "Y".'}]}, UnsupportedError),
        (200, {"errors": [{"message": "usage is not available for machine sessions"}]}, UnsupportedError),
        (200, {"errors": [{"message": "boom"}], "data": {"usage": 1}}, ApiError),
        (200, {"errors": [{}]}, ApiError),
        (204, "", ApiError),
        (200, [], AnswerError),
        (200, {"data": []}, AnswerError),
    ],
)
def test_each_failure_has_its_kind(status: int, body: object, error: type[Exception]) -> None:
    """By what is to be done about it."""
    with pytest.raises(ApiError) as failed:
        data_of(status, json.dumps(body).encode())
    assert type(failed.value) is error


def test_status_201_and_empty_errors_are_fine() -> None:
    """Both are seen; extensions and keys that nobody asked for do no harm."""
    assert data_of(201, b'{"data":{"a":1},"errors":[],"extensions":{}}') == {"a": 1}
    assert data_of(200, b'{"data":{"a":1},"errors":null,"more":2}') == {"a": 1}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("workerPools", None, "workerPools: expected a list, not null or nothing"),
        ("workerPools/0/pendingRuns", None, "workerPools[0].pendingRuns: expected an integer, not null"),
        ("workerPools/0/pendingRuns", 1.0, "workerPools[0].pendingRuns: expected an integer, not a number"),
        ("workerPools/0/busyWorkers", True, "workerPools[0].busyWorkers: expected an integer, not a boolean"),
        ("workerPools/0/id", 7, "workerPools[0].id: expected a text, not an integer"),
        ("workerPools/0/workers", {}, "workerPools[0].workers: expected a list, not an object"),
        ("workerPools/0/workers", [{"id": "w"}], "workerPools[0].workers[0].drained: expected true or false"),
        ("workerPools", [account()["workerPools"][0]] * 2, "workerPools: the id '01JPOOL' is there twice"),
        ("usage/usedSeats", "5", "usage.usedSeats: expected an integer, not a text"),
        ("publicWorkerPool", [], "publicWorkerPool: expected an object, not a list"),
        ("metrics/averageRunDuration", [{"value": "1"}], "metrics.averageRunDuration[0].value: expected a"),
        (
            "metrics/stacksCountByState",
            [{"value": 1, "labels": ["A"]}] * 2,
            "metrics.stacksCountByState: the label 'A' is there twice",
        ),
    ],
)
def test_a_field_that_isnt_what_the_schema_promises_is_named(path: str, value: object, said: str) -> None:
    """In the place of a zero."""
    with pytest.raises(AnswerError) as failed:
        snapshot_of(changed(path, value))
    assert said in str(failed.value)


@pytest.mark.parametrize(
    "value", [None, [], [{"value": None, "labels": ["A"]}], [{"value": 1, "labels": []}]]
)
def test_statistics_that_arent_there_are_left_out(value: object) -> None:
    """No pool is scaled by them, so they fail no scrape."""
    found = snapshot_of(changed("metrics/stacksCountByState", value)).statistics
    assert found
    assert found.stacks_by_state == {}


@given(st.sampled_from(("workerPools", "usage", "metrics", "workerPools/0", "usage/usedSeats")), ANYTHING)
def test_whatever_comes_is_read_or_refused(path: str, value: object) -> None:
    """Never anything but an AnswerError; what is read can be shown."""
    data = account()
    if "/" in path:
        root, _, last = path.partition("/")
        data[root] = [value] if last == "0" else {**data[root], last: value}
    else:
        data[path] = value
    for read in (snapshot_of, schedulable_of, waiting_of):
        try:
            found = read(data)
        except AnswerError:
            continue
        if read is snapshot_of:
            shown = Scrape(
                snapshot=found,  # type: ignore[arg-type]
                build=Build(version="1", commit="c"),
                seconds=0.1,
                outcomes={"usage": Outcome.GOT},
            )
            assert generate_latest(OneScrape(metrics_of(shown)).registry())


def test_documents_are_valid_for_the_schema() -> None:
    """Each by itself, under its name."""
    schema = build_schema(SCHEMA)
    for operation in (
        documents.EXCHANGE,
        documents.SCRAPE,
        documents.POOLS_ONLY,
        documents.SCHEDULABLE,
        documents.WAITING,
    ):
        assert validate(schema, parse(operation.document)) == []
        assert f"query {operation.name}{{" in operation.document or not operation.name


def test_names_follow_the_rules_of_prometheus() -> None:
    """One name once, one unit, a help; no name says a type that it isn't."""
    names = [family.name for family in FAMILIES]
    assert len(names) == len({*names})
    for family in FAMILIES:
        assert family.name.startswith("spacelift_")
        assert not family.name.endswith("_total")
        assert family.help
