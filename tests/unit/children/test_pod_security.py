"""Facts about the security contexts of run Pods."""

from typing import Any

import pytest

from tests.unit.children.pod_security_standard import violations
from tests.unit.children.pods import OUR_SECTIONS, built, container, pool_settings


def context(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the security context of a container."""
    found: dict[str, Any] = container(pod, name)["securityContext"]
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pool_settings("empty-options"),
        {"securityContext": {"fsGroup": 2000, "runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True}},
        {"workerContainer": {"securityContext": {"readOnlyRootFilesystem": True}}},
        {"volumes": [{"name": "policy", "configMap": {"name": "policy"}}], "customBinariesPath": "/bin"},
        {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "mine.json"}}},
    ],
)
def test_a_run_pod_passes_the_restricted_standard(settings: dict[str, Any]) -> None:
    """Unless the user asks otherwise."""
    assert violations(built(settings)) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"securityContext": {"runAsNonRoot": False}}, "may run as root"),
        ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "has no seccomp confinement"),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "isn't safe"),
        ({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, "isn't allowed"),
        ({"workerContainer": {"securityContext": {"privileged": True}}}, "worker is privileged"),
        (
            {"workerContainer": {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}},
            "adds capabilities",
        ),
        ({"initContainer": {"securityContext": {"runAsUser": 0}}}, "init may run as root"),
        ({"initContainer": {"securityContext": {"procMount": "Unmasked"}}}, "unmasks /proc"),
        ({"additionalSidecarContainers": [{"name": "redis", "image": "redis"}]}, "redis keeps capabilities"),
        (
            {"customInitContainers": [{"name": "fetch", "image": "fetch"}]},
            "fetch isn't bound to run as non-root",
        ),
    ],
)
def test_the_standard_is_left_only_by_the_users_wish(settings: dict[str, Any], expected: str) -> None:
    """And the check finds it."""
    assert any(expected in violation for violation in violations(built(settings)))


@pytest.mark.parametrize("name", OUR_SECTIONS)
def test_our_containers_run_as_user_1983(name: str) -> None:
    """All three, with every capability dropped."""
    assert context(built(), name) == {
        "runAsUser": 1983,
        "runAsGroup": 1983,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize(("name", "section"), OUR_SECTIONS.items())
def test_a_containers_own_user_wins_there_and_nowhere_else(name: str, section: str) -> None:
    """The other two keep 1983."""
    pod = built({section: {"securityContext": {"runAsUser": 2001}}})
    assert {each: context(pod, each)["runAsUser"] for each in OUR_SECTIONS} == {
        **dict.fromkeys(OUR_SECTIONS, 1983),
        name: 2001,
    }


def test_a_user_for_the_whole_pod_is_not_hidden_by_ours() -> None:
    """A container's own context would win over the Pod's, so ours steps back field by field."""
    pod = built(securityContext={"runAsUser": 1000})
    assert pod["spec"]["securityContext"]["runAsUser"] == 1000
    assert "runAsUser" not in context(pod, "worker")
    assert context(pod, "worker")["runAsGroup"] == 1983


@pytest.mark.parametrize(
    "settings",
    [
        {"securityContext": {"runAsUser": 0}},
        {"workerContainer": {"securityContext": {"runAsUser": 0}}},
        {"securityContext": {"runAsUser": 1000}, "workerContainer": {"securityContext": {"runAsUser": 0}}},
    ],
)
def test_a_root_user_is_not_told_to_be_non_root(settings: dict[str, Any]) -> None:
    """The kubelet would refuse to start the container for ever."""
    assert "runAsNonRoot" not in context(built(settings), "worker")


def test_a_container_with_a_user_of_its_own_stays_non_root_in_a_root_pod() -> None:
    """What counts is the user that the container ends up with."""
    pod = built(securityContext={"runAsUser": 0}, workerContainer={"securityContext": {"runAsUser": 5}})
    assert context(pod, "worker")["runAsNonRoot"] is True


@pytest.mark.parametrize(
    "wish",
    [
        {"privileged": True},
        {"capabilities": {"add": ["CAP_SYS_ADMIN"]}},
        {"capabilities": {"add": ["SYS_ADMIN"]}},
    ],
)
def test_what_implies_privilege_escalation_is_not_contradicted(wish: dict[str, Any]) -> None:
    """The API server refuses a container that is privileged and may not escalate."""
    assert "allowPrivilegeEscalation" not in context(
        built(workerContainer={"securityContext": wish}), "worker"
    )
    asked = built(workerContainer={"securityContext": {**wish, "allowPrivilegeEscalation": True}})
    assert context(asked, "worker")["allowPrivilegeEscalation"] is True


def test_containers_of_the_user_keep_their_context() -> None:
    """The documented docker:dind runs as root; nothing of ours is put into it."""
    pod = built(pool_settings("sidecars"))
    assert context(pod, "docker") == {"privileged": True}
    assert "securityContext" not in container(pod, "redis")
    assert "runAsUser" not in pod["spec"]["securityContext"]
