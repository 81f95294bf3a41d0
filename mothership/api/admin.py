"""The admin API: pools, workers and runs for people and scripts; every call carries the admin token."""

import re

import sqlalchemy as sa
from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from mothership.api.auth import require_admin
from mothership.api.bodies import json_body
from mothership.api.services import services
from mothership.clock import new_ulid
from mothership.decisions.attempts import cancel_queued, stop
from mothership.decisions.states import Run, RunState
from mothership.errors import BadRequestError, ClashError, UnknownError
from mothership.run_request import parse_run_request
from mothership.storage import cycles, pools, runs, views, workers
from mothership.storage.pools import Pool
from protocol.token import PoolToken

POOL_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
LOG_PAGE = 1024 * 1024
RUN_LIMIT = 1000

blueprint = Blueprint("admin", __name__, url_prefix="/v1")
blueprint.before_request(require_admin)


@blueprint.post("/pools")
def create_pool() -> ResponseReturnValue:
    """Create a pool from a signing request; the answer carries its token, which isn't stored."""
    body = json_body()
    name, csr = body.get("name"), body.get("csr")
    if not isinstance(name, str) or not POOL_NAME.fullmatch(name):
        raise BadRequestError("name: must be 1 to 63 lower-case letters, digits, dots, dashes or underscores")
    if not isinstance(csr, str):
        raise BadRequestError("csr: must be the PEM text of a certificate signing request")
    pool_id = new_ulid()
    signed = services().authority.sign_pool(csr, pool_id)
    with services().database.write() as conn:
        pool = Pool(pool_id, name, signed.public_key, signed.certificate, services().clock.now())
        if not pools.add_pool(conn, pool):
            raise ClashError(f"name: there is a pool {name!r} already")
    return jsonify(id=pool_id, name=name, token=_token(pool)), 201


@blueprint.get("/pools")
def list_pools() -> ResponseReturnValue:
    """List pools with how busy they are."""
    with services().database.read() as conn:
        return jsonify(pools=views.pool_overview(conn))


@blueprint.post("/pools/<pool>/cycle")
def cycle_pool(pool: str) -> ResponseReturnValue:
    """Have every registered worker of a pool replaced by a new one once it is idle."""
    with services().database.write() as conn:
        found = pools.find_pool(conn, pool)
        if found is None:
            raise UnknownError(f"there is no pool {pool!r}")
        request_id, number = cycles.want_cycle(conn, found.id, new_ulid(), services().clock.now())
    services().wake()
    return jsonify(id=found.id, name=found.name, cycle=request_id, workers=number)


@blueprint.get("/workers")
def list_workers() -> ResponseReturnValue:
    """List registered workers, of one pool if it is named."""
    with services().database.read() as conn:
        names = {pool.id: pool.name for pool in pools.list_pools(conn)}
        found = workers.describe(conn, _pool_filter(conn))
    return jsonify(
        workers=[
            {
                "id": row["worker"],
                "uid": row["worker_uid"],
                "pool": row["pool"],
                "poolName": names.get(row["pool"], ""),
                "state": _worker_state(row),
                "drained": row["drained"],
                "draining": row["draining"],
                "cycle": row["cycle"],
                "run": row["run"],
                "metadata": row["metadata"],
                "controllerVersion": row["controller_version"],
                "registeredAt": row["registered_at"],
                "seenAt": row["seen_at"],
            }
            for row in found
        ]
    )


@blueprint.post("/workers/<worker>/drain")
def drain_worker(worker: str) -> ResponseReturnValue:
    """Take no new runs (``{"drained": true}``), or take them again."""
    drained = json_body().get("drained", True)
    if not isinstance(drained, bool):
        raise BadRequestError("drained: must be true or false")
    with services().database.write() as conn:
        if not workers.want_drained(conn, worker, services().clock.now(), drained=drained):
            raise UnknownError(f"no registered worker {worker}")
    services().wake()
    return jsonify(id=worker.upper(), drained=drained)


@blueprint.post("/runs")
def trigger_run() -> ResponseReturnValue:
    """Queue a run."""
    body = json_body()
    settings = services().settings
    wanted = parse_run_request(
        body, launcher_image=settings.launcher_image, default_runner_image=settings.default_runner_image
    )
    name = body.get("pool")
    with services().database.write() as conn:
        pool = pools.find_pool(conn, name) if isinstance(name, str) and name else None
        if pool is None:
            raise BadRequestError(f"pool: there is no pool {name!r}")
        run = Run(new_ulid(), pool.id, RunState.QUEUED, position=0)
        runs.add_run(conn, run, wanted, services().clock.now())
        shown = views.describe_run(conn, run.id)
    services().wake()
    return jsonify(shown), 201


@blueprint.get("/runs")
def list_runs() -> ResponseReturnValue:
    """List the newest runs."""
    with services().database.read() as conn:
        limit = min(request.args.get("limit", 100, type=int), RUN_LIMIT)
        return jsonify(runs=views.describe_runs(conn, pool=_pool_filter(conn), limit=limit))


@blueprint.get("/runs/<run>")
def show_run(run: str) -> ResponseReturnValue:
    """Show one run with its history and attempts."""
    with services().database.read() as conn:
        return jsonify(_described(conn, run))


@blueprint.get("/runs/<run>/logs")
def read_logs(run: str) -> ResponseReturnValue:
    """Return a page of the log from ``offset`` on.

    ``X-Next-Offset`` is where the next page starts. ``X-Run-Finished: true`` means that nothing comes behind this
    page: it is decided before the length is read, so no last line is missed.
    """
    offset = request.args.get("offset", 0, type=int)
    if offset < 0:
        raise BadRequestError("offset: must be 0 or more")
    with services().database.read() as conn:
        record = runs.load_run(conn, run.upper())
        if record is None:
            raise UnknownError(f"there is no run {run}")
        logged = views.logged_sequence(conn, record.id)
    page = b""
    end = 0
    if logged is not None:
        sequence, end = logged
        page = services().logs.read(record.id, sequence, offset, min(end, offset + LOG_PAGE))
    response = Response(page, mimetype="text/plain")
    response.headers["X-Next-Offset"] = str(offset + len(page))
    response.headers["X-Run-State"] = record.state.value
    response.headers["X-Run-Finished"] = str(record.state.is_final and offset + len(page) >= end).lower()
    return response


@blueprint.post("/runs/<run>/stop")
def stop_run(run: str) -> ResponseReturnValue:
    """Cancel a run that has not started, ask one that has to stop; a finished one stays as it is."""
    with services().database.write() as conn:
        now = services().clock.now()
        record = runs.load_run(conn, run.upper())
        if record is None:
            raise UnknownError(f"there is no run {run}")
        if record.state is RunState.QUEUED:
            canceled, states = cancel_queued(record)
            runs.save_run(conn, canceled, states, now)
        elif record.sequence is not None:
            case = runs.load_case(conn, record.id, record.sequence)
            if case is not None:
                runs.save(conn, case, stop(case, now), now)
        shown = _described(conn, run)
    services().wake()
    return jsonify(shown)


def _described(conn: sa.Connection, run: str) -> dict[str, object]:
    shown = views.describe_run(conn, run.upper())
    if shown is None:
        raise UnknownError(f"there is no run {run}")
    return shown


def _pool_filter(conn: sa.Connection) -> str | None:
    name = request.args.get("pool")
    if not name:
        return None
    pool = pools.find_pool(conn, name)
    if pool is None:
        raise UnknownError(f"there is no pool {name!r}")
    return pool.id


def _worker_state(row: workers.Described) -> str:
    if not row["available"]:
        return "OFFLINE"
    if row["run"] is not None:
        return "BUSY"
    return "DRAINED" if row["drained"] or row["draining"] else "IDLE"


def _token(pool: Pool) -> str:
    settings = services().settings
    return PoolToken(
        pool_ulid=pool.id,
        pool_name=pool.name,
        broker_endpoint=settings.token_broker,
        api_endpoint=settings.public_endpoint,
        certificate=pool.certificate,
        ca=services().authority.pem,
        topic_namespace=settings.topic_namespace,
    ).encode()
