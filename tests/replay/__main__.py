"""Record hook calls and send them through time: `python -m tests.replay --help`."""

from __future__ import annotations

import argparse
import importlib
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import urllib3

from tests.replay.history import histories
from tests.replay.recorder import Recorder
from tests.replay.recording import Json, Recording
from tests.replay.travel import Hook, Report, Rules, travel


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 1 when a replay found something wrong."""
    options = _parser().parse_args(argv)
    if options.command == "proxy":
        return _proxy(options)
    if options.command == "record":
        return _record(options)
    return _travel(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    proxy = commands.add_parser("proxy", help="record the calls that go by, until interrupted")
    proxy.add_argument("--hooks", required=True, help="URL of the service that answers the hooks")
    proxy.add_argument("--port", type=int, default=0, help="port to listen on, on loopback")
    proxy.add_argument("--out", type=Path, required=True, help="file to write")
    record = commands.add_parser("record", help="make our own recordings on a local cluster")
    record.add_argument("names", nargs="*", help="recordings to make; all when none is named")
    record.add_argument("--into", type=Path, default=Path(__file__).parent / "recordings")
    there = commands.add_parser("travel", help="ask hooks about a recording's objects in every pair of ages")
    there.add_argument("recording", type=Path, nargs="+")
    there.add_argument("--kind", required=True, help="kind of the parents")
    there.add_argument("--sync", required=True, help="URL of the sync hook")
    there.add_argument("--finalize", help="URL of the finalize hook, if there is one")
    there.add_argument("--rules", required=True, help="module:class of what must hold (docs/replay.md)")
    return parser


def _proxy(options: argparse.Namespace) -> int:
    recorder = Recorder(options.port)
    recorder.forward_to(options.hooks)
    print(f"recording at {recorder.url}; interrupt to write {options.out}")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        recording = recorder.take()
        recording.save(options.out)
        print(f"{len(recording.calls)} calls in {options.out}")
    finally:
        recorder.close()
    return 0


def _record(options: argparse.Namespace) -> int:
    from tests.replay.on_cluster import SCENARIOS, stage

    unknown = set(options.names) - set(SCENARIOS)
    if unknown:
        print(f"no such recordings: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
        return 2
    options.into.mkdir(parents=True, exist_ok=True)
    with stage() as on:
        for name in options.names or SCENARIOS:
            on.recorder.take()
            SCENARIOS[name](on)
            recording = on.recorder.take()
            path = options.into / f"{name}.json.gz"
            recording.save(path)
            print(f"{path.name}: {len(recording.calls)} calls, {path.stat().st_size} bytes")
    return 0


def _travel(options: argparse.Namespace) -> int:
    module, _, name = options.rules.partition(":")
    rules: Rules = getattr(importlib.import_module(module), name)()
    hook = _over_http(options.sync, options.finalize)
    total = Report(0, [])
    for path in options.recording:
        for history in histories(Recording.load(path).calls, options.kind):
            total = total.with_more(travel(history, hook, rules))
    for violation in total.violations:
        print(violation)
    print(f"{total.calls} calls, {len(total.violations)} wrong")
    return 1 if total.violations else 0


def _over_http(sync: str, finalize: str | None) -> Hook:
    pool = urllib3.PoolManager()

    def ask(body: Json) -> Json:
        url = finalize if body.get("finalizing") and finalize else sync
        answer = pool.request("POST", url, json=body)
        if answer.status != 200:
            raise SystemExit(f"{url} answered {answer.status}: {answer.data.decode(errors='replace')[:500]}")
        found: Json = answer.json()
        return found

    return ask


if __name__ == "__main__":
    sys.exit(main())
