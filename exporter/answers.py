"""What an HTTP answer of the API means: data, or which kind of failure. Functions of status and body."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from exporter.errors import AnswerError, ApiError, UnauthorizedError, UnsupportedError

Json = Mapping[str, Any]

_LONGEST: Final = 100_000
"""Characters of a message of the API's that are kept; whoever shows it takes secrets out and cuts it then."""

_GATED: Final = "not available for machine sessions"
_UNKNOWN_FIELD: Final = re.compile(
    r"cannot query field|unknown field|undefined field|(?:doesn't|does not) exist on type|is not defined (?:on|by) type",
    re.IGNORECASE,
)


def data_of(status: int, body: bytes) -> Json:
    """Return the answer's `data`; raise the ApiError that tells what to do.

    GraphQL errors come with status 200 as a rule, but not with every server, so they are looked for in any answer.
    """
    found = _object(body)
    messages = list(_messages(found))
    if messages:
        raise _refusal("; ".join(messages))
    if status not in (200, 201):
        text = body.decode("utf-8", "replace").strip()
        raise _refusal(f"HTTP status {status}: {text[:_LONGEST]}".rstrip(": "), unauthorized=status == 401)
    if not isinstance(found, dict):
        raise AnswerError("the answer isn't a JSON object; is the endpoint that of the API?")
    data = found.get("data")
    if not isinstance(data, dict):
        raise AnswerError("data: expected an object")
    return cast("Json", data)


def _object(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _messages(found: object) -> Iterator[str]:
    errors = found.get("errors") if isinstance(found, dict) else None
    if not isinstance(errors, Sequence) or isinstance(errors, str):
        return
    for each in errors:
        message = each.get("message") if isinstance(each, dict) else None
        yield (message if isinstance(message, str) else "an error without a message")[:_LONGEST]


def _refusal(text: str, *, unauthorized: bool = False) -> ApiError:
    if _GATED in text.lower() or _UNKNOWN_FIELD.search(text):
        return UnsupportedError(text)
    if unauthorized or "unauthorized" in text.lower():
        return UnauthorizedError(text)
    return ApiError(text)
