"""The command line that runs a container's process in its sandbox; pure.

bubblewrap gives it a mount, PID, IPC and UTS namespace; the network is the host's. As root the user is changed for
real inside (by setpriv, so that owners and fsGroup count as they do in a container); without root, or in an image
without setpriv, a user namespace shows the wanted ids. The container's command is PID 1 of its namespace, exactly
as in a container: a SIGTERM that it doesn't handle is ignored and ends in SIGKILL after the grace.

proot, for machines that refuse user namespaces, knows neither PID namespaces nor read-only binds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster.node.mounts import BindMount, Farm, MakeDir, MakeLink, Step

SETPRIV = "/usr/bin/setpriv"

# What containerd leaves to a container's root, less what only a device node or a raw socket would need.
_ROOT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_SETFCAP", "CAP_AUDIT_WRITE",
)  # fmt: skip
_SETPRIV_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")


@dataclass(frozen=True)
class Identity:
    """Whom a container runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sandbox:
    """Everything that a container's process is started with; farms are already replaced by binds."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    hostname: str
    steps: Sequence[Step]
    identity: Identity
    termination_log: Path
    termination_path: str
    real_ids: bool
    read_only: bool = False
    drop_all: bool = False


def bwrap_options(box: Sandbox) -> list[str]:
    """Return bubblewrap's options; they carry the environment, so they are handed over by descriptor."""
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", box.hostname[:63]]
    options += ["--die-with-parent", "--new-session", "--as-pid-1"]
    options += _bwrap_identity(box)
    for step in box.steps:
        options += _bwrap_step(step)
    options += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
    options += _bwrap_step(BindMount(box.termination_log, box.termination_path, writable=True))
    if box.read_only:
        options += ["--remount-ro", "/"]
    options += ["--clearenv"]
    for name, value in box.env.items():
        options += ["--setenv", name, value]
    return [*options, "--chdir", box.cwd]


def bwrap_command(box: Sandbox) -> list[str]:
    """Return what bubblewrap runs: the container's command, behind setpriv where that changes the user."""
    if not box.real_ids or box.identity.uid == 0:
        return list(box.argv)
    identity = box.identity
    groups = ",".join(str(group) for group in identity.groups)
    drop = [SETPRIV, "--reuid", str(identity.uid), "--regid", str(identity.gid)]
    drop += ["--groups", groups] if groups else ["--clear-groups"]
    # Changing the user clears the death signal that bubblewrap has set.
    return [*drop, "--inh-caps=-all", "--bounding-set=-all", "--pdeathsig", "KILL", "--", *box.argv]


def proot_argv(box: Sandbox, proot: Sequence[str], root: Path) -> list[str]:
    """Return a command line for a root directory that already holds the plan's directories and links."""
    argv = [*proot, "-r", str(root)]
    argv += ["-i", f"{box.identity.uid}:{box.identity.gid}", "-b", "/proc", "-b", "/dev"]
    for step in box.steps:
        if isinstance(step, BindMount):
            argv += ["-b", f"{step.source}:{step.target}!"]
    argv += ["-b", f"{box.termination_log}:{box.termination_path}!", "-w", box.cwd]
    return [*argv, *box.argv]


def _bwrap_identity(box: Sandbox) -> list[str]:
    """Return the options for user and capabilities."""
    if not box.real_ids:
        return ["--unshare-user", "--uid", str(box.identity.uid), "--gid", str(box.identity.gid)]
    keep: Sequence[str] = _SETPRIV_CAPABILITIES
    if box.identity.uid == 0:
        keep = () if box.drop_all else _ROOT_CAPABILITIES
    return ["--cap-drop", "ALL", *(word for name in keep for word in ("--cap-add", name))]


def _bwrap_step(step: Step) -> list[str]:
    """Return the options for one step of the plan."""
    match step:
        case MakeDir(target):
            # bubblewrap would make missing parents unreadable for other users.
            return ["--perms", "0755", "--dir", target]
        case MakeLink(target, points_to):
            return ["--symlink", points_to, target]
        case BindMount(source, target, writable):
            return ["--bind" if writable else "--ro-bind", str(source), target]
        case Farm(target):
            raise ValueError(f"the farm at {target} has to be written first")
