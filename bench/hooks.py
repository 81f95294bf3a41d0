"""What the pool hook costs by what its Workers carry, measured on the running service."""

from __future__ import annotations

import base64
import copy
import statistics
from typing import Any

import orjson
import requests

from app.cluster.resources import SECRETS, WORKERPOOLS
from bench.site import NAMESPACE, Site
from devcluster.operator import HOOK_SECRET
from devcluster.operator import NAMESPACE as OPERATOR_NAMESPACE

_REPEATS = 15


def pool_hook_ms(site: Site, pool: str, inline_bytes: int | None = None, *, busy: bool = False) -> float:
    """Return the median milliseconds that the service takes for a pool sync with all the site's Workers as children.

    The service's own account (Server-Timing) is read: parsing, deciding and serialising, without the pause by which
    it spaces the syncs of a large pool.

    `busy` gives each Worker a run; `inline_bytes` puts that many bytes of Pod settings into each run, which is
    what the product avoids by keeping them in a ControllerRevision.
    """
    parent = site.api.get(WORKERPOOLS, NAMESPACE, pool)
    children = {}
    for worker in site.workers.objects():
        item = _busy(worker, inline_bytes) if busy else worker
        children[item["metadata"]["name"]] = item
    body = orjson.dumps(
        {
            "controller": {},
            "parent": parent,
            "children": {"Worker.workers.spacelift.io/v1beta1": children},
            "related": {},
            "finalizing": False,
        }
    )
    session = requests.Session()
    session.trust_env = False  # REQUESTS_CA_BUNDLE would win over the CA set here
    secret = site.api.get(SECRETS, OPERATOR_NAMESPACE, HOOK_SECRET)["data"]
    session.verify = str(site.cluster.site.certs / "hooks-ca.crt")
    session.headers["Authorization"] = f"Bearer {base64.b64decode(secret['token']).decode()}"
    url = site.env["OPERATOR_HOOKS_ENDPOINT"] + "/sync/workerpool"
    times = [_post(session, url, body) for _ in range(_REPEATS + 2)][2:]
    return statistics.median(times)


def _post(session: requests.Session, url: str, body: bytes) -> float:
    answer = session.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=60)
    answer.raise_for_status()
    return float(answer.headers["Server-Timing"].removeprefix("hook;dur="))


def _busy(worker: dict[str, Any], inline_bytes: int | None) -> dict[str, Any]:
    busy = copy.deepcopy(worker)
    run: dict[str, Any] = {
        "id": "01HPS6XB76J1JB3EHSK4AWE5AB",
        "stage": "preparing",
        "sequence": 2,
        "assignment": 1,
        "phase": "Running",
        "podUID": "0f6f6f0e-2f39-4c55-8c1e-3a9d6d9c2b77",
        "runnerImage": "public.ecr.aws/spacelift/runner-terraform:latest",
        "launcherImage": "public.ecr.aws/spacelift/launcher:d0a81de1",
        "secretName": "01hps6xb76j1jb3ehsk4awe5ab-preparing-2",
        "secretUID": "0f6f6f0e-2f39-4c55-8c1e-3a9d6d9c2b78",
        "settings": "bench-0123456789",
        "scheduledAt": "2026-01-02T03:04:05Z",
    }
    if inline_bytes is not None:
        run["pod"] = _settings(inline_bytes)
    busy["status"] = {**busy.get("status", {}), "state": "BUSY", "currentRunID": run["id"], "run": run}
    return busy


def _settings(size: int) -> dict[str, Any]:
    """Return Pod settings of about `size` bytes of JSON, shaped like a real spec.pod."""
    settings: dict[str, Any] = {"volumes": []}
    while len(orjson.dumps(settings)) < size:
        name = f"volume-{len(settings['volumes'])}"
        settings["volumes"].append({"name": name, "configMap": {"name": f"{name}-configuration"}})
    return settings
