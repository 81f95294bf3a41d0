# ruff: noqa: D401  # a fixture's docstring says what it is
"""The cluster, proxy, hooks and driver that the fidelity scenarios run on."""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import kubernetes.client
import kubernetes.config
import pytest
import yaml

from devcluster.hookdriver.api import Api
from devcluster.hookdriver.errors import AlreadyExists
from devcluster.paths import REPOSITORY
from tests.integration.hookdriver.hookserver import HookServer
from tests.integration.hookdriver.proxy import RecordingProxy
from tests.integration.hookdriver.world import DriverProcess, wait_for

HERE = Path(__file__).parent
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: proxy
clusters: [{{name: proxy, cluster: {{server: "{url}"}}}}]
users: [{{name: proxy, user: {{}}}}]
contexts: [{{name: proxy, context: {{cluster: proxy, user: proxy}}}}]
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--record`, which writes recordings instead of comparing with them."""
    parser.addoption("--record", action="store_true", help="rewrite recordings (with METACONTROLLER_BIN)")


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An administrator's kubeconfig: FIDELITY_KUBECONFIG, or a control plane of our own."""
    given = os.environ.get("FIDELITY_KUBECONFIG")
    if given:
        yield given
        return
    from devcluster.cluster import Cluster

    with Cluster(tmp_path_factory.mktemp("cluster"), components={"controlplane"}) as cluster:
        yield cluster.env()["KUBECONFIG"]


@pytest.fixture(scope="session")
def api(kubeconfig: str) -> Api:
    """The API server, with the kinds of Metacontroller and of these tests."""
    api = Api(kubeconfig, connections=8)
    crds = [REPOSITORY / "manifests" / "metacontroller" / "crds.yaml", HERE / "crds.yaml"]
    for crd in (document for path in crds for document in yaml.safe_load_all(path.read_text())):
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        name = crd["metadata"]["name"]
        with contextlib.suppress(AlreadyExists):
            api.create(path, crd)
        wait_for(partial(_established, api, f"{path}/{name}"), f"{name} is established")
    return api


@pytest.fixture(scope="session")
def hooks() -> Iterator[HookServer]:
    """The recording hook server."""
    server = HookServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def proxy(kubeconfig: str) -> Iterator[RecordingProxy]:
    """The recording proxy before the API server."""
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
        kubeconfig, client_configuration=configuration
    )
    configuration.connection_pool_maxsize = 64
    client = kubernetes.client.ApiClient(configuration)
    proxy = RecordingProxy(configuration.host, client.rest_client.pool_manager)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def driver(
    api: Api,  # noqa: ARG001  # the CRDs must be there first
    proxy: RecordingProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DriverProcess]:
    """The hook driver under test, behind the proxy."""
    directory = tmp_path_factory.mktemp("driver")
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG.format(url=proxy.url))
    process = DriverProcess(kubeconfig, directory / "driver.log")
    process.start()
    yield process
    process.stop()


def _established(api: Api, path: str) -> bool:
    conditions = api.get(path).get("status", {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
