"""Security contexts: the Pod passes the ``restricted`` Pod Security Standard unless the user asks otherwise.

User and group are set on our three containers alone, so that sidecars keep those of their images; the rest of
what holds for the whole Pod is set on the Pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.vocabulary import RUN_USER_ID

if TYPE_CHECKING:
    from app.children.pod_settings import Settings
    from app.contract.fields import JsonObject

_ADMIN_CAPABILITIES = ("CAP_SYS_ADMIN", "SYS_ADMIN")
_ROOT = 0


def pod_security_context(pod: Settings) -> JsonObject:
    """Return the Pod's context: the group makes volumes and the run Secret readable for user 1983."""
    return {
        "fsGroup": RUN_USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
        **pod.dense("securityContext"),
    }


def container_security_context(pod: Settings, container: Settings) -> JsonObject:
    """Return the context of one of our containers: our defaults, less what the user set for it or for the Pod."""
    users = container.dense("securityContext")
    return {
        **_identity(pod.dense("securityContext"), users),
        **_privileges(container),
        **users,
    }


def _identity(of_pod: JsonObject, of_container: JsonObject) -> JsonObject:
    """Return user and group, less what the user set for the whole Pod, which a container's would hide."""
    identity = {"runAsUser": RUN_USER_ID, "runAsGroup": RUN_USER_ID, "runAsNonRoot": True}
    if {**of_pod, **of_container}.get("runAsUser") == _ROOT:
        # The kubelet refuses to start a root user as non-root, so asking for the one is asking for the other.
        del identity["runAsNonRoot"]
    return {key: value for key, value in identity.items() if key not in of_pod}


def _privileges(container: Settings) -> JsonObject:
    users = container.section("securityContext")
    added = users.section("capabilities").words("add")
    if users.flag("privileged") or any(name in _ADMIN_CAPABILITIES for name in added):
        # The API server refuses both with allowPrivilegeEscalation false.
        return {"capabilities": {"drop": ["ALL"]}}
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
