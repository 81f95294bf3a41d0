"""The ``restricted`` Pod Security Standard of Kubernetes as a check of its own, to judge the Pods that we build.

Rules of the baseline that a stricter one of the restricted profile covers are stated once, in the stricter form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

Object = dict[str, Any]

ALLOWED_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
ALLOWED_SECCOMP: Final = ("RuntimeDefault", "Localhost")
ALLOWED_SELINUX_TYPES: Final = (
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
)
SAFE_SYSCTLS: Final = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}


def violations(pod: Object) -> list[str]:
    """Return what the Pod does that the profile forbids, one sentence each; an empty list means that it passes."""
    spec = pod["spec"]
    of_pod = spec.get("securityContext") or {}
    found = [*_of_spec(spec), *_of_any_context(of_pod, "the Pod")]
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        context, name = container.get("securityContext") or {}, container["name"]
        found += _of_any_context(context, name)
        found += _of_container(container, context, name)
        found += _of_both(of_pod, context, name)
    return found


def _of_spec(spec: Object) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is set"
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= ALLOWED_VOLUMES:
            yield f"volume {volume['name']} is of a kind that isn't allowed"
    for sysctl in (spec.get("securityContext") or {}).get("sysctls") or []:
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl['name']} isn't safe"


def _of_any_context(context: Object, where: str) -> Iterator[str]:
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{where} is a host process"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in ALLOWED_SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{where} sets SELinux options that aren't allowed"
    if (context.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield f"{where} has no AppArmor confinement"
    if (context.get("seccompProfile") or {}).get("type", "RuntimeDefault") not in ALLOWED_SECCOMP:
        yield f"{where} has no seccomp confinement"
    if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
        yield f"{where} may run as root"


def _of_container(container: Object, context: Object, name: str) -> Iterator[str]:
    capabilities = context.get("capabilities") or {}
    if context.get("privileged"):
        yield f"{name} is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name} allows privilege escalation"
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"{name} keeps capabilities"
    if not set(capabilities.get("add") or []) <= {"NET_BIND_SERVICE"}:
        yield f"{name} adds capabilities"
    if context.get("procMount", "Default") != "Default":
        yield f"{name} unmasks /proc"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield f"{name} uses a port of the host"


def _of_both(of_pod: Object, context: Object, name: str) -> Iterator[str]:
    """Judge what either the Pod or the container has to say."""
    merged = {**of_pod, **context}
    if merged.get("runAsNonRoot") is not True:
        yield f"{name} isn't bound to run as non-root"
    if not merged.get("seccompProfile"):
        yield f"{name} has no seccomp profile"
