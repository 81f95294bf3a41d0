"""The stand-in's settings, from its command line alone. The flags that Metacontroller has too mean the same."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Everything that can be set."""

    kubeconfig: str | None
    """The kubeconfig file; none: KUBECONFIG or the ServiceAccount."""
    workers: int
    """Syncs at once for each controller; 5 as in Metacontroller."""
    qps: float
    """API requests per second; 0, the default, is no limit (Metacontroller's default is 5)."""
    burst: int
    """API requests that may exceed the rate at once."""
    lags: Mapping[str, float]
    """Seconds that the cache of a resource stays behind, by plural name, with or without its group."""
    relist_seconds: float
    """How often every parent is synced without a reason; 30 minutes as in Metacontroller."""
    services: Mapping[str, str]
    """Where hooks of a Service are, by the authority of their URL: host:port -> host:port of this machine."""
    health_address: str
    """host:port for /healthz and /readyz; empty: none."""
    log_level: str
    """debug, info, warning or error."""


def parse_settings(arguments: Sequence[str]) -> Settings:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m devcluster.hookdriver", description="A stand-in for Metacontroller."
    )
    parser.add_argument("--kubeconfig", help="file; default: KUBECONFIG, or the ServiceAccount")
    parser.add_argument("--workers", type=int, default=5, help="syncs at once, per controller")
    parser.add_argument("--client-go-qps", type=float, default=0, help="API requests per second; 0: no limit")
    parser.add_argument("--client-go-burst", type=int, default=10, help="requests that may exceed the rate")
    parser.add_argument(
        "--lag",
        action="append",
        default=[],
        type=_lag,
        metavar="RESOURCE=SECONDS",
        help="keep a resource's cache behind (pods=2, workers.workers.spacelift.io=0.5); repeatable",
    )
    parser.add_argument("--cache-flush-interval", type=_seconds, default=1800.0, help="30m, 90s or seconds")
    parser.add_argument(
        "--service",
        action="append",
        default=[],
        type=_service,
        metavar="HOST:PORT=ADDRESS",
        help="call hooks of this Service at host:port ADDRESS, where no cluster DNS is; repeatable",
    )
    parser.add_argument("--health-probe-bind-address", default="", help="host:port; default: none")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    options = parser.parse_args(arguments)
    return Settings(
        kubeconfig=options.kubeconfig,
        workers=options.workers,
        qps=options.client_go_qps,
        burst=options.client_go_burst,
        lags=dict(options.lag),
        relist_seconds=options.cache_flush_interval,
        services=dict(options.service),
        health_address=options.health_probe_bind_address,
        log_level=options.log_level,
    )


def _lag(text: str) -> tuple[str, float]:
    resource, _, seconds = text.partition("=")
    if not resource or not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not RESOURCE=SECONDS")
    return resource, _seconds(seconds)


def _service(text: str) -> tuple[str, str]:
    name, _, address = text.partition("=")
    if ":" not in name or ":" not in address:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT=HOST:PORT")
    return name, address


def _seconds(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, factor = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        seconds = float(number) * factor
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration") from None
    if seconds < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is negative")
    return seconds
