"""What is decided about a real node before anything of it starts."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import clusters
from devcluster.cluster import Options
from devcluster.components import replicas
from devcluster.kubectl import Document
from devcluster.progress import ClusterError
from devcluster.realnode import (
    cgroups,
    config,
    images,
    means,
    namespaces,
    network,
    podlogs,
    shares,
    sweeper,
    workloads,
)
from devcluster.realnode.cluster import ContainerCluster
from devcluster.realnode.deployed import Deployment
from devcluster.realnode.workloads import Extra

LABELS = {workloads.OPERATOR_LABEL: workloads.OPERATOR}
NAMES = "spacelift-workerpool-controller-webhook-service.spacelift-worker-controller-system,127.0.0.1"
"""By which names the hooks are called: Metacontroller's, as the operator's own default has it, and this machine's."""


def _deployment() -> Document:
    container = {"name": "manager", "image": "somewhere/operator:1", "args": ["--leader-elect"]}
    template = {"metadata": {"labels": dict(LABELS)}, "spec": {"containers": [container]}}
    return {
        "kind": "Deployment",
        "metadata": {"name": workloads.OPERATOR_DEPLOYMENT},
        "spec": {"replicas": 2, "selector": {"matchLabels": dict(LABELS)}, "template": template},
    }


def test_the_network_has_no_way_out() -> None:
    """Only the bridge and the Services have routes, and no device leads anywhere else."""
    made = [" ".join(argv) for argv in network.commands()]
    assert not [line for line in made if "default" in line]
    assert [line.split()[3] for line in made if line.startswith("ip link add")] == [network.BRIDGE]
    assert network.cni("/data")["plugins"][0]["ipMasq"] is False
    assert [each["dst"] for each in network.cni("/data")["plugins"][0]["ipam"]["routes"]] == ["10.96.0.0/16"]


def test_the_guard_is_made_with_the_network() -> None:
    """What kube-proxy doesn't translate is refused, from the node and from Pods."""
    assert network.commands()[-1] == ["nft", network.guard()]
    assert network.guard().count("ip daddr 10.96.0.0/16 reject") == 2


def test_the_kubelet_finds_the_machines_settings_as_it_wants_them(tmp_path: Path) -> None:
    """It reads files of the node's own in the place of settings that count for the whole machine."""
    binds = {target: source for source, target in namespaces.plan(tmp_path).binds}
    namespaces.Namespaces(tmp_path).prepare()
    for name, value in namespaces.KUBELETS_SYSCTLS.items():
        assert Path(binds[f"/proc/sys/{name}"]).read_text().strip() == value
    assert config.kubelet(config.KubeletFiles("c", "k", "a"), "/g")["protectKernelDefaults"] is True
    # All that is set for real belongs to the network namespace.
    assert all(name.startswith("net/") for name in namespaces.plan(tmp_path).sysctls)


def test_shared_layers_are_mounted_after_the_nodes_own_directory(tmp_path: Path) -> None:
    """A mount that is made first would be hidden by the next."""
    shared = (("/cache/layer", f"{namespaces.HOME}/containerd/layer"),)
    binds = namespaces.plan(tmp_path, shared).binds
    assert binds.index((str(tmp_path), namespaces.HOME)) < binds.index(shared[0])


def test_the_operator_comes_from_the_manifests_with_another_image() -> None:
    """Image and further arguments change, no Pod is asked for yet, and nothing changes that others hold."""
    given = _deployment()
    changed, *added = workloads.operator([given], Extra(("--more",), {"NAME": "value"}))
    container = changed["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == images.OPERATOR
    assert container["args"] == ["--leader-elect", f"--hook-server-names={NAMES}", "--more"]
    assert container["env"] == [{"name": "NAME", "value": "value"}]
    assert changed["spec"]["replicas"] == 0
    assert given == _deployment()
    assert [each["kind"] for each in added] == ["Service"]


def test_several_operators_are_deployments_that_share_the_manifests_service() -> None:
    """Each is stopped and started for itself: no selector finds the other's Pods, and the Service finds both."""
    names = replicas(2)
    made = workloads.operator([_deployment()], Extra(), names)
    deployments = {each["metadata"]["name"]: each["spec"] for each in made if each["kind"] == "Deployment"}
    assert list(deployments) == ["operator", "operator-2"]
    for name, spec in deployments.items():
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"] == labels == {**LABELS, workloads.REPLICA_LABEL: name}
        assert f"--replica-name={name}" in spec["template"]["spec"]["containers"][0]["args"]
        assert workloads.deployment_of(name, names) == (name, f"{workloads.REPLICA_LABEL}={name}")
    assert [each["spec"]["clusterIP"] for each in made if each["kind"] == "Service"] == [
        workloads.ADDRESSES[f"{name}-health"] for name in names
    ]
    assert _deployment()["spec"]["selector"]["matchLabels"] == LABELS


def test_the_logs_of_a_component_are_those_of_its_pods_alone(tmp_path: Path) -> None:
    """Without the runtime's own words, also of a Pod that is gone by now; parts of a long line are put together."""
    source, target = tmp_path / "pods", tmp_path / "logs"
    target.mkdir()
    one, two = (Deployment(name, "system", "") for name in replicas(2))

    def write(pod: str, *lines: str) -> Path:
        folder = source / f"system_{pod}_0-1-2" / "manager"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "0.log"
        with path.open("a") as log:
            log.writelines(f"2026-01-01T00:00:00.123456789Z stdout {line}" for line in lines)
        return path

    logs = podlogs.PodLogs(source, {"one": one.log_folders, "two": two.log_folders}, target)
    first = write("operator-5f5d4d5b-rnvq6", "F began\n", "P a lo\n", "F ng")
    write("operator-2-5f5d4d5b-rnvq6", "F another\n")
    assert logs.path("one").read_text() == "began\na lo"
    assert logs.path("two").read_text() == "another\n"
    with first.open("a") as log:
        log.write("  line\n")
    first.unlink()
    write("operator-5f5d4d5b-xxxxx", "F again\n")
    # As the fault suite does to keep them while the cluster still runs.
    target.rename(tmp_path / "kept")
    logs.stop()
    assert (tmp_path / "kept" / "one.log").read_text() == "began\na long  line\nagain\n"


def test_a_pods_processes_are_those_of_its_containers_and_a_group_that_goes_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers end while their groups are read: the others' processes are found all the same."""
    monkeypatch.setattr(cgroups, "TOP", tmp_path)
    monkeypatch.setattr(cgroups, "unified", lambda: True)
    pods = tmp_path / "node" / "kubepods" / "burstable"
    for pod, container, text in (("pod1", "a", "12\n"), ("pod1", "b", "7\n8\n"), ("pod2", "c", "9\n")):
        (pods / pod / container).mkdir(parents=True)
        (pods / pod / container / "cgroup.procs").write_text(text)
    (pods / "pod1" / "gone").mkdir()

    def walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for found in walked(top):
            if found[0].endswith("gone"):
                (pods / "pod1" / "gone").rmdir()
            yield found

    walked = os.walk
    monkeypatch.setattr(os, "walk", walk)
    assert cgroups.processes_of_pod("node", "1") == [7, 8, 12]
    assert cgroups.processes_of_pod("node", "3") == []


def test_pods_of_a_deployment_with_a_long_name_are_found_by_their_logs() -> None:
    """The API server cuts a Pod's name, and its second hyphen with it."""
    deployment = Deployment(workloads.OPERATOR_DEPLOYMENT, "ns", "app=operator")
    uid = "0c3c4f5e-2b1d-4b8e-9f5c-7a1d2e3f4a5b"
    assert deployment.log_folders.fullmatch(f"ns_{workloads.OPERATOR_DEPLOYMENT}-78ff75cd2w85_{uid}")
    assert not deployment.log_folders.fullmatch(f"other_{workloads.OPERATOR_DEPLOYMENT}-78ff75cd2w85_{uid}")


def test_the_mothership_tells_the_addresses_of_relays() -> None:
    """Pools' tokens and launchers carry them; the mothership's own way to the broker is a third."""
    endpoints = workloads.Endpoints("mqtts://one:1", "mqtts://two:2", "https://three:3")
    made = workloads.mothership(Path("/data"), Extra(), endpoints)
    (deployment,) = [each for each in made if each["kind"] == "Deployment"]
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    wanted = {"--broker=mqtts://one:1", "--public-broker=mqtts://two:2", "--public-endpoint=https://three:3"}
    assert wanted <= set(arguments)


def test_the_hooks_service_has_the_address_that_its_relay_leads_to() -> None:
    """Else the API server would give it any."""
    service = {"kind": "Service", "metadata": {"name": workloads.OPERATOR_SERVICE}, "spec": {}}
    made, *_ = workloads.operator([service], Extra())
    assert made["spec"] == {"clusterIP": workloads.HOOKS_ADDRESS}
    assert workloads.HOOKS_ADDRESS not in workloads.ADDRESSES.values()


@pytest.mark.parametrize("name", ["mothership", "mosquitto"])
def test_our_own_workloads_are_restricted(name: str) -> None:
    """They run as 1983, without privileges, with a root they can't write."""
    made = workloads.mothership(Path("/data"), Extra()) + workloads.broker(Path("/conf"), Path("/data"))
    (deployment,) = [
        each for each in made if each["kind"] == "Deployment" and each["metadata"]["name"] == name
    ]
    spec = deployment["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsUser"] == 1983
    assert spec["automountServiceAccountToken"] is False
    security = spec["containers"][0]["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_every_service_has_an_address_of_its_own_in_the_range() -> None:
    """Relays of the machine lead to these addresses."""
    assert len(set(workloads.ADDRESSES.values())) == len(workloads.ADDRESSES)
    assert all(address.startswith("10.96.0.") for address in workloads.ADDRESSES.values())


def test_shares_reach_every_container() -> None:
    """Volumes and mounts are numbered alike, for init containers and containers."""
    made = shares.expression(["/one", '/with"quote'])
    assert made.count('name: "share-1"') == 3
    assert json.dumps('/with"quote') in made
    assert shares.policy([]) == []
    assert [each["kind"] for each in shares.policy([Path("/one")])] == [
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    ]


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("ARG PYTHON_IMAGE=docker.io/library/python:3.13.15-slim-trixie", "trixie"),
        ("ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:00", "bookworm"),
        ("ARG PYTHON_IMAGE=python:3.11-slim", ""),
        ("FROM python:3-trixie", ""),
    ],
)
def test_the_base_is_of_the_release_that_the_dockerfile_names(line: str, release: str) -> None:
    """Its steps may name packages of that release."""
    assert images.suite_of(f"# comment\n{line}\n") == release


def test_images_are_named_as_containerd_knows_them() -> None:
    """The names are annotations of the archive's index."""
    entry = {"digest": "sha256:0", "annotations": {"org.opencontainers.image.ref.name": "0"}}
    found = images.named({"manifests": [entry]}, {"0": "devcluster.local/pause:1"})
    assert "devcluster.local/pause:1" in json.dumps(found)


def test_a_changed_source_means_other_images(tmp_path: Path) -> None:
    """The archive is named by what it is made of."""
    for name in images.SOURCES:
        (tmp_path / name).mkdir() if "." not in name and name != "Dockerfile" else (tmp_path / name).touch()
    before = images.fingerprint(tmp_path)
    assert images.fingerprint(tmp_path) == before
    (tmp_path / "app" / "new.py").write_text("pass\n")
    assert images.fingerprint(tmp_path) != before


def test_groups_are_removed_from_the_leaves_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group with groups in it can't be removed before them."""
    monkeypatch.setattr(cgroups, "TOP", tmp_path)
    (tmp_path / "memory" / "devcluster-n" / "kubepods" / "pod1").mkdir(parents=True)
    (tmp_path / "memory" / "cgroup.procs").touch()
    assert cgroups.remove("devcluster-n") == []
    assert not (tmp_path / "memory" / "devcluster-n").exists()
    assert (tmp_path / "memory").exists()


def test_the_sweeper_removes_the_nodes_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing beside it."""
    monkeypatch.setattr(cgroups, "TOP", tmp_path / "none")
    (tmp_path / "none").mkdir()
    (tmp_path / "node" / "deep").mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    assert sweeper.sweep(tmp_path / "node", "devcluster-n") == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "none"] == ["logs"]


def test_a_machine_without_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text names what is missing."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert means.unavailable() == "no real node on this machine, it lacks: root"
    with pytest.raises(ClusterError, match="it lacks: root"):
        means.provide(lambda _: None)


def test_the_node_is_chosen_by_name(tmp_path: Path) -> None:
    """An unknown one is refused with the choices."""
    assert isinstance(clusters.make(tmp_path, Options(node="containerd")), ContainerCluster)
    assert not isinstance(clusters.make(tmp_path, Options(node="process")), ContainerCluster)
    with pytest.raises(ValueError, match="NODE=docker: choose process or containerd"):
        clusters.make(tmp_path, Options(node="docker"))
