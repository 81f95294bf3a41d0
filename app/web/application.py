"""The Flask application of the operator: the hooks, the probes, and errors as JSON."""

from __future__ import annotations

from flask import Flask

from app.web.access import Access
from app.web.errors import register_error_handlers
from app.web.hooks import ACCESS, PACER, hooks
from app.web.pacing import Pacer
from app.web.probes import Health, probes

MAX_BODY_BYTES = 128 * 1024 * 1024
"""Largest body that is read. A pool sync carries about 2 KB for each Worker, so this is far above any pool, and
still keeps a stray upload from filling the operator's memory."""


def create_app(health: Health, pacer: Pacer | None = None, access: Access | None = None) -> Flask:
    """Return the application; `health` answers the probes, `pacer` spaces the syncs of large pools, `access` lets in."""
    app = Flask("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions[PACER] = pacer or Pacer(holders=1)
    app.extensions[ACCESS] = access or Access()
    app.register_blueprint(hooks)
    app.register_blueprint(probes(health))
    register_error_handlers(app)
    return app
