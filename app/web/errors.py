"""Errors become JSON with a status that Metacontroller and people understand.

HookRequestError   400 InvalidRequest       the body isn't a hook call; the field is named
HTTPException      its own status           unknown path, wrong method, body too large
anything else      500 InternalError        logged with its traceback, answered without it
"""

from __future__ import annotations

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from app.errors import HookRequestError
from app.web.answers import error_answer

_log = structlog.get_logger("web")


def register_error_handlers(app: Flask) -> None:
    """Install the table above on `app`."""
    app.register_error_handler(HookRequestError, _invalid_request)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _internal_error)


def _invalid_request(error: HookRequestError) -> Response:
    _log.warning("hook request refused", path=request.path, field=error.field, message=error.message)
    return error_answer(400, "InvalidRequest", error.message, error.field)


def _http_error(error: HTTPException) -> Response:
    answer = error_answer(
        error.code or 500, (error.name or "Error").replace(" ", ""), error.description or ""
    )
    # Keeps what belongs to the status, such as Allow with 405.
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def _internal_error(error: Exception) -> Response:
    _log.error("hook failed", path=request.path, exc_info=error)
    return error_answer(500, "InternalError", f"the operator failed on this request: {type(error).__name__}")
