"""Answers of the API server become errors by their status and reason, and keep the server's words."""

from __future__ import annotations

import orjson
import pytest

from app.cluster import errors


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.Invalid),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (415, "UnsupportedMediaType", errors.Invalid),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.Unavailable),
        (503, "ServiceUnavailable", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
    ],
)
def test_a_status_becomes_its_error(status: int, reason: str, kind: type[errors.ApiError]) -> None:
    """Type, message, reason and details come from the Status object."""
    body = orjson.dumps({"kind": "Status", "reason": reason, "message": "because", "details": {"name": "x"}})
    error = errors.error_from_response("GET /x", status, body)
    assert type(error) is kind
    assert (error.message, error.reason, error.status, error.details) == (
        "because",
        reason,
        status,
        {"name": "x"},
    )
    assert str(error) == "GET /x: because"


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"", "the API server answered 502"), (b"<html>", "<html>"), (b"[]", "the API server answered 502")],
)
def test_an_answer_that_is_no_status_object_is_an_error_too(body: bytes, message: str) -> None:
    """Proxies answer in HTML or not at all."""
    error = errors.error_from_response("GET /x", 502, body)
    assert (type(error), error.message) == (errors.Unavailable, message)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({}, {"details": {"retryAfterSeconds": 3}}, 3.0),
        ({}, {}, 1.0),
        ({"Retry-After": "soon"}, {}, 1.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}, 0.0),
        ({"Retry-After": "\N{SUPERSCRIPT TWO}"}, {}, 1.0),
        ({"Retry-After": "30"}, {}, 30.0),
        ({"Retry-After": "31"}, {}, 30.0),
        ({"Retry-After": "9" * 400}, {}, 30.0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, {}, 30.0),
        ({}, {"details": {"retryAfterSeconds": 86400}}, 30.0),
        ({}, {"details": {"retryAfterSeconds": -1}}, 0.0),
    ],
)
def test_too_many_requests_says_how_long_to_wait(
    headers: dict[str, str], body: dict[str, object], seconds: float
) -> None:
    """The header wins, then the Status object, then a second; nobody has to wait longer than half a minute."""
    error = errors.error_from_response("GET /x", 429, orjson.dumps(body), headers)
    assert error.retry_after == seconds
