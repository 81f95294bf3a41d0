"""Serving with gunicorn: one worker process with threads, HTTPS with the server certificate."""

import ctypes
import os
import signal
import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from mothership.files import DataFiles
from mothership.service import Service
from mothership.settings import Settings, parse_address

PR_SET_PDEATHSIG = 1
GRACEFUL_SECONDS = 10


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn over one `Service`, which is built in the worker process: threads don't survive a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._service: Service | None = None
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn what to do."""
        certificate, key = DataFiles(self._settings.data_dir).pair("server")
        options: dict[str, Any] = {
            "bind": str(parse_address("--listen", self._settings.listen)),
            "workers": 1,
            "worker_class": "gthread",
            "threads": self._settings.threads,
            "certfile": str(certificate),
            "keyfile": str(key),
            # A thousand launchers keep a connection each; idle ones hold no thread.
            "worker_connections": 10_000,
            "keepalive": 75,
            "timeout": 60,
            "graceful_timeout": GRACEFUL_SECONDS,
            "loglevel": "warning",
            "proc_name": "mothership",
            "umask": 0o077,
            "control_socket_disable": True,
            "post_fork": self._after_fork,
            "worker_exit": self._at_exit,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build and start the service; called in the worker process."""
        self._service = Service(self._settings)
        self._service.start()
        return self._service.app

    def _after_fork(self, server: Any, _worker: Any) -> None:  # noqa: ANN401 - gunicorn's types
        # A killed master must not leave a worker behind that holds the port and the MQTT session.
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != server.pid:
                sys.exit(1)

    def _at_exit(self, _server: Any, _worker: Any) -> None:  # noqa: ANN401 - gunicorn's types
        if self._service is not None:
            self._service.stop()
