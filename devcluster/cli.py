"""The command line: `up`, `down`, `env`, `status`, and `kill`, `stop` and `start` of single components."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from devcluster import background, build, clusters, helm, prerequisites, supervisor
from devcluster.cluster import CONTAINERS, NODES, PROCESSES, Options
from devcluster.components import COMPONENTS, GROUPS, MOST_REPLICAS, replicas, resolve
from devcluster.paths import cluster_directory
from devcluster.progress import ClusterError
from devcluster.supervisor import Order

UNITS = {"s": 1, "m": 60, "h": 3600}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what went wrong goes to standard error as one message."""
    parsed = _parser().parse_args(arguments)
    root = parsed.dir.absolute() if parsed.dir else cluster_directory(parsed.name)
    try:
        return COMMANDS[parsed.command](root, parsed)
    except (ClusterError, ValueError) as error:
        print(f"devcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def seconds(text: str) -> float:
    """Parse a duration such as 90, 90s, 15m or 12h."""
    factor = UNITS.get(text[-1:])
    try:
        return float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        msg = f"not a duration: {text!r} (90s, 15m, 12h)"
        raise argparse.ArgumentTypeError(msg) from None


def signal_name(text: str) -> str:
    """Parse KILL, SIGKILL or 9."""
    try:
        return signal.Signals(int(text)).name if text.isdigit() else signal.Signals["SIG" + _bare(text)].name
    except (KeyError, ValueError):
        msg = f"not a signal: {text!r}"
        raise argparse.ArgumentTypeError(msg) from None


def exports(env: dict[str, str]) -> list[str]:
    """Return lines for a shell to evaluate."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in env.items() if name != "PATH"]
    return [*lines, f'export PATH={shlex.quote(env["DEVCLUSTER_BIN"])}:"$PATH"']


def _options(parsed: argparse.Namespace) -> Options:
    return Options(
        components=resolve(parsed.parts),
        allow_paths=tuple(path.absolute() for path in parsed.allow_path),
        replicas=parsed.replicas,
        node=parsed.node,
    )


def _show(text: str) -> None:
    print(text, flush=True)


def _bare(text: str) -> str:
    return text.upper().removeprefix("SIG")


def _tools(_root: Path, parsed: argparse.Namespace) -> int:
    if parsed.node == CONTAINERS:
        clusters.provide_containers(_show)
        if not parsed.for_tests:
            return 0
    prerequisites.provide(COMPONENTS, _show)
    if parsed.for_tests:
        prerequisites.provide_for_tests(_show)
        helm.provide_for_tests(_show)
    if parsed.oldest:
        build.tools(_show, build.OLDEST)
    print(build.tools(_show))
    if parsed.for_tests:
        clusters.provide_containers_for_tests(_show)
    return 0


def _up(root: Path, parsed: argparse.Namespace) -> int:
    background.up(root, _options(parsed), parsed.lifetime, _show)
    return 0


def _supervise(root: Path, parsed: argparse.Namespace) -> int:
    supervisor.serve(clusters.make(root, _options(parsed)), parsed.lifetime)
    return 0


def _down(root: Path, _parsed: argparse.Namespace) -> int:
    background.down(root, _show)
    return 0


def _env(root: Path, _parsed: argparse.Namespace) -> int:
    print("\n".join(exports(background.running(root).env)))
    return 0


def _status(root: Path, _parsed: argparse.Namespace) -> int:
    saved = background.running(root)
    print(f"{root}: {'ready' if saved.ready else 'starting'}, supervisor {saved.owner.pid}")
    for name, record in saved.components.items():
        print(f"  {name:24} {'running' if record.alive else 'gone':8} {record.pid:8}  {record.log}")
    return 0 if all(record.alive for record in saved.components.values()) else 1


def _order(root: Path, parsed: argparse.Namespace) -> int:
    supervisor.give(root, Order(parsed.command, parsed.component, getattr(parsed, "signal", "SIGKILL")))
    return 0


def _parser() -> argparse.ArgumentParser:
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--name", default="default", help="the cluster's name, below .cluster (default: %(default)s)"
    )
    where.add_argument("--dir", type=Path, help="the cluster's directory, instead of a name")
    parser = argparse.ArgumentParser(prog="python -m devcluster", description="The local cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    parts = ", ".join([*GROUPS, *COMPONENTS])
    for name, text in (
        ("up", "start a cluster in the background"),
        ("supervise", "own a cluster, in the foreground"),
    ):
        up = commands.add_parser(name, parents=[where], help=text)
        up.add_argument(
            "--parts", type=_parts, default=("all",), help=f"comma-separated: {parts} (default: all)"
        )
        up.add_argument(
            "--lifetime",
            type=seconds,
            default=background.DEFAULT_LIFETIME,
            help="when it ends by itself (default: 12h)",
        )
        up.add_argument(
            "--allow-path",
            type=Path,
            action="append",
            default=[],
            help="a directory that containers may write",
        )
        up.add_argument(
            "--replicas", type=int, default=1, help="processes of the operator (default: %(default)s)"
        )
        up.add_argument(
            "--node",
            choices=NODES,
            default=os.environ.get("NODE") or PROCESSES,
            help="what runs Pods (default: NODE, or %(default)s)",
        )
    tools = commands.add_parser(
        "tools", parents=[where], help="build the control plane's programs and install what is missing"
    )
    tools.add_argument("--for-tests", action="store_true", help="what single tests need, too")
    tools.add_argument("--oldest", action="store_true", help="the oldest supported Kubernetes, too")
    tools.add_argument(
        "--node",
        choices=NODES,
        default=os.environ.get("NODE") or PROCESSES,
        help="containerd: what a real node needs, and its images",
    )
    for name, text in (
        ("down", "stop it and remove everything"),
        ("env", "print `export NAME=value` lines"),
        ("status", "show its processes"),
    ):
        commands.add_parser(name, parents=[where], help=text)
    for name in ("start", "stop", "kill"):
        order = commands.add_parser(name, parents=[where], help=f"{name} one component")
        order.add_argument("component", choices=(*COMPONENTS, *replicas(MOST_REPLICAS)[1:]))
        if name == "kill":
            order.add_argument("--signal", type=signal_name, default="SIGKILL", help="KILL, STOP, 15, ...")
    return parser


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part for part in text.split(",") if part)
    try:
        resolve(parts)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return parts


COMMANDS = {
    "tools": _tools,
    "up": _up,
    "supervise": _supervise,
    "down": _down,
    "env": _env,
    "status": _status,
    "start": _order,
    "stop": _order,
    "kill": _order,
}
