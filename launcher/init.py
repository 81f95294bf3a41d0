"""`init`: claims the start (fence 5), then prepares the workspace.

Before the grant nothing is touched. After it the lease is kept from here until `grpc-server` takes over, because a
checkout may last longer than the lease.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from launcher.api_client import Attempt, LauncherApi
from launcher.checkout import check_out, project_root
from launcher.clock import repeat
from launcher.credentials import Credentials, read_credentials
from launcher.delivery import deliver, leave_last_word
from launcher.errors import ApiError, ConflictError, InterruptedRunError, LauncherError, WorkspaceError
from launcher.exchange import parse_exit, phase_line
from launcher.exits import Exit
from launcher.files import PRIVATE_FILE, append, read_text, write_whole
from launcher.git import Git
from launcher.lease import LeaseKeeper, Renewal
from launcher.log_stream import LogStream
from launcher.outcome import (
    ended_by_lease,
    init_failed,
    lease_lost,
    refused,
    started_before,
    terminated,
)
from launcher.run_log import RunLog, note
from launcher.settings import Settings
from launcher.workspace import Workspace, lay_out, write_work
from protocol.launcher_api import LeaseAction, PhaseReport, ResultReport, RunDetails
from protocol.runs import Outcome

_DOING = "while its workspace was prepared"

# A Pod that is being deleted has half a minute; what matters is told by the operator anyway.
_HURRIED_DELIVERY = 5.0
_DELIVERY = 20.0


def run_init(settings: Settings) -> int:
    """Do the work of the init container; return its exit code."""
    credentials = read_credentials(settings.credentials_dir, Workspace(settings.workspace).renewed_token)
    api = LauncherApi(credentials, Attempt(settings.run, settings.sequence), settings.request_timeout)
    deadline = time.monotonic() + settings.start_timeout
    try:
        signal.signal(signal.SIGTERM, _raise_terminated)
        note(
            f"Claiming the start of run {settings.run}, stage {settings.stage}, sequence {settings.sequence}"
        )
        repeat(lambda: api.claim(settings.pod_uid), deadline, _said_once())
    except ConflictError as error:
        return _end(settings, refused(str(error)), Exit.REFUSED)
    except ApiError as error:
        return _end(settings, init_failed(f"The start was not granted: {error}"), Exit.INIT_FAILED)
    except InterruptedRunError as error:
        return _end(settings, error.outcome, error.code)
    return Preparation(settings, credentials, api).run(deadline)


class Preparation:
    """Everything after the grant."""

    def __init__(self, settings: Settings, credentials: Credentials, api: LauncherApi) -> None:
        self._settings = settings
        self._api = api
        self._workspace = Workspace(settings.workspace)
        self._log = RunLog(self._workspace.exchange.spool)
        self._token = credentials.token
        self._kept_token = credentials.token.value
        attempt = Attempt(settings.run, settings.sequence)
        lease_api = LauncherApi(credentials, attempt, settings.request_timeout)
        self._keeper = LeaseKeeper(lease_api, credentials.token, self._renewed)
        self._ordered: LeaseAction | None = None
        self._lost_after: int | None = None
        self._stream: LogStream | None = None

    def run(self, deadline: float) -> int:
        """Prepare the workspace; return the exit code."""
        exchange = self._workspace.exchange
        try:
            begun = exchange.started.exists()
        except OSError as error:
            return self._end(init_failed(_sentence(error)), Exit.INIT_FAILED, _DELIVERY)
        if begun:
            # The container was made again in a workspace where the run has begun: nothing may be touched.
            outcome = parse_exit(read_text(exchange.exit)) or started_before()
            return self._end(outcome, Exit.ALREADY_STARTED, _DELIVERY)
        self._keeper.start()
        try:
            self._prepare(deadline)
        except InterruptedRunError as error:
            return self._end(error.outcome, error.code, _HURRIED_DELIVERY)
        except (LauncherError, OSError) as error:
            return self._end(init_failed(_sentence(error)), Exit.INIT_FAILED, _DELIVERY)
        finally:
            self._keeper.stop()
        return Exit.OK

    def _prepare(self, deadline: float) -> None:
        began = time.monotonic()
        lay_out(self._workspace)
        self._stream = LogStream(self._api, self._workspace.exchange)
        self._log.say(f"Preparing the workspace of run {self._settings.run}, stage {self._settings.stage}")
        details = repeat(self._api.details, deadline, self._tick)
        self._lost_after = details.settings.lost_after
        root = self._check_out(details)
        write_work(self._workspace, details, root)
        seconds = time.monotonic() - began
        append(self._workspace.exchange.phases, phase_line("init", 0, seconds).encode())
        self._log.say(f"The workspace is ready after {seconds:.1f} s")
        self._tick()
        # What doesn't get through now stays in the spool for grpc-server.
        self._stream.flush(time.monotonic() + 1)

    def _check_out(self, details: RunDetails) -> str:
        """Check the source out, if there is one; return the project root."""
        project = self._workspace.project
        if details.source is None:
            return ""
        git = Git(project, time.monotonic() + self._settings.checkout_timeout, self._tick)
        try:
            check_out(details.source, git, project, self._log.say)
        finally:
            git.close()
        return project_root(project, details.source.project_root)

    def _renewed(self, renewal: Renewal) -> None:
        """Note a renewal; runs in the lease thread."""
        if renewal.action is not LeaseAction.CONTINUE:
            self._ordered = renewal.action
        token = self._token.value
        if token != self._kept_token:
            write_whole(self._workspace.renewed_token, token, PRIVATE_FILE)
            self._kept_token = token

    def _tick(self) -> None:
        """Between two steps: send what was logged, and end when the mothership says so or is away for too long."""
        if self._ordered is not None:
            stopped = self._ordered is LeaseAction.STOP
            raise InterruptedRunError(
                ended_by_lease(self._ordered, _DOING), Exit.TERMINATED if stopped else Exit.LEASE_LOST
            )
        if self._lost_after is not None and self._keeper.silent_seconds() > self._lost_after:
            raise InterruptedRunError(lease_lost(self._lost_after, _DOING), Exit.LEASE_LOST)
        if self._stream is not None:
            self._stream.step()

    def _end(self, outcome: Outcome, code: Exit, within: float) -> int:
        """Tell everyone how it ended; return the exit code."""
        # The delivery is shorter than a Pod's grace: a SIGTERM need not cut it off.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stream = LogStream(self._api, self._workspace.exchange)
        if code is Exit.ALREADY_STARTED:
            note(outcome.message)
        else:
            # Where there is no workspace there is no log to put it in.
            with contextlib.suppress(OSError):
                self._log.say(outcome.message)
        phases = (PhaseReport("init", int(code), 0.0),)
        leave_last_word(self._settings.termination_log, outcome)
        deliver(self._api, stream, ResultReport(outcome, phases), time.monotonic() + within)
        return code


def _end(settings: Settings, outcome: Outcome, code: Exit) -> int:
    """End before anything was touched: the last word alone, since an attempt that isn't ours has no result to take."""
    note(outcome.message)
    leave_last_word(settings.termination_log, outcome)
    return code


def _said_once() -> Callable[[], None]:
    """Return a function for `repeat` that says, at the second try, that this may take a while."""
    tries = 0

    def count() -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            note("Waiting for the mothership to grant the start")

    return count


def _sentence(error: Exception) -> str:
    if isinstance(error, WorkspaceError):
        return str(error)
    if isinstance(error, PermissionError):
        return (
            f"The workspace could not be prepared: {error.strerror} for UID {os.geteuid()}: {error.filename}: "
            f"set spec.pod.securityContext.fsGroup to 1983, or let the files of the volume belong to GID 1983"
        )
    if isinstance(error, OSError):
        return f"The workspace could not be prepared: {error.strerror}: {error.filename}"
    return f"The workspace could not be prepared: {error}"


def _raise_terminated(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: the second signal must not interrupt the last word.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise InterruptedRunError(terminated("before the run began"), Exit.TERMINATED)
