"""The life of one Pod on this node: a thread that carries out what `decide` says and reports what it sees.

    watch --Update--> inbox --+
    runtime --Exit--> inbox --+--> judge -> volumes -> decide -> start / stop -> status patch -> (DELETE)
    clock --wake-up-----------+

The thread sleeps between events. It starts the Pod's processes itself, so that they can't outlive it.
"""

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from devcluster.node.api import STRATEGIC_PATCH, ApiClient, ApiError, ApiUnavailable, Conflict, NotFound
from devcluster.node.decide import decide
from devcluster.node.env import Scope
from devcluster.node.events import Event, Events
from devcluster.node.logs import tail_of
from devcluster.node.objects import PodObjects
from devcluster.node.observed import (
    Observed,
    Running,
    Terminated,
    Verdict,
    Waiting,
    all_containers,
    init_containers,
    restarts_after,
)
from devcluster.node.podfiles import PodFiles
from devcluster.node.runtime import Exit
from devcluster.node.shapes import Json
from devcluster.node.slots import BACKOFF_FIRST, BACKOFF_MOST, Slot
from devcluster.node.starter import Held, NeverStarted, Order, Started, Starter
from devcluster.node.status import Situation, pod_status
from devcluster.node.times import parse, rfc3339
from devcluster.node.volumes import Sources, VolumeError, set_up, size_limits, too_large

log = logging.getLogger(__name__)

# Like a kubelet's, except that waiting for a Secret is asked for again sooner than its two minutes.
_MOUNT_FIRST, _MOUNT_MOST = 0.5, 5.0
_PULL_SHOWN = 1.0
_CONFIG_PAUSE = 5.0
_STATUS_RETRY = 1.0
_MESSAGE_LIMIT = 4096
_USAGE_PAUSE = 10.0
_EVICTION_GRACE = 1.0


@dataclass(frozen=True)
class Collaborators:
    """What a worker works with; `start_slots` limits how many containers are started at once."""

    client: ApiClient
    events: Events
    starter: Starter
    sources: Callable[[PodObjects], Sources]
    start_slots: threading.Semaphore


@dataclass(frozen=True)
class Update:
    """The Pod object has changed."""

    pod: Json


@dataclass(frozen=True)
class Gone:
    """The Pod object was removed, by force: nothing is left to report."""


@dataclass(frozen=True)
class Exited:
    """A container has ended."""

    name: str
    exit: Exit


Message: TypeAlias = Update | Gone | Exited


class PodWorker:
    """Runs one Pod; `on_over` is called when nothing of it runs and its last status is written."""

    def __init__(
        self,
        pod: Json,
        files: PodFiles,
        work: Collaborators,
        on_over: Callable[[str], None],
        verdict: Verdict | None,
    ) -> None:
        self.name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        self.uid: str = pod["metadata"]["uid"]
        self._pod, self._files, self._work, self._on_over = pod, files, work, on_over
        self._objects = PodObjects(work.client, pod)
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.slots = {each["name"]: Slot() for each in all_containers(pod)}
        self._verdict = verdict
        self._volumes: dict[str, Path] | None = None
        self._mount_pause, self._mount_due = _MOUNT_FIRST, 0.0
        self._limited, self._usage_due = bool(size_limits(pod)), 0.0
        self._kill_at: float | None = None
        self._gone = False
        self._reported: Json = {}
        self._start_time: str = (pod.get("status") or {}).get("startTime") or rfc3339()

    def tell(self, message: Message) -> None:
        """Hand something over that has happened."""
        self._inbox.put(message)

    def start(self) -> None:
        """Begin, in a thread of the Pod's own."""
        threading.Thread(target=self._run, name=f"pod {self.name}", daemon=True).start()

    def _run(self) -> None:
        """Live the Pod's life."""
        try:
            self._files.create(self._pod)
            while True:
                wake_at = self._advance()
                if wake_at is None:
                    break
                self._receive(wake_at)
        except Exception:  # the thread's end kills the Pod's processes; the log must say why
            log.exception("pod worker failed: pod=%s", self.name)
        finally:
            self._release()
            self._on_over(self.uid)

    def _release(self) -> None:
        """Give up what only running containers need."""
        try:
            self._files.release()
        except OSError:
            log.exception("the pod's volumes were not removed: pod=%s", self.name)

    # -- what has happened ---------------------------------------------------------------------------------------

    def _receive(self, wake_at: float) -> None:
        """Sleep until something happens, then take in everything that has."""
        timeout = max(0.0, wake_at - time.monotonic())
        try:
            message = self._inbox.get(timeout=min(timeout, threading.TIMEOUT_MAX))
            while True:
                self._take(message)
                message = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _take(self, message: Message) -> None:
        """Take one message in."""
        match message:
            case Update(pod):
                self._pod = pod
            case Gone():
                self._gone = True
            case Exited(name, exit_):
                self._ended(name, exit_)

    def _ended(self, name: str, exit_: Exit) -> None:
        """Note a container's end and, where its restart policy says so, when to start it again."""
        slot = self.slots[name]
        running = slot.observed.state
        container = next(each for each in all_containers(self._pod) if each["name"] == name)
        reason = "OOMKilled" if exit_.out_of_memory else "Completed" if exit_.code == 0 else "Error"
        ended = Terminated(
            exit_code=exit_.code,
            reason=reason,
            finished_at=rfc3339(),
            message=self._termination_message(container, slot, exit_.code),
        )
        if isinstance(running, Running):
            ended = replace(
                ended,
                started_at=running.started_at,
                container_id=running.container_id,
                image_id=running.image_id,
            )
        slot.process = slot.log = None
        slot.observed = replace(slot.observed, state=ended)
        asked = slot.asked_to_stop or self._stopping()
        if not asked and restarts_after(self._pod, container, exit_.code):
            self._restart_later(container, slot, ended, time.monotonic() - slot.running_since)

    def _restart_later(self, container: Json, slot: Slot, ended: Terminated, ran_for: float) -> None:
        """Let a container wait for its next start, longer each time; the first time it is started at once."""
        pause = slot.restart_pause(ran_for)
        slot.not_before = time.monotonic() + pause
        again = Observed(Waiting(), slot.observed.restarts + 1, ended)
        if pause:
            metadata = self._pod["metadata"]
            pod = f"{metadata['name']}_{metadata['namespace']}({self.uid})"
            message = f"back-off {pause:.0f}s restarting failed container={container['name']} pod={pod}"
            again = replace(again, state=Waiting("CrashLoopBackOff", message))
            text = f"Back-off restarting failed container {container['name']} in pod {pod}"
            self._event(container, "Warning", "BackOff", text)
        slot.observed = again

    def _termination_message(self, container: Json, slot: Slot, code: int) -> str:
        """Return the container's own last word, or the end of its log where it asks for that."""
        path = self._files.container(container["name"]) / "termination-log"
        text = path.read_bytes()[:_MESSAGE_LIMIT].decode("utf-8", "replace") if path.exists() else ""
        if not text and code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            return tail_of(self._files.log(container["name"], slot.observed.restarts), 80, 2048)
        return text

    # -- what to do ----------------------------------------------------------------------------------------------

    def _advance(self) -> float | None:
        """Do what is due and return when to look again, None when the Pod is over."""
        self._judge()
        if self._volumes is None and not self._stopping():
            with self._work.start_slots:
                self._set_up_volumes()
        if self._volumes is None and not self._stopping():
            self._report(over=False)
            return self._next_wake(self._mount_due)
        while True:
            decision = decide(self._pod, self._observed(), self._pauses(), time.monotonic(), self._stopping())
            for name in decision.stop:
                self._stop(name)
            for name in decision.start:
                self._start(name)
            if not decision.start:
                break
        written = self._report(over=decision.finished)
        if not written:
            return time.monotonic() + _STATUS_RETRY
        if decision.finished and self._closed():
            return None
        return self._next_wake(decision.wake_at)

    def _judge(self) -> None:
        """Notice that the Pod's time is over, or that a volume of it has grown too large."""
        if self._verdict is not None:
            return
        deadline = self._pod["spec"].get("activeDeadlineSeconds")
        if deadline is not None and time.time() >= parse(self._start_time) + deadline:
            message = "Pod was active on the node longer than the specified deadline"
            self._verdict = Verdict("DeadlineExceeded", message)
            self._event(None, "Normal", "DeadlineExceeded", message)
        elif self._limited and self._volumes is not None and time.monotonic() >= self._usage_due:
            self._usage_due = time.monotonic() + _USAGE_PAUSE
            if message := too_large(self._pod, self._volumes):
                self._verdict = Verdict("Evicted", message, grace=_EVICTION_GRACE)
                self._event(None, "Warning", "Evicted", message)

    def _stopping(self) -> bool:
        """Return whether the Pod is to end whatever its containers do."""
        return self._gone or self._verdict is not None or "deletionTimestamp" in self._pod["metadata"]

    def _set_up_volumes(self) -> None:
        """Create the Pod's volumes, or note when to try again."""
        if time.monotonic() < self._mount_due:
            return
        try:
            self._volumes = set_up(self._pod, self._files.volumes, self._work.sources(self._objects))
        except (VolumeError, ApiError, ApiUnavailable) as error:
            self._event(None, "Warning", "FailedMount", str(error))
            self._mount_due = time.monotonic() + self._mount_pause
            self._mount_pause = min(self._mount_pause * 2, _MOUNT_MOST)

    def _start(self, name: str) -> None:
        """Start a container, or note what it waits for."""
        slot = self.slots[name]
        container = next(each for each in all_containers(self._pod) if each["name"] == name)
        state = slot.observed.state
        if isinstance(state, Waiting) and state.reason == "ErrImagePull":
            self._back_off(container, slot, state)
            return
        scope = Scope(self._pod, self._work.sources(self._objects).node, self._objects.data)
        order = Order(scope, container, self._volumes or {}, self._files, slot.observed.restarts)
        with self._work.start_slots:
            try:
                outcome = self._work.starter.start(order, lambda exit_: self.tell(Exited(name, exit_)))
            except (ApiError, ApiUnavailable) as error:
                outcome = Held("CreateContainerConfigError", str(error))
        match outcome:
            case Started():
                self._started(container, slot, outcome)
            case Held():
                self._held(container, slot, outcome)
            case NeverStarted(message, image_id):
                self._event(container, "Warning", "Failed", f"Error: {message}")
                now = rfc3339()
                ended = Terminated(128, "StartError", now, "1970-01-01T00:00:00Z", message, image_id=image_id)
                slot.observed = replace(slot.observed, state=ended)
                if restarts_after(self._pod, container, 128):
                    self._restart_later(container, slot, ended, 0.0)

    def _started(self, container: Json, slot: Slot, outcome: Started) -> None:
        """Note a container that runs."""
        slot.process, slot.log, slot.failures = outcome.process, outcome.log, 0
        slot.running_since = time.monotonic()
        container_id = f"process://{outcome.process.container_id}"
        slot.observed = replace(slot.observed, state=Running(container_id, outcome.image_id, rfc3339()))
        present = f'Container image "{container["image"]}" already present on machine'
        self._event(container, "Normal", "Pulled", present)
        self._event(container, "Normal", "Created", "Container created")
        self._event(container, "Normal", "Started", "Container started")

    def _held(self, container: Json, slot: Slot, outcome: Held) -> None:
        """Note what a container waits for and when to try again."""
        now = time.monotonic()
        slot.observed = replace(slot.observed, state=Waiting(outcome.reason, outcome.message))
        slot.not_before = now + _CONFIG_PAUSE
        if outcome.reason == "ErrImagePull":
            image = container["image"]
            slot.failures += 1
            slot.pull_due = now + min(BACKOFF_FIRST * 2 ** (slot.failures - 1), BACKOFF_MOST)
            slot.not_before = now + _PULL_SHOWN
            self._event(container, "Normal", "Pulling", f'Pulling image "{image}"')
            self._event(container, "Warning", "Failed", f'Failed to pull image "{image}": {outcome.message}')
            self._event(container, "Warning", "Failed", "Error: ErrImagePull")
        elif outcome.reason == "InvalidImageName":
            self._event(container, "Warning", "InspectFailed", outcome.message)
            self._event(container, "Warning", "Failed", "Error: InvalidImageName")
        else:
            self._event(container, "Warning", "Failed", f"Error: {outcome.message}")

    def _back_off(self, container: Json, slot: Slot, failed: Waiting) -> None:
        """Turn a failed pull into the pause before the next."""
        message = f'Back-off pulling image "{container["image"]}"'
        shown = f"{message}: ErrImagePull: {failed.message}"
        slot.observed = replace(slot.observed, state=Waiting("ImagePullBackOff", shown))
        slot.not_before = slot.pull_due
        self._event(container, "Normal", "BackOff", message)
        self._event(container, "Warning", "Failed", "Error: ImagePullBackOff")

    def _stop(self, name: str) -> None:
        """Ask a container to end, and end it when its grace is over."""
        slot, now = self.slots[name], time.monotonic()
        if slot.process is None:
            return
        grace = self._grace()
        kill_at = now + grace if self._kill_at is None else self._kill_at
        if "deletionTimestamp" in self._pod["metadata"]:
            # A second deletion may shorten the grace of the first.
            kill_at = min(kill_at, now + grace)
        self._kill_at = kill_at
        if not slot.asked_to_stop:
            slot.asked_to_stop = True
            container = next(each for each in all_containers(self._pod) if each["name"] == name)
            self._event(container, "Normal", "Killing", f"Stopping container {name}")
            slot.process.send(signal.SIGTERM)
        if now >= kill_at and not slot.killed:
            slot.killed = True
            slot.process.send(signal.SIGKILL)

    def _grace(self) -> float:
        """Return how long containers may take to end, from now."""
        metadata = self._pod["metadata"]
        if self._gone:
            return 0.0
        if "deletionTimestamp" in metadata:
            return max(0.0, parse(metadata["deletionTimestamp"]) - time.time())
        if self._verdict is not None and self._verdict.grace is not None:
            return self._verdict.grace
        return float(self._pod["spec"].get("terminationGracePeriodSeconds", 30))

    def _next_wake(self, due: float | None) -> float:
        """Return the earliest time at which something is due."""
        times = [time.monotonic() + 3600.0]
        if due is not None:
            times.append(due)
        deadline = self._pod["spec"].get("activeDeadlineSeconds")
        if deadline is not None and self._verdict is None:
            times.append(time.monotonic() + parse(self._start_time) + deadline - time.time())
        if self._limited and self._verdict is None:
            times.append(self._usage_due)
        if self._kill_at is not None and any(
            slot.process and not slot.killed for slot in self.slots.values()
        ):
            times.append(self._kill_at)
        return min(times)

    # -- what to say ---------------------------------------------------------------------------------------------

    def _observed(self) -> dict[str, Observed]:
        """Return what is known of every container."""
        return {name: slot.observed for name, slot in self.slots.items()}

    def _pauses(self) -> dict[str, float]:
        """Return until when each container must wait."""
        return {name: slot.not_before for name, slot in self.slots.items()}

    def _report(self, *, over: bool) -> bool:
        """Write the Pod's status when it has changed; return False when that must be tried again."""
        if self._gone:
            return True
        previous = self._reported or self._pod.get("status") or {}
        situation = Situation(
            address=self._work.sources(self._objects).node.address,
            now=rfc3339(),
            start_time=self._start_time,
            sandbox_ready=self._volumes is not None,
            over=over,
            verdict=self._verdict,
        )
        status = pod_status(self._pod, self._observed(), situation, previous)
        if status == self._reported:
            return True
        try:
            self._work.client.patch(
                f"{self._objects.path}/status",
                {"metadata": {"uid": self.uid}, "status": status},
                STRATEGIC_PATCH,
            )
        except (NotFound, Conflict):
            self._gone = True
        except (ApiUnavailable, ApiError) as error:
            log.warning("status not written: pod=%s error=%s", self.name, error)
            return False
        self._reported = status
        return True

    def _closed(self) -> bool:
        """Let a deleted Pod's object go; return False when that must be tried again."""
        if self._gone or "deletionTimestamp" not in self._pod["metadata"]:
            return True
        return self._objects.let_go()

    def _event(self, container: Json | None, kind: str, reason: str, message: str) -> None:
        """Emit an Event about the Pod or one of its containers."""
        path = ""
        if container is not None:
            place = "initContainers" if container in init_containers(self._pod) else "containers"
            path = f"spec.{place}{{{container['name']}}}"
        self._work.events.emit(self._pod, Event(kind, reason, message, path))
