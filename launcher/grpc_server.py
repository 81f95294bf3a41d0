"""`grpc-server`: the executor's way to the mothership for as long as the run lasts.

It renews the lease, carries the stop signal, streams the log, and reports the result once the executor has written
one. Executor and server exchange files (`exchange`); the container's name is fixed by the documents, the exchange is
not a gRPC service.

    lease thread:  mothership --renewal--> `lease`, `stop`
    main thread:   `spool` --chunks--> mothership;  `alive`, `life`, `exit` --next_step--> deliver, leave or give up
"""

import signal
import threading
import time
from types import FrameType

from launcher.api_client import Attempt, LauncherApi
from launcher.credentials import read_credentials
from launcher.delivery import deliver, leave_last_word
from launcher.exchange import Exchange, lease_text, parse_exit, parse_phases, stop_text
from launcher.exits import Exit
from launcher.files import read_text, write_whole
from launcher.lease import LeaseKeeper, Renewal
from launcher.lifeline import Lifeline
from launcher.log_stream import LogStream
from launcher.outcome import ended_by_lease, terminated, worker_vanished
from launcher.run_log import note
from launcher.settings import Settings
from launcher.worker_watch import Limits, Silence, Situation, Step, WorkerView, next_step
from launcher.workspace import Workspace
from protocol.launcher_api import LeaseAction, ResultReport
from protocol.runs import Outcome

_POLL = 0.1
_LONGEST_STEP = 1.0
# Of what is left of the log when the attempt is closed: it may still be taken, but nobody waits for it.
_PARTING_FLUSH = 3.0


def run_server(settings: Settings) -> int:
    """Serve one run; return the exit code."""
    server = Server(settings)
    signal.signal(signal.SIGTERM, server.terminate)
    return server.run()


class Server:
    """One run's server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        workspace = Workspace(settings.workspace)
        self._exchange: Exchange = workspace.exchange
        credentials = read_credentials(settings.credentials_dir, workspace.renewed_token)
        attempt = Attempt(settings.run, settings.sequence)
        self._api = LauncherApi(credentials, attempt, settings.request_timeout)
        lease_api = LauncherApi(credentials, attempt, settings.request_timeout)
        self._keeper = LeaseKeeper(lease_api, credentials.token, self._renewed)
        self._stream = LogStream(self._api, self._exchange)
        self._lifeline = Lifeline(self._exchange.life)
        self._limits = Limits(settings.worker_silence, settings.termination_timeout)
        self._woken = threading.Event()
        self._gone = threading.Event()
        self._terminated_at: float | None = None

    def terminate(self, _number: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """Note a SIGTERM: from now on the time is short."""
        if self._terminated_at is None:
            self._terminated_at = time.monotonic()
        self._woken.set()

    def run(self) -> int:
        """Work until the run is over; return the exit code."""
        self._keeper.start()
        try:
            return self._finish(*self._watch())
        finally:
            self._keeper.stop()

    def _watch(self) -> tuple[Step, Outcome | None]:
        """Stream the log until there is something else to do; return that, and the run's outcome if it has ended."""
        silence = Silence()
        looked_at = time.monotonic()
        while True:
            view = self._look()
            now = time.monotonic()
            silence = silence.after(view, now - looked_at, _LONGEST_STEP)
            looked_at = now
            step = next_step(
                Situation(view, silence, self._gone.is_set(), self._terminated_for()), self._limits
            )
            if step is not Step.GO_ON:
                return step, view.outcome
            self._stream.step(hurry=self._terminated_at is not None)
            self._woken.wait(_POLL)
            self._woken.clear()

    def _finish(self, step: Step, outcome: Outcome | None) -> int:
        """Do what is left to do; return the exit code."""
        match step:
            case Step.LEAVE:
                self._stream.flush(time.monotonic() + _PARTING_FLUSH)
                return self._end(ended_by_lease(LeaseAction.GONE, "while it ran"), Exit.LEASE_LOST)
            case Step.GIVE_UP:
                self._stream.flush(time.monotonic() + _PARTING_FLUSH)
                return self._end(terminated("before the commands had ended"), Exit.TERMINATED)
            case Step.VANISHED:
                self._call_back()
        return self._deliver(outcome or worker_vanished())

    def _call_back(self) -> None:
        """Tell an executor that lives after all to end: it must not go on working behind a result."""
        try:
            write_whole(self._exchange.stop, stop_text(LeaseAction.GONE))
        except OSError as error:
            # Its lease ends with this server. What is known must be delivered all the same.
            note(f"The order to stop can't be written: {error.strerror}")

    def _deliver(self, outcome: Outcome) -> int:
        # The lease is kept meanwhile: the mothership must not call a run lost whose log is on its way.
        note(f"The run has ended: {outcome.result.value}. {outcome.message}")
        result = ResultReport(outcome, parse_phases(read_text(self._exchange.phases)))
        done = deliver(self._api, self._stream, result, self._deadline())
        return self._end(outcome, Exit.OK if done.complete else Exit.NOT_DELIVERED)

    def _end(self, outcome: Outcome, code: Exit) -> int:
        leave_last_word(self._settings.termination_log, outcome)
        return code

    def _look(self) -> WorkerView:
        dead = self._lifeline.is_cut()
        beat = read_text(self._exchange.alive).strip()
        return WorkerView(beat, parse_exit(read_text(self._exchange.exit)), dead)

    def _terminated_for(self) -> float | None:
        return None if self._terminated_at is None else time.monotonic() - self._terminated_at

    def _deadline(self) -> float:
        whole = time.monotonic() + self._settings.flush_timeout
        if self._terminated_at is None:
            return whole
        # At least a moment: the executor may have used the grace up.
        hurried = self._terminated_at + self._settings.termination_timeout
        return min(whole, max(hurried, time.monotonic() + _PARTING_FLUSH))

    def _renewed(self, renewal: Renewal) -> None:
        """Pass a renewal on to the executor; runs in the lease thread."""
        if renewal.action is LeaseAction.GONE:
            self._gone.set()
        if renewal.action is not LeaseAction.CONTINUE and not self._exchange.stop.exists():
            write_whole(self._exchange.stop, stop_text(renewal.action))
            note(f"The mothership says {renewal.action.value}")
        if renewal.action is LeaseAction.GONE:
            self._woken.set()
            return
        text = lease_text(renewal.counter, renewal.asked_boot, renewal.asked_epoch)
        write_whole(self._exchange.lease, text)
