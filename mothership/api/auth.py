"""Who may call: the admin token, and the run token of one attempt."""

import hmac
from enum import StrEnum

import sqlalchemy as sa
from flask import request

from mothership.api.services import services
from mothership.decisions.states import Rules
from mothership.errors import ForbiddenError, UnauthorizedError
from mothership.storage import views
from mothership.storage.runs import hash_token
from mothership.storage.views import Access


class Use(StrEnum):
    """What a run token is used for; calls differ in how long after the close they are answered."""

    VERDICT = "verdict"
    """claim and lease: the answer itself says that the attempt is closed."""
    DELIVERY = "delivery"
    """logs and result: taken for a while after the close, so that the last lines arrive."""
    WORK = "work"
    """details and workspace: only while the attempt is open and its token has been renewed."""


def require_admin() -> None:
    """Raise `UnauthorizedError` unless the request carries the admin token."""
    if not hmac.compare_digest(_bearer().encode(), services().admin_token.encode()):
        raise UnauthorizedError("the admin token is missing or wrong")


def require_run_token(conn: sa.Connection, run: str, sequence: int, use: Use) -> None:
    """Raise unless the request carries the token of this attempt and may still use it so."""
    given = hash_token(_bearer())
    found = views.access(conn, run, sequence)
    if found is None or not hmac.compare_digest(found.token_hash, given):
        if views.token_exists(conn, given):
            raise ForbiddenError("the run token belongs to another attempt")
        raise UnauthorizedError("the run token is missing or wrong")
    if not _may(found, use, services().clock.now(), services().settings.rules):
        raise UnauthorizedError("the run token is not valid any more")


def _may(access: Access, use: Use, now: float, rules: Rules) -> bool:
    if use is Use.VERDICT:
        return True
    if use is Use.DELIVERY:
        return access.closed_at is None or now <= access.closed_at + rules.late_calls
    return access.closed_at is None and now <= access.token_expires_at


def _bearer() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
