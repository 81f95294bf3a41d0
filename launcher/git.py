"""Runs the git command line: no prompts, no hooks, no configuration from the repository, in bounded time."""

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from launcher.errors import CheckoutError
from launcher.files import PRIVATE_FILE, write_whole
from launcher.source_url import without_user

_POLL = 0.1
# The end of what git says is where it says why.
_SHOWN = 2000

_OPTIONS = (
    ("advice.detachedHead", "false"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", os.devnull),
    ("gc.auto", "0"),
    # A stalled server ends the fetch: less than 1000 bytes a second for a minute.
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "60"),
    # Nothing but what is named here, submodules included: ext:: would run a command.
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("protocol.http.allow", "always"),
    ("protocol.ssh.allow", "always"),
    ("protocol.git.allow", "never"),
)


class Git:
    """git in one directory, with one deadline; `tick` runs while git works and may raise to give up."""

    def __init__(self, directory: Path, deadline: float, tick: Callable[[], None]) -> None:
        self._directory = directory
        self._deadline = deadline
        self._tick = tick
        self._scratch = tempfile.TemporaryDirectory(prefix="launcher-git-")
        self._config = Path(self._scratch.name) / "config"
        self._config.write_text(_global_config(os.environ), encoding="utf-8")

    def close(self) -> None:
        """Remove what git was configured with."""
        self._scratch.cleanup()

    @contextmanager
    def credentials(self, entry: str) -> Iterator[None]:
        """Let git use a line of its credential store, if there is one; files, since everyone can read arguments."""
        if not entry:
            yield
            return
        store = Path(self._scratch.name) / "credentials"
        try:
            write_whole(store, f"{entry}\n", PRIVATE_FILE)
            self._config.write_text(_global_config(os.environ) + _helper_config(store), encoding="utf-8")
            yield
        finally:
            self._config.write_text(_global_config(os.environ), encoding="utf-8")
            store.unlink(missing_ok=True)

    def run(self, *arguments: str, files_allowed: bool = True) -> str:
        """Return git's output; raise CheckoutError with the end of what it said. No shell is involved."""
        options = [*_OPTIONS, ("protocol.file.allow", "always" if files_allowed else "never")]
        argv = ["git", *(word for name, value in options for word in ("-c", f"{name}={value}")), *arguments]
        with (
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
            self._start(argv, output.fileno(), errors.fileno()) as process,
        ):
            try:
                self._wait(process, arguments)
            finally:
                # After an interruption: nothing may write into the workspace any more.
                process.kill()
            output.seek(0)
            errors.seek(0)
            if process.returncode != 0:
                raise CheckoutError(_complaint(arguments, errors.read()))
            return output.read().decode("utf-8", "replace").strip()

    def _start(self, argv: Sequence[str], output: int, errors: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                argv,
                cwd=self._directory,
                env=_environment(os.environ, self._config),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        except OSError as error:
            raise CheckoutError(f"git can't be run: {error.strerror}") from None

    def _wait(self, process: subprocess.Popen[bytes], arguments: Sequence[str]) -> None:
        while True:
            try:
                process.wait(_POLL)
            except subprocess.TimeoutExpired:
                self._tick()
            else:
                return
            if time.monotonic() > self._deadline:
                raise CheckoutError(f"git {arguments[0]} did not end in time")


def _environment(environ: Mapping[str, str], config: Path) -> dict[str, str]:
    """Return git's environment: the container's, without what would lead git elsewhere, and without questions."""
    kept = {name: value for name, value in environ.items() if name not in _LEADING_ELSEWHERE}
    kept["GIT_TERMINAL_PROMPT"] = "0"
    kept["GIT_CONFIG_GLOBAL"] = str(config)
    kept["LC_ALL"] = "C"
    kept.setdefault("GIT_ASKPASS", "false")
    kept.setdefault("SSH_ASKPASS", "false")
    kept.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30")
    return kept


_LEADING_ELSEWHERE = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_ALLOW_PROTOCOL",
        "GIT_TEMPLATE_DIR",
    }
)


def _global_config(environ: Mapping[str, str]) -> str:
    """Return a global configuration: the user's own, and trust in repositories of other owners.

    The workspace and a file:// source may belong to another UID. git takes `safe.directory` from a global file alone
    when it reads the far side of a file:// URL, so it can't be given on the command line.
    """
    own = environ.get("GIT_CONFIG_GLOBAL") or "~/.gitconfig"
    return f"[include]\n\tpath = {_quoted(own)}\n[safe]\n\tdirectory = *\n"


def _helper_config(store: Path) -> str:
    """Return a configuration that takes credentials from this file only; the empty helper forgets all before it."""
    helper = _quoted(f"store --file={shlex.quote(str(store))}")
    return f"[credential]\n\thelper =\n\thelper = {helper}\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _complaint(arguments: Sequence[str], errors: bytes) -> str:
    text = without_user(errors.decode("utf-8", "replace").strip())[-_SHOWN:]
    return f"git {arguments[0]} failed: {text or 'it said nothing'}"
