"""The node's settings, parsed once from its command line."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from devcluster.node.images import Image, image_from_json, load_table_file
from devcluster.node.userland import LauncherSource, default_images

_TREE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Options:
    """Settings of a node; each flag's help says what it is."""

    kubeconfig: Path
    state_dir: Path
    name: str
    address: str
    port: int
    launcher: LauncherSource
    images: tuple[str, ...]
    image_table: Path | None
    allow_paths: tuple[Path, ...]
    bind_pods: bool
    scheduler_kubeconfig: Path | None
    start_slots: int
    sandbox: str
    memory_limits: str
    max_pods: int
    tls_cert: Path | None
    tls_key: Path | None
    client_ca: Path | None
    verbose: bool


def parse_options(arguments: list[str]) -> Options:
    """Return the settings that a command line means."""
    given = _parser().parse_args(arguments)
    return Options(
        kubeconfig=given.kubeconfig,
        state_dir=given.state_dir.resolve(),
        name=given.name,
        address=given.address,
        port=given.port,
        launcher=LauncherSource(given.launcher_python.absolute(), given.launcher_tree.resolve()),
        images=tuple(given.image),
        image_table=given.image_table,
        allow_paths=tuple(path.resolve() for path in given.allow_path),
        bind_pods=not given.no_scheduler,
        scheduler_kubeconfig=given.scheduler_kubeconfig,
        start_slots=given.start_slots,
        sandbox=given.sandbox,
        memory_limits=given.memory_limits,
        max_pods=given.max_pods,
        tls_cert=given.tls_cert_file,
        tls_key=given.tls_private_key_file,
        client_ca=given.client_ca_file,
        verbose=given.verbose,
    )


def _parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m devcluster.node", description=__doc__)
    add = parser.add_argument
    add("--kubeconfig", type=Path, required=True, help="how to reach the API server, as the node")
    add("--state-dir", type=Path, required=True, help="where Pods' volumes and logs live")
    add("--name", default="process-node", help="the Node object's name (default: %(default)s)")
    add(
        "--address",
        default="127.0.0.1",
        help="address of the kubelet API and of every Pod (default: %(default)s)",
    )
    add("--port", type=int, default=0, help="port of the kubelet API; 0 takes a free one")
    add(
        "--launcher-python", type=Path, default=Path(sys.executable), help="interpreter of the launcher image"
    )
    add("--launcher-tree", type=Path, default=_TREE, help="directory that holds the launcher's packages")
    add("--image", action="append", default=[], metavar="NAME=DIR", help="add an image; may be repeated")
    add(
        "--image-table",
        type=Path,
        metavar="FILE",
        help="JSON file with more images; read again when it changes",
    )
    add("--allow-path", type=Path, action="append", default=[], metavar="DIR",
        help="a host directory that every container may write, at the same path; may be repeated")  # fmt: skip
    add("--no-scheduler", action="store_true", help="leave the binding of Pods to a real scheduler")
    add("--scheduler-kubeconfig", type=Path, help="who binds Pods (default: the node's own kubeconfig)")
    add(
        "--start-slots",
        type=int,
        default=4,
        help="containers that are started at once (default: %(default)s)",
    )
    add(
        "--sandbox",
        choices=("auto", "bwrap", "proot"),
        default="auto",
        help="what runs containers; auto takes proot only where bubblewrap is refused (default: %(default)s)",
    )
    add(
        "--memory-limits",
        choices=("auto", "watch"),
        default="auto",
        help="how limits are kept; auto watches only where no control group can be made (default: %(default)s)",
    )
    add(
        "--max-pods",
        type=int,
        default=1100,
        help="Pods that the node takes at a time (default: %(default)s)",
    )
    add("--tls-cert-file", type=Path, help="certificate of the kubelet API (default: a self-signed one)")
    add("--tls-private-key-file", type=Path, help="its key")
    add("--client-ca-file", type=Path, help="CA of the kubelet API's clients (default: the kubeconfig's)")
    add("--verbose", action="store_true", help="log at debug level")
    return parser


class ImageSource:
    """The image table: defaults, flags and a file that may change while the node runs."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._fixed: dict[str, Image] = dict(default_images(folder, options.launcher))
        for entry in options.images:
            name, separator, root = entry.partition("=")
            if not separator:
                raise ValueError(f"--image wants NAME=DIR, not {entry!r}")
            self._fixed[name] = image_from_json(name, root)
        self._file = options.image_table

    def images(self) -> dict[str, Image]:
        """Return every image by name; the file's go before the flags' and the defaults."""
        if self._file is None or not self._file.exists():
            return self._fixed
        return self._fixed | load_table_file(self._file)
