"""The five hooks that Metacontroller calls: parse the body, let the policy decide, serialise the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import structlog
from flask import Blueprint, Response, current_app, request

from app.contract.fields import JsonObject
from app.contract.requests import (
    CompositeRequest,
    CustomizeRequest,
    DecoratorRequest,
    parse_composite,
    parse_customize,
    parse_decorator,
)
from app.reconcile.worker import customize_worker, finalize_worker, sync_worker
from app.reconcile.workerpool import finalize_pool, sync_pool
from app.vocabulary import (
    CONTROLLER_REVISION_GROUP,
    POD_GROUP,
    WORKER_GROUP,
    WORKER_KIND,
    WORKER_POOL_KIND,
)
from app.web.access import Access
from app.web.answers import json_answer
from app.web.pacing import Pacer

hooks = Blueprint("hooks", __name__)

PACER = "workerpool-pacer"
"""Name of the application's `Pacer` among its extensions."""

ACCESS = "hooks-access"
"""Name of the application's `Access` among its extensions."""

_log = structlog.get_logger("web")


class Answer(Protocol):
    """What every policy answers with."""

    def to_json(self) -> JsonObject:
        """Return the body of the answer."""
        ...


@hooks.before_request
def check_access() -> Response | None:
    """Refuse callers before their body is read."""
    access: Access = current_app.extensions[ACCESS]
    return access.refuse()


@hooks.post("/sync/workerpool")
def workerpool_sync() -> Response:
    """Answer which Workers a pool should have."""
    return _paced_answer("sync", sync_pool)


@hooks.post("/finalize/workerpool")
def workerpool_finalize() -> Response:
    """Answer which Workers of a deleted pool must still finish."""
    return _paced_answer("finalize", finalize_pool)


@hooks.post("/sync/worker")
def worker_sync() -> Response:
    """Answer which run Pods a Worker should have."""
    return _answer("sync", lambda body: sync_worker(_worker_request(body)))


@hooks.post("/finalize/worker")
def worker_finalize() -> Response:
    """Answer whether a deleted Worker may go."""
    return _answer("finalize", lambda body: finalize_worker(_worker_request(body)))


@hooks.post("/customize/worker")
def worker_customize() -> Response:
    """Answer which objects a Worker's syncs need beside its Pods."""
    return _answer("customize", lambda body: customize_worker(_customize_request(body)))


def _pool_request(body: bytes) -> CompositeRequest:
    return parse_composite(body, WORKER_POOL_KIND, WORKER_GROUP)


def _worker_request(body: bytes) -> DecoratorRequest:
    return parse_decorator(body, WORKER_KIND, POD_GROUP, CONTROLLER_REVISION_GROUP)


def _customize_request(body: bytes) -> CustomizeRequest:
    return parse_customize(body, WORKER_KIND)


def _paced_answer(hook: str, policy: Callable[[CompositeRequest], Answer]) -> Response:
    """Answer a pool's hook, not sooner after its last answer than the pool's size allows."""
    asked: list[CompositeRequest] = []

    def decide(body: bytes) -> Answer:
        asked.append(_pool_request(body))
        return policy(asked[0])

    answer = _answer(hook, decide)
    pacer: Pacer = current_app.extensions[PACER]
    uid = str(asked[0].parent["metadata"].get("uid", ""))
    pacer.hold(uid, len(asked[0].children))
    return answer


def _answer(hook: str, decide: Callable[[bytes], Answer]) -> Response:
    """Let `decide` answer the body, and say how long it took: in the log and to whoever measures."""
    body = request.get_data(cache=False)
    started = time.perf_counter()
    answer = json_answer(decide(body).to_json())
    milliseconds = round((time.perf_counter() - started) * 1000, 3)
    answer.headers["Server-Timing"] = f"hook;dur={milliseconds}"
    _log.debug("hook answered", hook=hook, path=request.path, bytes=len(body), milliseconds=milliseconds)
    return answer
