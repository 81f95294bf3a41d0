"""The process behind `up`: it owns a cluster's children, takes orders over a socket, and ends after a set time.

An order is one line of JSON, {"order": "start" | "stop" | "kill", "component": NAME, "signal": NAME}, answered by one
line: {} or {"error": TEXT}.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devcluster.cluster import Cluster
from devcluster.progress import ClusterError

SOCKET = "control.sock"
ANSWER_WITHIN = 120.0
ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Order:
    """Something to do with one component."""

    order: str
    component: str
    signal: str = "SIGKILL"

    def carry_out(self, cluster: Cluster) -> None:
        """Do it."""
        component = cluster.component(self.component)
        if self.order == "start":
            component.start()
        elif self.order == "stop":
            component.stop()
        elif self.order == "kill":
            component.kill(signal.Signals[self.signal])
        else:
            msg = f"unknown order {self.order!r}"
            raise ClusterError(msg)


def serve(cluster: Cluster, lifetime: float) -> None:
    """Keep a cluster up until a signal comes or its time is over."""
    for number in ENDINGS:
        signal.signal(number, _end)
    try:
        cluster.up()
        with _listener(cluster.directory) as listener:
            threading.Thread(target=_take_orders, args=(listener, cluster), daemon=True).start()
            time.sleep(lifetime)
            sys.stderr.write(f"devcluster: its {lifetime:.0f} s are over\n")
    finally:
        cluster.down()


def give(root: Path, order: Order) -> None:
    """Give an order to the supervisor of the cluster in a directory, and wait until it is carried out."""
    with socket.socket(socket.AF_UNIX) as connection, _short(root) as address:
        connection.settimeout(ANSWER_WITHIN)
        try:
            connection.connect(address)
        except OSError as error:
            msg = (
                f"no supervisor takes orders in {root} ({error.strerror}): was this cluster started by `up`?"
            )
            raise ClusterError(msg) from None
        connection.sendall(json.dumps(asdict(order)).encode() + b"\n")
        with connection.makefile() as lines:
            answer = json.loads(lines.readline() or '{"error": "the supervisor ended"}')
    if "error" in answer:
        raise ClusterError(answer["error"])


def _end(*_: object) -> None:
    # Taking everything down must not be interrupted by an impatient second signal.
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def _take_orders(listener: socket.socket, cluster: Cluster) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rw") as lines, contextlib.suppress(OSError):
            lines.write(json.dumps(_carry_out(lines.readline(), cluster)) + "\n")
            lines.flush()


def _carry_out(line: str, cluster: Cluster) -> dict[str, Any]:
    try:
        Order(**json.loads(line)).carry_out(cluster)
    except (ClusterError, ValueError, TypeError, KeyError, OSError) as error:
        return {"error": str(error) or repr(error)}
    return {}


@contextlib.contextmanager
def _listener(root: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener, _short(root) as address:
        listener.bind(address)
        listener.listen()
        yield listener


@contextlib.contextmanager
def _short(root: Path) -> Iterator[str]:
    """Yield an address of the socket that fits into the hundred bytes that such addresses may have."""
    if sys.platform != "linux":
        yield str(root / SOCKET)
        return
    try:
        directory = os.open(root, os.O_PATH)
    except OSError:
        msg = f"no cluster in {root}"
        raise ClusterError(msg) from None
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)
