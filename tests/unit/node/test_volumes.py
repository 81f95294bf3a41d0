"""What is in a Pod's volumes and who may read it."""

import os
from pathlib import Path
from typing import Any

import pytest

from devcluster.node.fields import NodeFacts
from devcluster.node.volumes import Sources, VolumeError, container_binds, set_up, too_large, unsupported

Json = dict[str, Any]
DATA = {("Secret", "s"): {"k": b"v", "other": b"o"}, ("ConfigMap", "kube-root-ca.crt"): {"ca.crt": b"ca"}}
SOURCES = Sources(
    NodeFacts("n", "127.0.0.1", {}), lambda kind, name: DATA.get((kind, name)), lambda _: "token"
)


def pod(volume: Json, **fields: object) -> Json:
    """Return a Pod with one volume named v."""
    metadata = {"name": "p", "namespace": "ns", "labels": {"a": "b"}}
    return {"metadata": metadata, "spec": {"containers": [], "volumes": [{"name": "v", **volume}], **fields}}


def test_a_secret_has_the_links_of_a_kubelet_and_its_mode(tmp_path: Path) -> None:
    """Programs that look for ..data find it."""
    places = set_up(pod({"secret": {"secretName": "s", "defaultMode": 0o440}}), tmp_path, SOURCES)
    place = places["v"]
    assert (place / "k").readlink() == Path("..data/k")
    assert (place / "k").read_bytes() == b"v"
    assert (place / "k").stat().st_mode & 0o777 == 0o440


def test_items_choose_keys_paths_and_modes(tmp_path: Path) -> None:
    """Only chosen keys appear."""
    items = [{"key": "k", "path": "deep/er", "mode": 0o400}]
    place = set_up(pod({"secret": {"secretName": "s", "items": items}}), tmp_path, SOURCES)["v"]
    assert (place / "deep" / "er").read_bytes() == b"v"
    assert not (place / "other").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"secret": {"secretName": "none"}},
            'MountVolume.SetUp failed for volume "v" : secret "none" not found',
        ),
        (
            {"configMap": {"name": "none"}},
            'MountVolume.SetUp failed for volume "v" : configmap "none" not found',
        ),
        (
            {"secret": {"secretName": "s", "items": [{"key": "x", "path": "x"}]}},
            'volume "v" : references non-existent secret key: x',
        ),
        (
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "x", "path": "x"}]}},
            'volume "v" : configmap references non-existent config key: x',
        ),
    ],
)
def test_what_is_missing_is_said_in_a_kubelets_words(tmp_path: Path, source: Json, message: str) -> None:
    """The Event's text is what users search for."""
    with pytest.raises(VolumeError, match=message):
        set_up(pod(source), tmp_path, SOURCES)


def test_an_optional_secret_may_be_missing(tmp_path: Path) -> None:
    """The volume is there and empty."""
    place = set_up(pod({"secret": {"secretName": "none", "optional": True}}), tmp_path, SOURCES)["v"]
    assert sorted(entry.name for entry in place.iterdir()) == ["..content", "..data"]


def test_the_service_accounts_volume_is_put_together(tmp_path: Path) -> None:
    """Token, CA and namespace, as admission asks for them."""
    sources: list[Json] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    place = set_up(pod({"projected": {"sources": sources, "defaultMode": 0o644}}), tmp_path, SOURCES)["v"]
    assert [(place / name).read_text() for name in ("token", "ca.crt", "namespace")] == ["token", "ca", "ns"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to a group")
def test_fs_group_owns_what_the_node_makes(tmp_path: Path) -> None:
    """An emptyDir is writable for the group and handed on to new files; a Secret is readable for it."""
    security = {"fsGroup": 1983}
    folder = set_up(pod({"emptyDir": {}}, securityContext=security), tmp_path, SOURCES)["v"]
    assert (folder.stat().st_gid, folder.stat().st_mode & 0o7777) == (1983, 0o2777)
    secret = {"secret": {"secretName": "s", "defaultMode": 0o400}}
    file = set_up(pod(secret, securityContext=security), tmp_path, SOURCES)["v"] / "k"
    assert (file.stat().st_gid, file.stat().st_mode & 0o777) == (1983, 0o440)


def test_sub_paths_are_made_and_may_not_leave_the_volume(tmp_path: Path) -> None:
    """A missing sub-path is a directory like the volume's own; links out are refused."""
    place = set_up(pod({"emptyDir": {}}), tmp_path, SOURCES)["v"]
    mount = {"name": "v", "mountPath": "/m", "subPathExpr": "$(WHO)/x", "readOnly": True}
    [bind] = container_binds({"volumeMounts": [mount]}, {"v": place}, {"WHO": "me"})
    assert (bind.source, bind.writable) == (place / "me" / "x", False)
    assert bind.source.stat().st_mode & 0o777 == 0o777
    (place / "out").symlink_to("/etc")
    for sub in ("out", "../x", "/etc"):
        with pytest.raises(VolumeError):
            list(
                container_binds(
                    {"volumeMounts": [{"name": "v", "mountPath": "/m", "subPath": sub}]}, {"v": place}, {}
                )
            )


def test_host_paths_are_not_supported() -> None:
    """The reason names volume and kind."""
    assert unsupported(pod({"hostPath": {"path": "/"}})) == ["volume v is a hostPath"]
    assert unsupported(pod({})) == []


def test_an_empty_dir_over_its_limit_is_named_with_it(tmp_path: Path) -> None:
    """What a file takes on disk counts; a volume without a limit may grow."""
    body = pod({"emptyDir": {"sizeLimit": "1Mi"}})
    places = set_up(body, tmp_path, SOURCES)
    (places["v"] / "small").write_bytes(b"x" * 1000)
    assert too_large(body, places) == ""
    (places["v"] / "big").write_bytes(b"x" * 2**20)
    assert too_large(body, places) == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
    assert too_large(pod({"emptyDir": {}}), places) == ""
