"""The client sends what it should, renews its token and repeats only what may be repeated."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kubernetes.config import incluster_config

from app.cluster import errors
from app.cluster.client import KubernetesApi
from app.cluster.configuration import Authorization, load
from app.cluster.errors import ConfigurationError
from app.cluster.resources import CUSTOM_RESOURCE_DEFINITIONS, PODS, WORKERPOOLS, WORKERS
from app.cluster.transport import Timeouts
from tests.unit.app_shell.fake_api import FakeApi


def test_paths_are_those_of_the_api() -> None:
    """Core and named groups, namespaced and not, objects and subresources."""
    assert PODS.path("a", "b", "log") == "/api/v1/namespaces/a/pods/b/log"
    assert WORKERS.path(None) == "/apis/workers.spacelift.io/v1beta1/workers"
    assert WORKERPOOLS.path("a") == "/apis/workers.spacelift.io/v1beta1/namespaces/a/workerpools"
    crd = CUSTOM_RESOURCE_DEFINITIONS.path("ignored", "x")
    assert crd == "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x"
    assert PODS.path("a", "../b") == "/api/v1/namespaces/a/pods/..%2Fb"


def test_a_patch_is_a_merge_patch_with_our_names_on_it(fake_api: FakeApi, api: KubernetesApi) -> None:
    """Content type, field manager, user agent and token."""
    api.merge_patch(WORKERS, "default", "w", {"status": {}}, subresource="status")
    headers = fake_api.headers[-1]
    assert fake_api.requests[-1][1].endswith("/workers/w/status?fieldManager=workerpool-controller")
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert headers["User-Agent"] == "workerpool-controller"
    assert headers["Authorization"] == "Bearer static"


def test_a_dry_run_and_a_precondition_reach_the_server(fake_api: FakeApi, api: KubernetesApi) -> None:
    """Create with dryRun; delete with the UID."""
    api.create(PODS, "default", {"kind": "Pod"}, dry_run=True)
    assert "dryRun=All" in fake_api.requests[-1][1]
    api.delete(PODS, "default", "p", uid="u-1")
    assert fake_api.bodies[-1]["preconditions"] == {"uid": "u-1"}


def test_a_list_takes_every_page_and_names_the_kind(fake_api: FakeApi, api: KubernetesApi) -> None:
    """Items of lists of built-in kinds lack apiVersion and kind; here they have them."""
    for number in range(5):
        fake_api.put(f"w{number}")
    fake_api.page_size = 2
    listing = api.list(WORKERS, "default", "a=b")
    assert [item["metadata"]["name"] for item in listing.items] == ["w0", "w1", "w2", "w3", "w4"]
    assert {item["kind"] for item in listing.items} == {"Worker"}
    assert listing.resource_version == "105"
    assert fake_api.count("GET", "labelSelector=a%3Db") == 3


def test_a_list_may_select_by_a_field(fake_api: FakeApi, api: KubernetesApi) -> None:
    """The Events of one Pod, and nothing else."""
    api.list(PODS, "default", field_selector="involvedObject.uid=u-1")
    assert "fieldSelector=involvedObject.uid%3Du-1" in fake_api.requests[-1][1]
    assert "labelSelector" not in fake_api.requests[-1][1]


def test_a_list_starts_again_when_its_version_is_forgotten(fake_api: FakeApi, api: KubernetesApi) -> None:
    """410 between two pages is no error of the caller."""
    fake_api.put("w")
    fake_api.answer_next(410, {"reason": "Expired"})
    assert len(api.list(WORKERS, "default").items) == 1


def test_a_read_is_repeated_once_when_the_connection_breaks(fake_api: FakeApi, api: KubernetesApi) -> None:
    """Reads have no effect, so one more try is free."""
    fake_api.break_next()
    api.list(WORKERS, "default")
    assert fake_api.count("GET") == 2


def test_a_write_is_never_repeated(fake_api: FakeApi, api: KubernetesApi) -> None:
    """It may have happened: the caller has to look."""
    fake_api.break_next()
    with pytest.raises(errors.Unavailable):
        api.merge_patch(WORKERS, "default", "w", {})
    assert fake_api.count("PATCH") == 1


def test_a_server_that_is_not_there_is_unavailable(write_kubeconfig: Callable[..., str]) -> None:
    """Transport errors don't leak the HTTP library's types."""
    client = KubernetesApi.connect(write_kubeconfig(1))
    with pytest.raises(errors.Unavailable, match="refused"):
        client.get(WORKERS, "default", "w")


def test_answers_that_are_not_json_are_unavailable(fake_api: FakeApi, api: KubernetesApi) -> None:
    """A proxy's login page with status 200 is no object."""
    fake_api.answer_next(200, b"<html>")
    with pytest.raises(errors.Unavailable, match="JSON"):
        api.get(WORKERS, "default", "w")


def test_a_refused_token_is_read_again_and_even_a_write_goes_through(
    fake_api: FakeApi, write_kubeconfig: Callable[..., str], tmp_path: Path
) -> None:
    """The kubelet replaced the file; 401 means nothing happened, so the write is sent again."""
    token = tmp_path / "token"
    token.write_text("first")
    client = KubernetesApi.connect(write_kubeconfig(fake_api.port, {"tokenFile": str(token)}))
    token.write_text("second")
    fake_api.answer_next(401, {"reason": "Unauthorized"})
    client.merge_patch(WORKERS, "default", "w", {})
    assert [headers["Authorization"] for headers in fake_api.headers] == ["Bearer first", "Bearer second"]


def test_a_token_that_stays_refused_is_an_error_after_one_call(fake_api: FakeApi, api: KubernetesApi) -> None:
    """The same token isn't tried twice."""
    fake_api.answer_next(401, {"reason": "Unauthorized"})
    with pytest.raises(errors.Unauthorized):
        api.get(WORKERS, "default", "w")
    assert fake_api.count("GET") == 1


def test_an_old_token_is_read_again_and_a_broken_source_keeps_the_good_one() -> None:
    """After a minute the source is asked; when it fails, the old value is still used."""
    now = [0.0]
    values = iter(["one", "two"])
    authorization = Authorization(lambda: next(values), clock=lambda: now[0])
    now[0] = 59.0
    assert authorization.current() == "one"
    now[0] = 61.0
    assert authorization.current() == "two"
    now[0] = 200.0
    assert authorization.current() == "two"


def test_the_pods_service_account_is_used_in_a_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Address from the environment, token and CA from the mounted files."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("mounted\n")
    authority.write_text("certificate")
    defaults = (str(token), str(authority))
    loader = incluster_config.InClusterConfigLoader
    monkeypatch.setattr(
        incluster_config,
        "InClusterConfigLoader",
        lambda **more: loader(*defaults, more["try_refresh_token"]),  # type: ignore[no-untyped-call]
    )
    configuration, authorization = load(None)
    assert configuration.host == "https://[fd00::1]:443"
    assert (authorization.current() or "").lower() == "bearer mounted"


@pytest.mark.parametrize("content", [None, "{", "[]", "apiVersion: v1\nkind: Config\n"])
def test_a_kubeconfig_that_cannot_be_used_says_so(content: str | None, tmp_path: Path) -> None:
    """Missing, broken or empty: one error type that names the file."""
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="kubeconfig"):
        load(str(path))


def test_a_silent_server_is_given_up(write_kubeconfig: Callable[..., str]) -> None:
    """A server that takes the connection and says nothing costs the read timeout, not for ever."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = KubernetesApi.connect(
            write_kubeconfig(mute.getsockname()[1]), timeouts=Timeouts(connect=1, read=0.2)
        )
        started = time.monotonic()
        with pytest.raises(errors.Unavailable, match="timed out"):
            client.get(WORKERS, "default", "w")
        assert time.monotonic() - started < 2
        client.close()


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ({"major": "1", "minor": "36", "gitVersion": "v1.36.3"}, (1, 36)),
        ({"major": "1", "minor": "29+", "gitVersion": "v1.29.1-eks-508b6b3"}, (1, 29)),
        ({"major": "1", "minor": "28.5-gke.1200"}, (1, 28)),
        ({"major": "", "minor": "", "gitVersion": "v1.30.0-alpha.0"}, (1, 30)),
        ({"gitVersion": "v1.31.2"}, (1, 31)),
    ],
)
def test_the_version_of_a_server_is_two_numbers(
    fake_api: FakeApi, api: KubernetesApi, answer: dict[str, str], version: tuple[int, int]
) -> None:
    """Managed clusters write a sign behind the minor; builds from a bare tree leave both empty."""
    fake_api.answers.append((200, {}, json.dumps(answer).encode()))
    assert api.server_version() == version
    assert fake_api.requests[-1] == ("GET", "/version")


@pytest.mark.parametrize("answer", [{}, {"major": "one", "minor": "two"}, {"gitVersion": "unknown"}])
def test_an_answer_without_a_version_is_no_answer(
    fake_api: FakeApi, api: KubernetesApi, answer: dict[str, str]
) -> None:
    """Whoever asked asks again."""
    fake_api.answers.append((200, {}, json.dumps(answer).encode()))
    with pytest.raises(errors.Unavailable, match="version"):
        api.server_version()


@pytest.mark.parametrize("page", [b"<html>", b"[]", b"{}"])
def test_a_page_in_the_servers_place_is_told_from_no_answer(
    fake_api: FakeApi, api: KubernetesApi, page: bytes
) -> None:
    """Asking again may never help, so whoever asked can do without."""
    fake_api.answers.append((200, {}, page))
    with pytest.raises(errors.Unavailable) as caught:
        api.server_version()
    assert caught.value.status == 200


def test_a_hidden_version_is_forbidden(fake_api: FakeApi, api: KubernetesApi) -> None:
    """A cluster that took the role system:public-info-viewer away."""
    fake_api.answers.append((403, {}, b'{"kind": "Status", "message": "forbidden", "reason": "Forbidden"}'))
    with pytest.raises(errors.Forbidden):
        api.server_version()
