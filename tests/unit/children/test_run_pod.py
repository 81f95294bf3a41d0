"""Facts about the parts of a run Pod. The golden files beside this one show it whole."""

from typing import Any

import pytest

from app.children.order import run_pod_name
from tests.unit.builders import RUN_ULID
from tests.unit.children.pods import OUR_SECTIONS, built, container, container_names, pool_settings

RESERVED = (
    "SPACELIFT_RUN_ID",
    "SPACELIFT_RUN_STAGE",
    "SPACELIFT_RUN_SEQUENCE",
    "SPACELIFT_POD_UID",
    "SPACELIFT_POD_NAME",
    "SPACELIFT_WORKER_ID",
    "SPACELIFT_WORKER_POOL_ID",
    "SPACELIFT_CREDENTIALS_DIR",
    "SPACELIFT_CUSTOM_BINARIES_PATH",
)


def mounts(pod: dict[str, Any], name: str) -> dict[str, tuple[str, str | None]]:
    """Return a container's mounts: path -> volume and subPath."""
    return {
        mount["mountPath"]: (mount["name"], mount.get("subPath"))
        for mount in container(pod, name)["volumeMounts"]
    }


def policies(pod: dict[str, Any]) -> dict[str, str | None]:
    """Return the restart policy of each init container, by name."""
    return {item["name"]: item.get("restartPolicy") for item in pod["spec"]["initContainers"]}


def test_the_containers_mount_what_the_documents_say() -> None:
    """The workspace whole for init and launcher-grpc, three parts of it for worker; the cache for init alone."""
    pod = built()
    credentials = ("run-credentials", None)
    assert mounts(pod, "init") == {
        "/opt/spacelift/workspace": ("workspace", None),
        "/opt/spacelift/binaries_cache": ("binaries-cache", None),
        "/opt/spacelift/credentials": credentials,
    }
    assert mounts(pod, "launcher-grpc") == {
        "/opt/spacelift/workspace": ("workspace", None),
        "/opt/spacelift/credentials": credentials,
    }
    assert mounts(pod, "worker") == {
        "/mnt/workspace": ("workspace", "project"),
        "/var/spacelift/socket": ("workspace", "socket"),
        "/opt/spacelift/binaries": ("workspace", "binaries"),
    }


def test_the_command_lines_are_the_documented_ones() -> None:
    """People recognise them in `kubectl describe`."""
    pod = built()
    lines = {
        name: [*container(pod, name)["command"], *container(pod, name).get("args", [])]
        for name in OUR_SECTIONS
    }
    assert lines == {
        "init": ["/usr/bin/spacelift-launcher", "init"],
        "launcher-grpc": ["/usr/bin/spacelift-launcher", "grpc-server"],
        "worker": ["/opt/spacelift/binaries/spacelift-worker"],
    }


def test_the_launcher_image_is_the_runs_unless_the_pool_pins_one() -> None:
    """The runner image is the run's in any case."""
    pinned = built(launcherImage="mine/launcher:1")
    for pod, launcher in ((built(), "spacelift.local/launcher:dev"), (pinned, "mine/launcher:1")):
        images = [container(pod, name)["image"] for name in OUR_SECTIONS]
        assert images == [launcher, launcher, "spacelift.local/runner:dev"]


def test_special_volumes_keep_the_users_name() -> None:
    """A sidecar may mount them by it, so our containers use it too."""
    pod = built(
        workspaceVolume={"name": "ours", "emptyDir": {"sizeLimit": "1Gi"}},
        binariesCacheVolume={"name": "tools"},
    )
    assert pod["spec"]["volumes"][:2] == [
        {"name": "ours", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "tools", "emptyDir": {}},
    ]
    assert {volume for volume, _ in mounts(pod, "worker").values()} == {"ours"}
    assert mounts(pod, "init")["/opt/spacelift/binaries_cache"] == ("tools", None)


def test_a_special_volume_without_a_name_gets_the_default_one() -> None:
    """The documents leave it out."""
    pod = built(workspaceVolume={"emptyDir": {"medium": "Memory"}})
    assert pod["spec"]["volumes"][0] == {"name": "workspace", "emptyDir": {"medium": "Memory"}}


def test_the_worker_container_sees_neither_credentials_nor_mothership() -> None:
    """The run's own commands execute there."""
    pod = built()
    assert "run-credentials" not in [volume for volume, _ in mounts(pod, "worker").values()]
    assert {item["name"] for item in container(pod, "worker")["env"]} == {
        "SPACELIFT_RUN_ID",
        "SPACELIFT_RUN_STAGE",
    }


def test_the_custom_binaries_path_reaches_the_executor() -> None:
    """It puts it first on the commands' PATH; the other containers have no use for it."""
    pod = built(customBinariesPath="/bin")
    variable = {"name": "SPACELIFT_CUSTOM_BINARIES_PATH", "value": "/bin"}
    assert variable in container(pod, "worker")["env"]
    assert variable not in container(pod, "init")["env"]


@pytest.mark.parametrize(("name", "section"), OUR_SECTIONS.items())
def test_reserved_variables_are_never_the_users(name: str, section: str) -> None:
    """The start claim depends on them; what else the user sets comes behind ours and may refer to them."""
    users = [{"name": reserved, "value": "mine"} for reserved in RESERVED]
    mine = {"name": "MINE", "value": "$(SPACELIFT_RUN_ID)"}
    env = container(built({section: {"env": [*users, mine]}}), name)["env"]
    assert env == [*container(built(), name)["env"], mine]


def test_reserved_labels_and_annotations_are_never_the_users() -> None:
    """Hook, agent and kubectl know a Pod by them."""
    mine = {"team": "platform", "workers.spacelift.io/run-id": "mine", "workers.spacelift.io/other": "mine"}
    metadata = built(labels=mine, annotations=mine)["metadata"]
    ours = built()["metadata"]
    assert metadata["labels"] == {"team": "platform", **ours["labels"]}
    assert metadata["annotations"] == {"team": "platform", **ours["annotations"]}
    assert ours["labels"]["workers.spacelift.io/run-id"] == RUN_ULID


def test_the_pod_is_held_until_its_verdict() -> None:
    """By its finalizer, and by a second owner that foreground deletion of the pool doesn't reach."""
    metadata = built()["metadata"]
    assert metadata["finalizers"] == ["workers.spacelift.io/verdict"]
    assert [owner["kind"] for owner in metadata["ownerReferences"]] == ["Secret"]


def test_custom_init_containers_come_before_init() -> None:
    """In their own order."""
    pod = built(customInitContainers=[{"name": "first"}, {"name": "second"}])
    assert container_names(pod) == (["first", "second", "init"], ["launcher-grpc", "worker"])


def test_sidecars_are_ordinary_containers_without_native_ones() -> None:
    """They run until the Pod is let go."""
    assert container_names(built(pool_settings("sidecars"))) == (
        ["init"],
        ["launcher-grpc", "worker", "docker", "redis"],
    )


def test_native_sidecars_start_before_init_claims_the_start_and_end_with_the_run() -> None:
    """A slow one costs no lease there, and a restarting init container doesn't hold up the Pod's end."""
    pod = built(pool_settings("sidecars"), native_sidecars=True)
    assert container_names(pod) == (["docker", "redis", "init"], ["launcher-grpc", "worker"])
    assert policies(pod) == {"docker": "Always", "redis": "Always", "init": None}


def test_native_sidecars_stand_behind_the_users_own_init_containers() -> None:
    """One of those that is a sidecar itself keeps its place among them."""
    inits = [{"name": "proxy", "restartPolicy": "Always"}, {"name": "fetch"}]
    pod = built(pool_settings("sidecars"), native_sidecars=True, customInitContainers=inits)
    assert container_names(pod)[0] == ["proxy", "fetch", "docker", "redis", "init"]
    assert policies(pod)["proxy"] == "Always"


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_restart_policy_of_an_init_container_is_left_out(native: bool, empty: str | None) -> None:
    """The API server takes Always there, or no policy at all."""
    pod = built(customInitContainers=[{"name": "one", "restartPolicy": empty}], native_sidecars=native)
    assert container(pod, "one") == {"name": "one"}


@pytest.mark.parametrize("policy", ["", None, "Always"])
def test_an_ordinary_sidecar_has_no_restart_policy_of_its_own(policy: str | None) -> None:
    """The API server refuses one on a container that isn't an init container; a native sidecar has its one."""
    sidecar = {"name": "db", "restartPolicy": policy}
    assert container(built(additionalSidecarContainers=[sidecar]), "db") == {"name": "db"}
    native = built(additionalSidecarContainers=[sidecar], native_sidecars=True)
    assert container(native, "db") == {"name": "db", "restartPolicy": "Always"}


def test_a_container_of_the_user_stays_as_it_is_written() -> None:
    """Beyond the restart policy of a native sidecar nothing is added."""
    sidecar = {"name": "db", "image": "postgres", "env": [{"name": "A", "value": ""}], "securityContext": {}}
    assert container(built(additionalSidecarContainers=[sidecar]), "db") == sidecar
    native = built(additionalSidecarContainers=[sidecar], native_sidecars=True)
    assert container(native, "db") == {**sidecar, "restartPolicy": "Always"}


def test_the_pod_is_named_after_run_stage_and_sequence() -> None:
    """A re-scheduled stage has a higher sequence, and so another name."""
    assert run_pod_name("01HPS6XB76J1JB3EHSK4AWE5AB", "preparing-apply", 9) == (
        "01hps6xb76j1jb3ehsk4awe5ab-preparing-apply-9"
    )
