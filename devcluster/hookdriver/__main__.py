"""`python -m devcluster.hookdriver`: drive hooks like Metacontroller until SIGTERM or SIGINT."""

import logging
import signal
import sys
import threading

import structlog

from devcluster.hookdriver.driver import Driver
from devcluster.hookdriver.health import serve_health
from devcluster.hookdriver.settings import parse_settings


def main() -> int:
    """Run the stand-in."""
    settings = parse_settings(sys.argv[1:])
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if settings.health_address:
        serve_health(settings.health_address)
    Driver(settings).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
