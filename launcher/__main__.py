"""The launcher's command line: `spacelift-launcher init` and `spacelift-launcher grpc-server`.

Everything else comes from the environment (`settings`). The commands' modules are imported only when they are asked
for: both containers start for every run, and their start is part of its waiting time.
"""

import os
import sys

from launcher.delivery import leave_last_word
from launcher.errors import SettingsError
from launcher.exits import Exit
from launcher.outcome import init_failed
from launcher.settings import Settings, parse_settings, termination_log

_USAGE = """usage: spacelift-launcher init | grpc-server

init         claim the start of the run and prepare its workspace
grpc-server  keep the run's lease, carry its log and its result to the mothership"""


def main(arguments: list[str]) -> int:
    """Run a command; return the exit code."""
    if arguments in (["-h"], ["--help"]):
        print(_USAGE)
        return Exit.OK
    if arguments not in (["init"], ["grpc-server"]):
        print(_USAGE, file=sys.stderr)
        return Exit.MISCONFIGURED
    try:
        return _run(arguments[0], parse_settings(os.environ))
    except SettingsError as error:
        print(f"spacelift-launcher: {error}", file=sys.stderr)
        leave_last_word(termination_log(os.environ), init_failed(f"The launcher is misconfigured: {error}"))
        return Exit.MISCONFIGURED


def _run(command: str, settings: Settings) -> int:
    if command == "init":
        from launcher.init import run_init

        return run_init(settings)
    from launcher.grpc_server import run_server

    return run_server(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
