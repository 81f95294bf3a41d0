"""The design that was measured and not taken: one CompositeController with Workers and Pods as the pool's children.

A hook server of its own that combines the product's two pure policies, so that the figures differ in nothing but
the shape. Served by gunicorn as ``bench.single_controller:application``.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson
from flask import Flask, Response, request

from app.contract.requests import parse_composite, parse_decorator
from app.reconcile.worker import sync_worker
from app.reconcile.workerpool import sync_pool
from app.vocabulary import CONTROLLER_REVISION_GROUP, POD_GROUP, WORKER_GROUP, WORKER_KIND, WORKER_POOL_KIND

application = Flask(__name__)

DECORATOR_FINALIZER = "metacontroller.io/decoratorcontroller-worker"
"""The agent registers only Workers that are protected; here the hook itself asks for the finalizer."""

WORKERPOOL_LABEL = "workers.spacelift.io/workerpool"


def controller(endpoint: str) -> dict[str, Any]:
    """Return the CompositeController object for hooks at `endpoint`."""
    return {
        "apiVersion": "metacontroller.k8s.io/v1alpha1",
        "kind": "CompositeController",
        "metadata": {"name": "workerpool"},
        "spec": {
            "generateSelector": True,
            "parentResource": {"apiVersion": "workers.spacelift.io/v1beta1", "resource": "workerpools"},
            "childResources": [
                {
                    "apiVersion": "workers.spacelift.io/v1beta1",
                    "resource": "workers",
                    "updateStrategy": {"method": "InPlace"},
                },
                {"apiVersion": "v1", "resource": "pods", "updateStrategy": {"method": "OnDelete"}},
            ],
            "hooks": {
                "sync": {"webhook": {"url": endpoint + "/sync"}},
                "customize": {"webhook": {"url": endpoint + "/customize"}},
            },
        },
    }


@application.post("/sync")
def sync() -> Response:
    """Answer a pool sync with the desired Workers and the desired Pods of all of them."""
    body = request.get_data(cache=False)
    answer = sync_pool(parse_composite(body, WORKER_POOL_KIND, WORKER_GROUP)).to_json()
    for worker in answer["children"]:
        worker["metadata"]["finalizers"] = [DECORATOR_FINALIZER]
    data = orjson.loads(body)
    answer["children"] += _pods(data)
    return Response(orjson.dumps(answer), mimetype="application/json")


@application.post("/customize")
def customize() -> Response:
    """Relate the pool's settings revisions."""
    pool = request.get_json()["parent"]["metadata"]
    ulid = pool.get("labels", {}).get("workers.spacelift.io/ulid", "none")
    rule = {
        "apiVersion": "apps/v1",
        "resource": "controllerrevisions",
        "namespace": pool["namespace"],
        "labelSelector": {"matchLabels": {WORKERPOOL_LABEL: ulid}},
    }
    return Response(orjson.dumps({"relatedResources": [rule]}), mimetype="application/json")


def _pods(data: dict[str, Any]) -> list[Any]:
    children = data["children"]
    by_worker: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, pod in (children.get(POD_GROUP) or {}).items():
        by_worker[pod["metadata"].get("labels", {}).get("workers.spacelift.io/worker", "")][name] = pod
    wanted: list[Any] = []
    for worker in (children.get(WORKER_GROUP) or {}).values():
        ulid = worker["metadata"]["labels"]["workers.spacelift.io/ulid"]
        if "run" not in worker.get("status", {}) and ulid not in by_worker:
            continue
        one = {
            "object": worker,
            "attachments": {POD_GROUP: by_worker.get(ulid, {})},
            "related": data.get("related") or {},
            "finalizing": False,
        }
        parsed = parse_decorator(orjson.dumps(one), WORKER_KIND, POD_GROUP, CONTROLLER_REVISION_GROUP)
        wanted += sync_worker(parsed).to_json()["attachments"]
    return wanted
