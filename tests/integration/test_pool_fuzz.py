"""What the API server accepts as a pool gives a Pod it admits, or a verdict with its own text; never a stuck worker."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.agent.decisions import refusal
from app.agent.decisions.refusal import Refusal
from app.cluster.client import KubernetesApi
from app.cluster.errors import ApiError, Forbidden, Invalid, NotFound, Unavailable
from app.cluster.resources import PODS, WORKERPOOLS
from app.web.application import create_app
from devcluster.cluster import Cluster
from devcluster.objects import wait_default_account, wait_established
from devcluster.paths import REPOSITORY
from tests.schemas import settings
from tests.unit import builders
from tests.unit.web.health import ToldHealth

Object = dict[str, Any]

EXAMPLES = 250
"""Pools that are tried; each costs two dry runs of about 10 ms."""

LONG_ENOUGH = 3600.0
"""Seconds after which no refusal is waited for any more."""

KINDS = {
    Forbidden: Refusal.FORBIDDEN,
    Invalid: Refusal.INVALID,
    NotFound: Refusal.NOT_FOUND,
    Unavailable: Refusal.OTHER,
}
"""What the agent makes of the API server's answers; a broken RuntimeClass name, for one, is a 500 of an admission plugin."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """Return a client of a real API server that has our CRDs."""
    with Cluster(tmp_path_factory.mktemp("fuzz") / "cluster", components={"controlplane"}) as cluster:
        cluster.kubectl("apply", "--server-side", "-k", str(REPOSITORY / "crds"))
        wait_established(cluster.kubectl, ["workerpools.workers.spacelift.io"])
        wait_default_account(cluster.kubectl)
        client = KubernetesApi.connect(str(cluster.kubeconfig))
        yield client
        client.close()


def accepted_pool(api: KubernetesApi, pod: Object) -> Object | None:
    """Return the pool as the API server would store it, None when it refuses it."""
    pool = builders.pool()
    body = {
        "apiVersion": pool["apiVersion"],
        "kind": "WorkerPool",
        "metadata": {"name": "fuzzed", "namespace": "default"},
        "spec": {**pool["spec"], "pod": pod},
    }
    try:
        return api.create(WORKERPOOLS, "default", body, dry_run=True)
    except Invalid:
        return None


def wished_pod(hooks: FlaskClient, pod_settings: Object, *, native: bool) -> Object | None:
    """Return the Pod that the Worker hook asks for with these settings."""
    revision = builders.revision(pod_settings)
    revision["data"]["cluster"] = {"nativeSidecars": native}
    request = {
        "controller": {"kind": "DecoratorController"},
        "object": builders.worker(
            registration="Registered", state="BUSY", assignment=1, run=builders.run("Scheduled")
        ),
        "attachments": {"Pod.v1": {}},
        "related": {"ControllerRevision.apps/v1": {f"default/{builders.SETTINGS}": revision}},
        "finalizing": False,
    }
    answer = hooks.post("/sync/worker", data=json.dumps(request), content_type="application/json")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    attachments: list[Object] = answer.get_json()["attachments"]
    return attachments[0] if attachments else None


def refused_with(api: KubernetesApi, pod: Object) -> ApiError | None:
    """Return what the API server has against a Pod."""
    metadata = {key: value for key, value in pod["metadata"].items() if key != "ownerReferences"}
    try:
        api.create(PODS, "default", {**pod, "metadata": metadata}, dry_run=True)
    except ApiError as error:
        return error
    return None


def test_an_accepted_pool_gives_a_pod_that_is_admitted_or_a_verdict_with_the_reason(
    api: KubernetesApi,
) -> None:
    """Only the API server knows all its rules; what it refuses ends the run with its text."""
    hooks, seen = create_app(ToldHealth()).test_client(), Counter[str]()

    @hypothesis_settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(pod_settings=settings(), native=st.booleans())
    def check(pod_settings: Object, native: bool) -> None:
        pool = accepted_pool(api, pod_settings)
        if pool is None:
            seen["pool refused"] += 1
            return
        pod = wished_pod(hooks, pool["spec"].get("pod") or {}, native=native)
        assert pod is not None
        error = refused_with(api, pod)
        if error is None:
            seen["pod admitted"] += 1
            return
        kind = KINDS[type(error)]
        verdict = refusal.judge(kind, error.message, LONG_ENOUGH)
        assert verdict is not None
        assert error.message[:200] in verdict.message
        seen["pod refused"] += 1

    check()
    # The test would show nothing if all were refused at the door.
    assert seen["pod admitted"] > EXAMPLES / 10, seen
    assert seen["pool refused"] > 0, seen
