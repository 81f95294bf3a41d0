"""The Flask application: blueprints, errors as JSON, health."""

import errno

import structlog
from flask import Flask, jsonify
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from mothership.api import admin, launcher
from mothership.api.services import Services, bind, services
from mothership.errors import MothershipError, UnauthorizedError, UnavailableError

STUCK_SECONDS = 30.0
"""The dispatcher makes a pass each second; without one for so long it is stuck."""

RETRY_AFTER = "2"
"""Seconds after which a caller may ask again while nothing can be stored."""

_log = structlog.get_logger(component="api")


def create_app(collaborators: Services) -> Flask:
    """Return the application over these collaborators."""
    app = Flask("mothership")
    bind(app.extensions, collaborators)
    app.register_blueprint(launcher.blueprint)
    app.register_blueprint(admin.blueprint)
    app.register_error_handler(MothershipError, _refused)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OSError, _no_room)
    app.register_error_handler(Exception, _failed)
    app.add_url_rule("/healthz", view_func=healthz)
    return app


def healthz() -> ResponseReturnValue:
    """Say whether this mothership makes progress; a broker that is away is reported but is not its fault."""
    health = services().health()
    stuck = health.idle_seconds > STUCK_SECONDS
    body = {
        "status": "stuck" if stuck else "ok",
        "broker": "connected" if health.broker_connected else "disconnected",
        "droppedMessages": dict(health.dropped),
    }
    return jsonify(body), 503 if stuck else 200


def _refused(error: MothershipError) -> ResponseReturnValue:
    response = jsonify(error=str(error))
    if isinstance(error, UnauthorizedError):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, UnavailableError):
        _log.error("request refused", error=str(error))
        response.headers["Retry-After"] = RETRY_AFTER
    return response, error.status


def _http_error(error: HTTPException) -> ResponseReturnValue:
    return jsonify(error=error.description or error.name), error.code or 500


def _no_room(error: OSError) -> ResponseReturnValue:
    """Answer for files that can't be written: a full disk is the same to a caller wherever it shows."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        return _failed(error)
    return _refused(UnavailableError(f"nothing can be stored: {error.strerror}"))


def _failed(error: Exception) -> ResponseReturnValue:
    _log.error("request failed", error=type(error).__name__, exc_info=error)
    return jsonify(error="internal error; the mothership's log says more"), 500
