"""``python -m mothership``: serve, set up, and use the admin API.

Exit status: 0 done, 1 the run didn't succeed or the mothership refused, 2 wrong usage.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from mothership import broker_config, ca, logs, printing, settings
from mothership.client import Client, Connection
from mothership.errors import BadRequestError, MothershipError, SetupError
from mothership.files import DataFiles
from mothership.run_request import parse_variable
from mothership.settings import parse_address
from protocol.topics import DEFAULT_NAMESPACE

CYCLE_POLL_SECONDS = 1.0
"""How often `pool cycle --wait` looks."""

POLL_SECONDS = 0.3
"""How long `--follow` waits when there was nothing new."""


def main(argv: Sequence[str]) -> int:
    """Run one command; return its exit status."""
    options = build_parser().parse_args(argv)
    try:
        status: int = options.command(options)
    except BadRequestError as error:
        return _complain(error, 2)
    except MothershipError as error:
        return _complain(error, 1)
    except BrokenPipeError:
        # The reader of our output has left: so do we, without a second error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def build_parser(environment: Mapping[str, str] = os.environ) -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="mothership", description="The open control plane of worker pools.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve until SIGTERM")
    settings.add_arguments(serve, environment)
    serve.add_argument("--log-level", default=environment.get("MOTHERSHIP_LOG_LEVEL", "info"))
    serve.set_defaults(command=_serve)
    _add_setup(commands, environment)
    _add_pool(_group(commands, "pool", "worker pools"))
    _add_worker(_group(commands, "worker", "registered workers"))
    _add_run(_group(commands, "run", "runs"))
    return parser


def _group(commands: Any, name: str, text: str) -> Any:  # noqa: ANN401 - argparse's private type
    return commands.add_parser(name, help=text).add_subparsers(required=True, metavar="COMMAND")


def _add_setup(commands: Any, environment: Mapping[str, str]) -> None:  # noqa: ANN401
    data_dir = environment.get("MOTHERSHIP_DATA_DIR")
    init = _group(commands, "ca", "the certificate authority").add_parser(
        "init", help="make authority, certificates and admin token; renew certificates that are there"
    )
    init.add_argument("--data-dir", type=Path, default=data_dir, required=data_dir is None)
    init.add_argument(
        "--host", action="append", required=True, help="name or address of mothership and broker"
    )
    init.set_defaults(command=_ca_init)
    config = commands.add_parser("broker-config", help="write mosquitto.conf and acl")
    config.add_argument("--data-dir", type=Path, default=data_dir, required=data_dir is None)
    config.add_argument("--listen", required=True, metavar="HOST:PORT")
    config.add_argument("--out", type=Path, required=True, metavar="DIRECTORY")
    config.add_argument(
        "--topic-namespace", default=environment.get("MOTHERSHIP_TOPIC_NAMESPACE", DEFAULT_NAMESPACE)
    )
    config.set_defaults(command=_broker_config)


def _add_pool(commands: Any) -> None:  # noqa: ANN401
    create = commands.add_parser("create", help="create a pool from a signing request")
    create.add_argument("--name", required=True)
    create.add_argument("--csr", type=Path, required=True, metavar="FILE")
    create.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the pool's token goes")
    create.set_defaults(command=_pool_create)
    cycle = commands.add_parser(
        "cycle", help="replace every worker by a new one: idle ones now, busy ones when their run has ended"
    )
    cycle.add_argument("pool", metavar="POOL", help="name or ULID")
    cycle.add_argument("--wait", action="store_true", help="until no worker of before is left")
    cycle.set_defaults(command=_pool_cycle)
    listing = commands.add_parser("list", help="list pools")
    _add_output(listing)
    listing.set_defaults(command=_pool_list)


def _add_worker(commands: Any) -> None:  # noqa: ANN401
    listing = commands.add_parser("list", help="list registered workers")
    listing.add_argument("--pool")
    _add_output(listing)
    listing.set_defaults(command=_worker_list)
    for name, drained in (("drain", True), ("undrain", False)):
        command = commands.add_parser(name, help=f"{name} a worker")
        command.add_argument("worker", metavar="ID")
        command.set_defaults(command=_worker_drain, drained=drained)


def _add_run(commands: Any) -> None:  # noqa: ANN401
    trigger = commands.add_parser("trigger", help="queue a run")
    trigger.add_argument("--pool", required=True, help="name or ULID")
    trigger.add_argument("--repo", metavar="URL", help="git repository to check out")
    trigger.add_argument("--ref", default="HEAD")
    trigger.add_argument("--commit", help="what must be checked out")
    trigger.add_argument("--project-root", default="", metavar="PATH")
    trigger.add_argument("--runner-image", metavar="IMAGE", help="the pool's default image unless given")
    trigger.add_argument(
        "--tool", help="what the run works with; ansible chooses the pool's Ansible image by default"
    )
    trigger.add_argument("--command", dest="run_commands", action="append", required=True, metavar="C")
    trigger.add_argument("--env", action="append", default=[], metavar="K=V")
    trigger.add_argument(
        "--follow", action="store_true", help="print the log; exit 0 only if the run succeeds"
    )
    _add_output(trigger)
    trigger.set_defaults(command=_run_trigger)
    listing = commands.add_parser("list", help="list the newest runs")
    listing.add_argument("--pool")
    listing.add_argument("--limit", type=int, default=100)
    _add_output(listing)
    listing.set_defaults(command=_run_list)
    show = commands.add_parser("show", help="show a run")
    show.add_argument("run", metavar="ID")
    _add_output(show)
    show.set_defaults(command=_run_show)
    log = commands.add_parser("logs", help="print a run's log")
    log.add_argument("run", metavar="ID")
    log.add_argument("--follow", "-f", action="store_true", help="until the run is finished")
    log.set_defaults(command=_run_logs)
    stop = commands.add_parser("stop", help="cancel a run, or stop it when it has started")
    stop.add_argument("run", metavar="ID")
    stop.set_defaults(command=_run_stop)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _serve(options: argparse.Namespace) -> int:
    # Imported here: the other commands need neither gunicorn nor the database.
    from mothership.serve import Server
    from mothership.service import read_admin_token

    logs.configure(options.log_level)
    chosen = settings.from_arguments(options)
    files = DataFiles(chosen.data_dir)
    ca.Authority.load(files)
    read_admin_token(files)
    Server(chosen).run()
    return 0


def _ca_init(options: argparse.Namespace) -> int:
    for path in ca.initialise(DataFiles(options.data_dir), options.host):
        print(f"wrote {path}")
    return 0


def _broker_config(options: argparse.Namespace) -> int:
    listen = parse_address("--listen", options.listen)
    files = DataFiles(options.data_dir)
    for path in broker_config.write_broker_config(files, listen, options.out, options.topic_namespace):
        print(f"wrote {path}")
    return 0


def _pool_create(options: argparse.Namespace) -> int:
    try:
        csr = options.csr.read_text(encoding="ascii")
    except OSError as error:
        raise BadRequestError(f"--csr: {error.strerror}: {options.csr}") from None
    except UnicodeDecodeError:
        raise BadRequestError(f"--csr: {options.csr} is not a PEM file") from None
    with _client() as client:
        pool = client.post("/v1/pools", {"name": options.name, "csr": csr})
    ca.write_secret(options.out, pool["token"].encode("ascii"))
    print(f"pool {pool['name']} created: {pool['id']}")
    print(f"token written to {options.out}")
    return 0


def _pool_list(options: argparse.Namespace) -> int:
    with _client() as client:
        items = client.get("/v1/pools")["pools"]
    return _show(options, items, printing.pools)


def _pool_cycle(options: argparse.Namespace) -> int:
    with _client() as client:
        asked = client.post(f"/v1/pools/{options.pool}/cycle", {})
        print(
            f"pool {asked['name']} cycles ({asked['cycle']}): {asked['workers']} workers to replace",
            flush=True,
        )
        while options.wait and (left := _cycling(client, asked["id"])):
            print(f"{left} left", flush=True)
            time.sleep(CYCLE_POLL_SECONDS)
    if options.wait:
        print(f"pool {asked['name']} has new workers only")
    return 0


def _cycling(client: Client, pool: str) -> int:
    """Return how many workers of a pool a cycle still wants replaced."""
    pools = client.get("/v1/pools")["pools"]
    return next(int(item["cyclingWorkers"]) for item in pools if item["id"] == pool)


def _worker_list(options: argparse.Namespace) -> int:
    with _client() as client:
        items = client.get("/v1/workers", pool=options.pool)["workers"]
    return _show(options, items, printing.workers)


def _worker_drain(options: argparse.Namespace) -> int:
    with _client() as client:
        client.post(f"/v1/workers/{options.worker}/drain", {"drained": options.drained})
    print(f"worker {options.worker.upper()} {'drains' if options.drained else 'takes runs again'}")
    return 0


def _run_trigger(options: argparse.Namespace) -> int:
    source = None
    if options.repo:
        source = {
            "type": "git",
            "url": options.repo,
            "ref": options.ref,
            "commit": options.commit,
            "projectRoot": options.project_root,
        }
    body = {
        "pool": options.pool,
        "source": source,
        "commands": options.run_commands,
        "environment": dict(parse_variable(item) for item in options.env),
        "runnerImage": options.runner_image,
        "tool": options.tool,
    }
    with _client() as client:
        run = client.post("/v1/runs", body)
        if options.output == "json":
            print(orjson.dumps(run, option=orjson.OPT_INDENT_2).decode())
        else:
            print(f"run {run['id']} {run['state']}", flush=True)
        return _follow(client, run["id"]) if options.follow else 0


def _run_list(options: argparse.Namespace) -> int:
    with _client() as client:
        items = client.get("/v1/runs", pool=options.pool, limit=options.limit)["runs"]
    return _show(options, items, printing.runs)


def _run_show(options: argparse.Namespace) -> int:
    with _client() as client:
        item = client.get(f"/v1/runs/{options.run}")
    return _show(options, item, printing.run)


def _run_logs(options: argparse.Namespace) -> int:
    with _client() as client:
        if options.follow:
            _follow(client, options.run)
            return 0
        for page in client.log_pages(options.run):
            if not page.text:
                break
            _write(page.text)
    return 0


def _run_stop(options: argparse.Namespace) -> int:
    with _client() as client:
        run = client.post(f"/v1/runs/{options.run}/stop", {})
    print(f"run {run['id']} {run['state']}{'' if run['finished'] else ', asked to stop'}")
    return 0


def _follow(client: Client, run: str) -> int:
    """Print the log until the run is over, then its state; return 0 only if it succeeded."""
    last = b"\n"
    for page in client.log_pages(run):
        if page.text:
            _write(page.text)
            last = page.text
        if page.finished:
            break
        if not page.text:
            time.sleep(POLL_SECONDS)
    if not last.endswith(b"\n"):
        print()
    item = client.get(f"/v1/runs/{run}")
    outcome = item["outcome"] or {}
    details = ": ".join(text for text in (outcome.get("reason"), outcome.get("message")) if text)
    print(f"run {item['id']} {item['state']}{f' ({details})' if details else ''}")
    return 0 if item["state"] == "succeeded" else 1


def _show(options: argparse.Namespace, data: Any, render: Any) -> int:  # noqa: ANN401 - JSON and its printer
    if options.output == "json":
        print(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode())
    else:
        print(render(data, time.time()))
    return 0


def _client() -> Client:
    return Client(Connection.from_environment())


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _complain(error: MothershipError, status: int) -> int:
    print(f"mothership: {error}", file=sys.stderr)
    return 2 if isinstance(error, SetupError) else status
