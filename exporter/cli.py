"""The command line: ``serve``, ``help`` and ``--version``, with the exit statuses that users know.

0 after SIGTERM or SIGINT, 1 when it can't start, 2 when the command line can't be meant.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from exporter import __version__, logs
from exporter.errors import ApiError, StartupError, UsageError
from exporter.families import Build
from exporter.logs import Secrets
from exporter.scraping import Scraper
from exporter.server import ExporterServer
from exporter.session import KeySecret, Session
from exporter.settings import OPTIONS, Option, Settings, parse
from exporter.transport import Transport

PROGRAM: Final = "spacelift-promex"
COMMIT_VARIABLE: Final = "SPACELIFT_PROMEX_COMMIT"
"""Says which commit an image was built of; the label `commit` of the build's metric."""

STARTUP_SECONDS: Final = 5.0
"""How long the first exchange of the API key may take."""

_log = structlog.get_logger("exporter")


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command; return the exit status."""
    words = list(arguments)
    build = Build(version=__version__, commit=environment.get(COMMIT_VARIABLE) or "unknown")
    if words[:1] in (["--version"], ["-v"]):
        print(f"{PROGRAM} version {build.version} - {build.commit}")
        return 0
    if not words or words[0] in ("help", "h", "--help", "-h") or {"--help", "-h"} & {*words}:
        print(_help())
        return 0
    try:
        if words[0] != "serve":
            raise UsageError("the commands are serve and help")
        settings = parse(words[1:], environment)
    except (UsageError, StartupError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return _serve(settings, build)


def _serve(settings: Settings, build: Build) -> int:
    secrets = Secrets()
    secrets.add(settings.api_key_secret)
    logs.configure(secrets, development=settings.is_development)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    secret = KeySecret(settings.api_key_secret, settings.api_key_secret_file)
    try:
        secret.read()
        transport = Transport(settings.api_endpoint, settings.ca_cert_path)
        session = Session(transport, settings.api_key_id, secret, secrets)
        session.exchange(time.monotonic() + STARTUP_SECONDS)
        scraper = Scraper(session, settings.scrape_timeout, build, runs_by_need=settings.runs_by_need)
        server = ExporterServer(settings.listen_address, scraper.scrape, secrets.without)
    except (ApiError, StartupError) as error:
        _log.critical("cannot_start", error=str(error))
        return 1
    except OSError as error:
        _log.critical("cannot_start", error=f"--listen-address: {settings.listen_address}: {error.strerror}")
        return 1
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="listener")
    thread.start()
    _log.info("listening", port=server.server_port, version=build.version, commit=build.commit)
    stop.wait()
    _log.info("stopping")
    if not server.leave(settings.scrape_timeout + 1):
        _log.warning("stopped_with_requests_unanswered")
    thread.join()
    transport.close()
    for number in (signal.SIGTERM, signal.SIGINT):
        # A second one, while Python cleans up, would make the status another one.
        signal.signal(number, signal.SIG_IGN)
    _log.info("stopped")
    return 0


def _help() -> str:
    rows = [(_flag(option), _meaning(option)) for option in OPTIONS]
    width = max(len(flag) for flag, _ in rows) + 2
    return "\n".join(
        (
            f"{PROGRAM} - exports metrics of a Spacelift account to Prometheus",
            "",
            f"usage: {PROGRAM} serve [flags] | help | --version",
            "",
            *(f"  {flag:{width}}{meaning}" for flag, meaning in rows),
        )
    )


def _flag(option: Option) -> str:
    value = "" if option.boolean else " VALUE"
    return f"--{option.name}{value}" + (f", -{option.short}{value}" if option.short else "")


def _meaning(option: Option) -> str:
    default = f" (default {option.default})" if option.default else ""
    return f"{option.meaning}{default} [${option.variable}]"
