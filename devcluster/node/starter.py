"""Starts one container: image, configuration, root file system, process. Says what a kubelet would if it can't.

Outcomes:

    Started        the process runs
    Held           it can't be started now; the reason is the one of a waiting container
    NeverStarted   its program can't be executed: the container has ended with exit code 128
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from devcluster.node.env import ConfigError, Scope, command_line, environment
from devcluster.node.fields import NodeFacts
from devcluster.node.identity import home, identity
from devcluster.node.images import Image, ImageTable, InvalidImageName, canonical
from devcluster.node.logs import LogFile
from devcluster.node.mounts import MountError, Rootfs
from devcluster.node.podfiles import PodFiles
from devcluster.node.quantity import parse_quantity
from devcluster.node.rootfs import add_volumes, find_program, image_rootfs, interpreter, written
from devcluster.node.runtime import Exit, Launch, Process, Runtime, StartFailed
from devcluster.node.sandbox import SETPRIV, Sandbox
from devcluster.node.shapes import Json
from devcluster.node.volumes import VolumeError, container_binds

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TERMINATION_PATH = "/dev/termination-log"


@dataclass(frozen=True)
class Started:
    """A container that runs."""

    process: Process
    log: LogFile
    image_id: str


@dataclass(frozen=True)
class Held:
    """A container that waits for something to be mended."""

    reason: str
    message: str


@dataclass(frozen=True)
class NeverStarted:
    """A container whose program can't be executed."""

    message: str
    image_id: str


Outcome: TypeAlias = Started | Held | NeverStarted


@dataclass(frozen=True)
class Workplace:
    """What starting any container needs; `images` is asked each time, so that a table may grow."""

    runtime: Runtime
    images: Callable[[], ImageTable]
    facts: NodeFacts
    farms: Path
    shared_paths: tuple[Path, ...]
    api_server: Mapping[str, str]
    as_root: bool


@dataclass(frozen=True)
class Order:
    """Which container of which Pod to start, for the how-manieth time, with what volumes."""

    scope: Scope
    container: Json
    volumes: Mapping[str, Path]
    files: PodFiles
    attempt: int


class Starter:
    """Starts containers."""

    def __init__(self, workplace: Workplace) -> None:
        self._place = workplace

    def start(self, order: Order, on_exit: Callable[[Exit], None]) -> Outcome:
        """Start a container; must be called by a thread that outlives it."""
        try:
            image = self._place.images().find(order.container["image"])
        except InvalidImageName as error:
            return Held("InvalidImageName", str(error))
        if image is None:
            return _not_pulled(order.container)
        try:
            box, message = self._sandbox(order, image)
        except (ConfigError, VolumeError, ValueError) as error:
            return Held("CreateContainerConfigError", str(error))
        except MountError as error:
            return Held("CreateContainerError", str(error))
        if box is None:
            return NeverStarted(message, image.digest)
        return self._launch(order, image, box, on_exit)

    def _launch(self, order: Order, image: Image, box: Sandbox, on_exit: Callable[[Exit], None]) -> Outcome:
        """Start the process."""
        name = order.container["name"]
        log = LogFile(order.files.log(name, order.attempt))
        launch = Launch(box, log, _memory_limit(order.container), order.files.container(name) / "rootfs")
        order.files.mark_started(name)
        try:
            process = self._place.runtime.start(launch, on_exit)
        except (StartFailed, OSError) as error:
            log.close()
            return NeverStarted(f"failed to create containerd task: {error}", image.digest)
        return Started(process, log, image.digest)

    def _sandbox(self, order: Order, image: Image) -> tuple[Sandbox | None, str]:
        """Return the sandbox of a container, or None and why its program can't be executed."""
        pod, container = order.scope.pod, order.container
        folder = order.files.container(container["name"])
        folder.mkdir(parents=True, exist_ok=True)
        security = container.get("securityContext") or {}
        rootfs = image_rootfs(
            image, folder / "scratch", read_only=bool(security.get("readOnlyRootFilesystem"))
        )
        passwd = rootfs.host_path("/etc/passwd")
        user = identity(pod, container, image, passwd)
        values = environment(container, order.scope, self._base_env(pod, image, home(user.uid, passwd)))
        add_volumes(rootfs, container_binds(container, order.volumes, values))
        for path in self._place.shared_paths:
            rootfs.bind(path, str(path), writable=True)
        cwd = rootfs.add_dir(container.get("workingDir") or image.working_dir)
        argv = command_line(container, list(image.entrypoint), list(image.cmd), values)
        if problem := _not_executable(rootfs, argv[0], values["PATH"], cwd):
            return None, problem
        termination = folder / "termination-log"
        termination.write_bytes(b"")
        termination.chmod(0o666)
        box = Sandbox(
            argv=argv,
            env=values,
            cwd=cwd,
            hostname=pod["spec"].get("hostname") or pod["metadata"]["name"],
            steps=written(rootfs.steps(), self._place.farms),
            identity=user,
            termination_log=termination,
            termination_path=container.get("terminationMessagePath") or _TERMINATION_PATH,
            real_ids=self._place.as_root and rootfs.host_path(SETPRIV) is not None,
            read_only=bool(security.get("readOnlyRootFilesystem")),
            drop_all="ALL" in ((security.get("capabilities") or {}).get("drop") or []),
        )
        return box, ""

    def _base_env(self, pod: Json, image: Image, home_path: str) -> dict[str, str]:
        """Return what a container's environment starts from."""
        basics = {"PATH": _DEFAULT_PATH, "HOSTNAME": pod["metadata"]["name"], "HOME": home_path}
        return {**basics, **image.env, **self._place.api_server}


def _not_pulled(container: Json) -> Held:
    """Return what it means that the image table lacks an image."""
    image = container["image"]
    if container.get("imagePullPolicy") == "Never":
        return Held(
            "ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never'
        )
    name = canonical(image)
    return Held(
        "ErrImagePull",
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{name}": '
        f'failed to resolve reference "{name}": {name}: not found',
    )


def _not_executable(rootfs: Rootfs, word: str, search: str, cwd: str) -> str:
    """Return why a program can't be executed, empty when it can."""
    prefix = "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
    found = find_program(rootfs, word, search, cwd)
    if found is None:
        place = rootfs.host_path(word) if "/" in word else None
        if place is not None:
            return f'{prefix}exec: "{word}": permission denied: unknown'
        missing = (
            "stat " + word + ": no such file or directory"
            if "/" in word
            else "executable file not found in $PATH"
        )
        return f'{prefix}exec: "{word}": {missing}: unknown'
    script = interpreter(found[1])
    if script is not None and not rootfs.exists(script):
        return f"{prefix}exec {word}: no such file or directory: unknown"
    return ""


def _memory_limit(container: Json) -> int | None:
    """Return the memory limit in bytes, None without one."""
    limits = (container.get("resources") or {}).get("limits") or {}
    return int(parse_quantity(limits["memory"])) if "memory" in limits else None
