"""Serves the operator with gunicorn: a small arbiter, and one worker process in which everything happens.

    python -m app
      └─ arbiter       parses flags, binds the sockets, starts the worker again when it dies; imports nothing heavy
          └─ worker    threads for hooks and probes, and the agent's, which start here because threads don't survive a fork

There is exactly one worker process: two agents would fight for one MQTT session. The signals by which gunicorn would make
more of them are ignored.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from app import logs
from app.cluster.errors import ConfigurationError
from app.errors import FipsError
from app.memory import bound_allocator, relax_collector
from app.settings import Address, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

GRACE_SECONDS: Final = 9
"""From SIGTERM to SIGKILL for the worker: a Pod of the field gets 10 seconds."""

AGENT_STOP_SECONDS: Final = 5.0
"""Share of the grace that the agent gets; answering the last hooks takes the rest."""

SILENT_WORKER_SECONDS: Final = 120
"""A worker whose main thread said nothing for so long is replaced. Generous: a paused machine is no fault of it."""

KEEP_ALIVE_SECONDS: Final = 120
"""Longer than the 90 seconds after which a Go client closes an idle connection: who closes first must not be us, or a
hook call meets a closing socket and fails."""

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - gunicorn's heartbeat file; the root may be read-only

_log = structlog.get_logger("app")


class Operator(Protocol):
    """What ``app.assembly.assemble`` returns."""

    @property
    def wsgi(self) -> WSGIApplication:
        """The Flask application: hooks and probes."""
        ...

    def start(self) -> None:
        """Start the agent's threads."""
        ...

    def stop(self, deadline_seconds: float) -> None:
        """Stop the agent within the deadline."""
        ...


def serve(settings: Settings, assemble: Callable[[Settings], Operator]) -> None:
    """Run until a signal ends it. ``assemble`` is called in the worker process, after the fork."""
    _Gunicorn(settings, assemble).run()


def gunicorn_options(settings: Settings) -> dict[str, Any]:
    """Return gunicorn's own settings for ours."""
    return {
        "bind": [bind_of(settings.hook_bind_address), bind_of(settings.health_probe_bind_address)],
        "workers": 1,
        "worker_class": "gthread",
        "threads": settings.threads,
        "preload_app": False,
        "timeout": SILENT_WORKER_SECONDS,
        "graceful_timeout": GRACE_SECONDS,
        "keepalive": KEEP_ALIVE_SECONDS,
        "worker_tmp_dir": str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None,
        "control_socket_disable": True,
        "accesslog": None,
        "logger_class": _GunicornLogger,
        "proc_name": "workerpool-controller",
        "when_ready": _ignore_multiplying_signals,
    }


def bind_of(address: Address) -> str:
    """Return the address as gunicorn binds it; no host means every interface, of both families where there are two."""
    if address.host:
        return str(address)
    return str(Address("::" if socket.has_dualstack_ipv6() else "0.0.0.0", address.port))  # noqa: S104 - asked for


class _Gunicorn(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn with our settings and an operator that lives in the worker."""

    def __init__(self, settings: Settings, assemble: Callable[[Settings], Operator]) -> None:
        self._settings = settings
        self._assemble = assemble
        self._operator: Operator | None = None
        self._leaving: _Leaving | None = None
        super().__init__(prog="python -m app")

    def load_config(self) -> None:
        """Set what BaseApplication asks for."""
        options = gunicorn_options(self._settings)
        options["post_worker_init"] = self._start
        options["worker_exit"] = self._stop
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """Assemble the operator, in the worker."""
        bound_allocator()
        # gunicorn made its loggers anew in the fork; take those over too.
        logs.configure(self._settings.log_level, self._settings.log_format)
        try:
            self._operator = self._assemble(self._settings)
        except (ConfigurationError, FipsError) as error:
            _log.critical("cannot_start", error=str(error))
            # Any other status would make the arbiter try for ever what cannot work.
            sys.exit(Arbiter.APP_LOAD_ERROR)
        relax_collector()
        return self._operator.wsgi

    def _start(self, _worker: object) -> None:
        if self._operator is not None:
            self._operator.start()
            self._leaving = _Leaving(self._operator)
            self._leaving.begin_at_sigterm()

    def _stop(self, _arbiter: object, _worker: object) -> None:
        if self._leaving is not None:
            self._leaving.finish()


class _Leaving:
    """Stops the agent once: as soon as SIGTERM comes, while the last hooks are still being answered.

    What the agent leaves, other replicas take over at once; connections that a client keeps open must not delay it.
    """

    def __init__(self, operator: Operator) -> None:
        self._thread = threading.Thread(
            target=operator.stop, args=(AGENT_STOP_SECONDS,), name="leaving", daemon=True
        )

    def begin_at_sigterm(self) -> None:
        """Have gunicorn's own handler of SIGTERM called after the stop has begun."""
        gunicorns = signal.getsignal(signal.SIGTERM)

        def leave(number: int, frame: FrameType | None) -> None:
            self._begin()
            if callable(gunicorns):
                gunicorns(number, frame)

        signal.signal(signal.SIGTERM, leave)
        # As gunicorn has it: system calls of requests under way go on.
        signal.siginterrupt(signal.SIGTERM, False)

    def finish(self) -> None:
        """Wait for the end of the stop, beginning it if no SIGTERM did."""
        self._begin()
        self._thread.join()

    def _begin(self) -> None:
        # A thread can be started once only, and a signal may come at any moment.
        with contextlib.suppress(RuntimeError):
            self._thread.start()


class _GunicornLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's messages through the operator's one log chain, so that they are JSON and redacted like all others."""

    def setup(self, cfg: object) -> None:
        """Leave gunicorn's handlers out."""
        self.cfg = cfg
        self._access_log_enabled = False
        self.loglevel = logging.INFO
        for logger in (self.error_log, self.access_log):
            logger.propagate = True


def _ignore_multiplying_signals(_arbiter: object) -> None:
    """Keep it at one worker process: reloading overlaps two, and the others change their number or the program."""
    for name in ("SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR2", "SIGWINCH"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
