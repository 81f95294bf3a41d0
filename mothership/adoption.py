"""Stores what `decisions.recovery` makes of attempts that operators name and this database doesn't have."""

import secrets

import sqlalchemy as sa
import structlog

from mothership.decisions.recovery import Found, adopt
from mothership.decisions.states import Case
from mothership.storage import runs

_log = structlog.get_logger(component="adoption")


def take_over(conn: sa.Connection, found: Found, now: float) -> Case | None:
    """Adopt an attempt that isn't stored; return it, or None when it isn't believed to have started."""
    run = runs.load_run(conn, found.run)
    if run is None:
        return None
    case = runs.load_case(conn, run.id, run.sequence) if run.sequence is not None else None
    adoption = adopt(run, case.attempt if case else None, found, now)
    if adoption is None:
        return None
    if case is not None and adoption.displaced is not None:
        runs.save(conn, case, Case(case.run, adoption.displaced), now)
    if adoption.attempt is None:
        runs.save_run(conn, adoption.run, (), now)
        return None
    _log.warning(
        "attempt adopted", run=found.run, sequence=found.sequence, worker=found.worker, pod=found.pod_uid
    )
    # Its run token was lost with the rest: what works in the Pod can't renew its lease, and stops by itself.
    unknown = runs.Sealed(payload="", token_hash=runs.hash_token(secrets.token_hex()), token_expires_at=0.0)
    adopted = Case(adoption.run, adoption.attempt, adoption.history)
    runs.add_attempts(conn, [(adopted, unknown)], now)
    return Case(adoption.run, adoption.attempt)
