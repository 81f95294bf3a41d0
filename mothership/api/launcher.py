"""The launcher's calls: claim, details, lease, logs, workspace, result (``protocol/openapi.yaml``)."""

import re
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
import structlog
from flask import Blueprint, Response, jsonify, request, send_file
from flask.typing import ResponseReturnValue

from mothership.api.auth import Use, require_run_token
from mothership.api.bodies import json_body, log_chunk
from mothership.api.services import services
from mothership.decisions import attempts as rules_of_attempts
from mothership.decisions.claims import Claim, Verdict, claim, renew
from mothership.decisions.states import Case
from mothership.errors import BadRequestError, ClashError, TooEarlyError, UnknownError
from mothership.storage import runs, views
from protocol.launcher_api import (
    BodyError,
    ClaimRequest,
    LeaseAction,
    LeaseAnswer,
    ResultReport,
    RunDetails,
    Settings,
    Source,
)

_log = structlog.get_logger(component="launcher-api")

STREAM = re.compile(r"[a-z][a-z0-9-]{0,31}")

blueprint = Blueprint("launcher", __name__, url_prefix="/v1/runs/<run>/stages/<int:sequence>")


@blueprint.errorhandler(BodyError)
def _bad_body(error: BodyError) -> ResponseReturnValue:
    return jsonify(error=str(error)), 400


@blueprint.post("/claim")
def claim_start(run: str, sequence: int) -> ResponseReturnValue:
    """Grant the start to the one Pod that may have it."""
    pod_uid = ClaimRequest.from_json(json_body()).pod_uid
    with services().database.read() as conn:
        require_run_token(conn, run, sequence, Use.VERDICT)
        case = _load(conn, run, sequence)
        answer = claim(case, pod_uid, services().clock.now())
    if answer.case != case:
        answer = _grant(run, sequence, pod_uid)
    if answer.verdict is Verdict.WAIT:
        raise TooEarlyError(answer.why)
    if answer.verdict is Verdict.REFUSED:
        raise ClashError(answer.why)
    return jsonify(granted=True, leaseSeconds=services().settings.rules.lease)


def _grant(run: str, sequence: int, pod_uid: str) -> Claim:
    # Decided again inside the writing transaction: between the look before and this one, anything may have closed it.
    # Durable: a grant that a power failure takes back would let a second Pod start.
    with services().database.write(durable=True) as conn:
        now = services().clock.now()
        case = _load(conn, run, sequence)
        answer = claim(case, pod_uid, now)
        if runs.save(conn, case, answer.case, now):
            _extend_token(conn, run, sequence, now)
            _log.info("start granted", run=run, sequence=sequence, pod=pod_uid)
    return answer


@blueprint.get("/details")
def details(run: str, sequence: int) -> ResponseReturnValue:
    """Tell what to prepare and execute."""
    with services().database.read() as conn:
        require_run_token(conn, run, sequence, Use.WORK)
        case = _started(_load(conn, run, sequence))
        wanted = views.request_of(conn, run)
    rules = services().settings.rules
    source = wanted["source"]
    answer = RunDetails(
        run=run,
        stage=case.attempt.stage,
        sequence=sequence,
        source=_source(source) if source else None,
        commands=tuple(wanted["commands"]),
        environment=wanted["environment"],
        settings=Settings(rules.lease, rules.lost_after, rules.stop_grace),
    )
    return jsonify(answer.to_json())


@blueprint.post("/lease")
def lease(run: str, sequence: int) -> ResponseReturnValue:
    """Renew the lease and tell whether to go on."""
    rules = services().settings.rules
    with services().database.read() as conn:
        require_run_token(conn, run, sequence, Use.VERDICT)
        case = _load(conn, run, sequence)
        action, after = renew(case, services().clock.now(), rules)
    if after != case:
        with services().database.write() as conn:
            now = services().clock.now()
            case = _load(conn, run, sequence)
            action, after = renew(case, now, rules)
            if runs.save(conn, case, after, now):
                _extend_token(conn, run, sequence, now)
    if action is None:
        raise ClashError("the start of this attempt has not been granted")
    return jsonify(_lease_answer(action).to_json())


@blueprint.post("/logs")
def append_logs(run: str, sequence: int) -> ResponseReturnValue:
    """Append to the attempt's log at an offset of a stream."""
    offset = _offset()
    stream = request.headers.get("X-Stream", "run")
    if not STREAM.fullmatch(stream):
        raise BadRequestError("X-Stream: must be a short lower-case name")
    with services().database.read() as conn:
        require_run_token(conn, run, sequence, Use.DELIVERY)
    chunk = log_chunk()
    with services().database.write() as conn:
        appended = services().logs.append(conn, run, sequence, stream, offset, chunk)
    return jsonify(offset=appended.offset), 409 if appended.gap else 200


@blueprint.put("/workspace")
def put_workspace(run: str, sequence: int) -> ResponseReturnValue:
    """Store the encrypted workspace for a later stage."""
    with services().database.read() as conn:
        require_run_token(conn, run, sequence, Use.WORK)
        _started(_load(conn, run, sequence))
    stored = services().workspaces.put(run, sequence, request.stream, request.content_length)
    return jsonify(bytes=stored)


@blueprint.get("/workspace")
def get_workspace(run: str, sequence: int) -> ResponseReturnValue:
    """Return the workspace that an earlier stage stored."""
    with services().database.read() as conn:
        require_run_token(conn, run, sequence, Use.WORK)
        _started(_load(conn, run, sequence))
    path = services().workspaces.find(run, sequence)
    if path is None:
        raise UnknownError("no stage of this run has stored a workspace")
    response: Response = send_file(path, mimetype="application/octet-stream")
    return response


@blueprint.post("/result")
def take_result(run: str, sequence: int) -> ResponseReturnValue:
    """Store the launcher's own word on the end; the first is kept."""
    with services().database.read() as conn:
        require_run_token(conn, run, sequence, Use.DELIVERY)
    given = ResultReport.from_json(json_body())
    with services().database.write() as conn:
        now = services().clock.now()
        case = _load(conn, run, sequence)
        after = rules_of_attempts.report(case, _bounded(given).outcome, now)
        if runs.save(conn, case, after, now):
            views.set_phases(conn, run, sequence, [_phase(item) for item in given.to_json()["phases"]])  # type: ignore[attr-defined]
    services().wake()
    return jsonify(stored=True)


def _load(conn: sa.Connection, run: str, sequence: int) -> Case:
    case = runs.load_case(conn, run, sequence)
    if case is None:
        raise UnknownError("there is no such attempt")
    return case


def _started(case: Case) -> Case:
    if case.attempt.is_closed or not case.attempt.granted:
        raise ClashError("the attempt is not running: its start was not granted, or it is closed")
    return case


def _extend_token(conn: sa.Connection, run: str, sequence: int, now: float) -> None:
    views.extend_token(conn, run, sequence, now + services().settings.rules.token_lifetime)


def _lease_answer(action: LeaseAction) -> LeaseAnswer:
    rules = services().settings.rules
    return LeaseAnswer(action, rules.lease, rules.lost_after)


def _source(stored: dict[str, Any]) -> Source:
    return Source(stored["url"], stored["ref"], stored["commit"], stored["projectRoot"])


def _offset() -> int:
    text = request.args.get("offset", "")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadRequestError("offset: must be a whole number, 0 or more")
    return int(text)


def _phase(item: dict[str, Any]) -> dict[str, Any]:
    return item | {"name": item["name"][:128]}


def _bounded(given: ResultReport) -> ResultReport:
    outcome = given.outcome
    return replace(given, outcome=replace(outcome, message=outcome.message[:4096]))
