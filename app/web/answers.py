"""JSON answers of the web layer."""

from __future__ import annotations

import orjson
from flask import Response

from app.contract.fields import JsonObject


def json_answer(body: JsonObject, status: int = 200) -> Response:
    """Return `body` as a JSON response with a final newline, for people with curl."""
    return Response(
        orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE), status=status, mimetype="application/json"
    )


def error_answer(status: int, reason: str, message: str, field: str | None = None) -> Response:
    """Return an error: what was wrong, and at which field where there is one."""
    return json_answer({"error": {"reason": reason, "field": field, "message": message}}, status)
