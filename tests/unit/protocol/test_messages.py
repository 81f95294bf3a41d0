"""The message types, the published schemas and the golden examples say the same thing."""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from protocol import MAX_PAYLOAD_BYTES, messages, schema
from protocol.messages import MessageError
from protocol.runs import Reason

ROOT = Path(messages.__file__).parent
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))
KINDS = {kind.type: kind for kind in messages.FROM_WORKER + messages.FROM_MOTHERSHIP}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_golden_message_survives_parsing_and_encoding(path: Path) -> None:
    """Parsing an example and encoding it again gives the same JSON."""
    received = messages.parse(path.read_bytes())
    again = messages.encode(received.message, id=received.id, time=received.time)
    assert json.loads(again) == json.loads(path.read_text())


def test_every_message_type_has_a_schema_and_an_example() -> None:
    """No type exists in the code alone, none in the documents alone."""
    assert sorted(KINDS) == schema.schema_names()
    assert sorted(KINDS) == [path.stem for path in EXAMPLES]


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_fields_of_a_type_are_the_properties_of_its_schema(name: str) -> None:
    """A field added on one side only fails here."""
    properties = set(schema.load_schema(name)["properties"]) - {"type", "id", "time"}
    assert {messages.json_name(item.name) for item in fields(KINDS[name])} == properties


def test_the_asyncapi_document_names_every_message_once_per_direction() -> None:
    """Workers' messages are sent, the mothership's are received, as the document says from the operator's side."""
    document = yaml.safe_load((ROOT / "asyncapi.yaml").read_text())
    sent = {
        name for channel in ("fromWorker", "fromPool") for name in document["channels"][channel]["messages"]
    }
    received = {
        name for channel in ("toWorker", "toPool") for name in document["channels"][channel]["messages"]
    }
    assert sent == {kind.type for kind in messages.FROM_WORKER}
    assert received == {kind.type for kind in messages.FROM_MOTHERSHIP}


def test_unknown_fields_are_ignored() -> None:
    """A newer peer may say more."""
    data = json.loads((ROOT / "examples" / "run_released.json").read_text())
    assert messages.parse(json.dumps(data | {"novelty": {"a": 1}}).encode()) == messages.parse(
        json.dumps(data).encode()
    )


def _example(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((ROOT / "examples" / f"{name}.json").read_text())
    return data


def test_a_scheduled_run_may_leave_out_image_and_tool() -> None:
    """A mothership that knows neither field says the same as one that sends them empty."""
    data = _example("run_scheduled")
    absent = {name: value for name, value in data.items() if name not in {"runnerImage", "tool"}}
    empty = absent | {"runnerImage": "", "tool": ""}
    parsed = messages.parse(json.dumps(absent).encode())
    assert parsed == messages.parse(json.dumps(empty).encode())
    assert isinstance(parsed.message, messages.RunScheduled)
    assert (parsed.message.runner_image, parsed.message.tool) == ("", "")


@pytest.mark.parametrize("value", [None, 7, ["ansible"], "x" * 65])
def test_a_tool_that_is_no_short_text_is_refused(value: object) -> None:
    """The field's name is in the error."""
    with pytest.raises(MessageError, match="field tool"):
        messages.parse(json.dumps(_example("run_scheduled") | {"tool": value}).encode())


def test_a_rejection_carries_the_operators_own_words() -> None:
    """Message and the run's reason are optional and come through unchanged."""
    data = _example("run_rejected")
    message = messages.parse(json.dumps(data).encode()).message
    assert isinstance(message, messages.RunRejected)
    assert (message.message, message.outcome_reason) == (data["message"], Reason.INVALID_IMAGE)
    del data["message"], data["outcomeReason"]
    message = messages.parse(json.dumps(data).encode()).message
    assert isinstance(message, messages.RunRejected)
    assert (message.message, message.outcome_reason) == ("", None)


def test_a_rejection_with_a_reason_of_no_table_is_refused() -> None:
    """The reasons of outcomes are all there are."""
    with pytest.raises(MessageError, match="field outcomeReason"):
        messages.parse(json.dumps(_example("run_rejected") | {"outcomeReason": "Whatever"}).encode())


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[]", "not_json"),
        (b"{}", "unknown_type"),
        (b'{"type": ["run_scheduled"]}', "unknown_type"),
        (b'{"type": "run_exploded"}', "unknown_type"),
        (b'{"type": "run_released"}', "invalid"),
        (b" " * (MAX_PAYLOAD_BYTES + 1), "oversized"),
    ],
)
def test_rubbish_is_refused_by_kind(payload: bytes, kind: str) -> None:
    """Each kind of rubbish has a name fit for a counter's label."""
    with pytest.raises(MessageError) as caught:
        messages.parse(payload)
    assert caught.value.kind == kind


def _examples_with_one_field_gone() -> Iterator[tuple[str, str]]:
    for path in EXAMPLES:
        for name in schema.load_schema(path.stem)["required"]:
            if name != "type":
                yield path.stem, name


@pytest.mark.parametrize(("message_type", "name"), list(_examples_with_one_field_gone()))
def test_a_missing_field_is_named(message_type: str, name: str) -> None:
    """The error says which field of which message is missing."""
    data = json.loads((ROOT / "examples" / f"{message_type}.json").read_text())
    del data[name]
    with pytest.raises(MessageError, match=rf"{message_type}: .*{name} missing"):
        messages.parse(json.dumps(data).encode())


def test_an_error_never_repeats_the_payload() -> None:
    """A sealed payload of the wrong type is not quoted."""
    data = json.loads((ROOT / "examples" / "run_scheduled.json").read_text())
    with pytest.raises(MessageError) as caught:
        messages.parse(json.dumps(data | {"payload": ["s3cr3t"]}).encode())
    assert "s3cr3t" not in str(caught.value)
    assert "payload" in str(caught.value)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_a_message_error(payload: bytes) -> None:
    """Nothing else ever comes out of the edge."""
    try:
        messages.parse(payload)
    except MessageError:
        return
