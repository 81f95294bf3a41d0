"""Which pools this process works on: keeps its own Lease renewed, and sees whose Leases are.

Two threads. The renewer makes every call to the API server: renewals, and looks at all Leases when one seems to have
ended, when a session was taken over, or when this process has just come (back). The judge never waits for a network:
it notices in time that our own Lease was not renewed, and tells the agent when the answer of `owns` has changed.
`owns` itself is worked out at each call from what is known, so a process that was paused owns nothing when it wakes.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from app.agent.decisions import sharing
from app.agent.lease import Changed, NameInUseError, OwnLease, delete_abandoned, look, parse_lease
from app.agent.runtime import Api, Clock, Key
from app.cluster.errors import ApiError
from app.cluster.objects import KubernetesObject

_IDLE = 60.0
_log = structlog.get_logger(__name__)


class Ownership(Protocol):
    """Says which pools this process works on."""

    def start(self, changed: Callable[[], None], fit: Callable[[], bool]) -> None:
        """Begin to take part; `changed` is called, and must return soon, when answers of `owns` have changed.

        `fit` says whether this process can work on pools.
        """

    def owns(self, pool: Key) -> bool:
        """Return whether this process works on the pool right now."""

    def reconsider(self) -> None:
        """Look again soon: `fit` has changed, or another client took a session."""

    def stop(self, deadline: float) -> bool:
        """Own nothing from now on and tell the others; return whether that was done within `deadline` seconds."""

    @property
    def alive(self) -> bool:
        """Whether its threads run and make progress."""

    @property
    def joined(self) -> bool:
        """Whether this process has ever held its Lease and seen the others'."""

    def describe(self) -> str:
        """Say who shares the pools, in words."""


class Everything:
    """The ownership of a process that is alone: every pool is its own."""

    alive = True
    joined = True

    def start(self, changed: Callable[[], None], fit: Callable[[], bool]) -> None:
        """Do nothing: nothing will change."""

    def owns(self, pool: Key) -> bool:  # noqa: ARG002 - the protocol's
        """Own it."""
        return True

    def reconsider(self) -> None:
        """Do nothing."""

    def stop(self, deadline: float) -> bool:  # noqa: ARG002 - the protocol's
        """Do nothing; nobody is to be told."""
        return True

    def describe(self) -> str:
        """Say that there is one replica."""
        return "one replica, without leader election"


class Follower(Protocol):
    """A watch of the replicas' Leases."""

    def start(self) -> None:
        """Start it."""

    def stop(self, deadline_seconds: float) -> bool:
        """End it."""

    @property
    def alive(self) -> bool:
        """Whether its threads run."""


class LeaseKeeper:
    """Shares the pools with the other replicas by one Lease each.

    `follow` makes a watch of the Leases that calls what it is given. `clock.monotonic` should go on while the machine
    sleeps, where the system has such a clock.
    """

    def __init__(
        self,
        api: Api,
        follow: Callable[[Changed], Follower],
        namespace: str,
        replica: str,
        identity: str,
        timing: sharing.Timing,
        clock: Clock,
    ) -> None:
        self._api, self._namespace = api, namespace
        self._replica, self._identity = replica, identity
        self._timing, self._clock = timing, clock
        self._own = OwnLease(api, namespace, replica, identity, timing.duration, clock)
        self._follower = follow(self._watched)
        self._changed: Callable[[], None] = lambda: None
        self._fit: Callable[[], bool] = lambda: True
        # One lock for all that follows; both threads wait on it.
        self._state = threading.Condition()
        self._sightings: sharing.Sightings = {}
        self._members: frozenset[str] = frozenset()
        self._renewed = float("-inf")
        self._renewed_fit = True
        self._looked = False
        self._joined = False
        self._look_at = float("inf")
        self._look_not_before = float("-inf")
        self._due = float("-inf")
        self._ending = threading.Event()
        self._announced: frozenset[str] = frozenset()
        self._turned = clock.monotonic()
        self._renewer = threading.Thread(target=self._renew_always, name="lease-renewer", daemon=True)
        self._judge = threading.Thread(target=self._judge_always, name="lease-judge", daemon=True)

    # --- for the agent ---

    def start(self, changed: Callable[[], None], fit: Callable[[], bool]) -> None:
        """Begin to take part; see `Ownership`."""
        self._changed, self._fit = changed, fit
        self._turned = self._clock.monotonic()
        self._follower.start()
        self._renewer.start()
        self._judge.start()

    def owns(self, pool: Key) -> bool:
        """Return whether this process works on the pool right now."""
        return sharing.owner(pool, self._sharing()) == self._replica

    def reconsider(self) -> None:
        """Look at all Leases soon, and renew our own if `fit` has changed."""
        with self._state:
            self._look_at = self._clock.monotonic()
            self._state.notify_all()

    def stop(self, deadline: float) -> bool:
        """Own nothing from now on, and delete our Lease so that the others need not wait for its end."""
        with self._state:
            self._ending.set()
            self._state.notify_all()
        end = time.monotonic() + deadline
        for thread in (self._renewer, self._judge):
            if thread.ident is not None:
                thread.join(max(end - time.monotonic(), 0.0))
        stopped = self._follower.stop(max(end - time.monotonic(), 0.0))
        return stopped and not self._renewer.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the threads run, and the renewer isn't stuck in a call for longer than a call can take."""
        if self._renewer.ident is None or self._ending.is_set():
            return True
        stuck = self._clock.monotonic() - self._turned > _IDLE * 2
        return self._renewer.is_alive() and self._judge.is_alive() and self._follower.alive and not stuck

    @property
    def joined(self) -> bool:
        """Whether our Lease has ever been held and the others' been seen."""
        return self._joined

    def describe(self) -> str:
        """Say who shares the pools, in words."""
        members = self._sharing()
        if not members:
            return f"{self._replica} owns nothing: its Lease isn't renewed"
        return f"{self._replica} shares with {', '.join(sorted(members - {self._replica})) or 'nobody'}"

    # --- what is known ---

    def _sharing(self) -> frozenset[str]:
        """Return the replicas that share the pools, none while our own Lease isn't good."""
        with self._state:
            good = self._looked and not self._ending.is_set()
            good = good and self._clock.monotonic() - self._renewed < self._timing.deadline
            return self._members if good else frozenset()

    def _watched(self, kind: str, old: KubernetesObject | None, new: KubernetesObject | None) -> None:
        found = new or old
        lease = parse_lease(found, self._timing.duration) if found is not None else None
        if lease is None:
            return
        with self._state:
            if lease.name == self._own.name:
                self._own_watched(kind, lease)
            elif kind == "DELETED":
                self._see(sharing.vanished(self._sightings, lease.name, lease.version))
            else:
                self._see(sharing.noticed(self._sightings, lease, self._clock.monotonic()))
            self._state.notify_all()

    def _own_watched(self, kind: str, lease: sharing.Lease) -> None:
        """Renew at once when somebody deleted our Lease or holds it instead: the others count us out."""
        newest = self._own.version
        if not newest or lease.version < int(newest):
            return
        if kind == "DELETED" or lease.holder != self._identity:
            self._own_lost()

    def _own_lost(self) -> None:
        self._renewed = self._due = float("-inf")

    def _see(self, sightings: sharing.Sightings) -> None:
        self._sightings = sightings
        self._members = sharing.members(self._replica, sightings, fit=self._renewed_fit)

    # --- the renewer ---

    def _renew_always(self) -> None:
        while not self._ending.is_set():
            pause = self._one_turn()
            with self._state:
                if not self._ending.is_set() and not self._pressing():
                    self._state.wait(max(pause, 0.0))
        try:
            self._own.drop()
        except ApiError as error:
            _log.warning("lease_not_deleted", error=str(error))

    def _one_turn(self) -> float:
        try:
            return self.renew_turn()
        except Exception:  # noqa: BLE001 - the thread must live
            # Without this thread nothing would ever be owned again.
            _log.exception("lease_turn_failed")
            self._due = self._clock.monotonic() + self._timing.retry
            return self._timing.retry

    def _pressing(self) -> bool:
        """Return whether something asked for a turn while the last one went on."""
        now = self._clock.monotonic()
        return self._due <= now or max(self._look_at, self._look_not_before) <= now

    def renew_turn(self) -> float:
        """Make the calls that are due; return after how many seconds to come again."""
        self._turned = self._clock.monotonic()
        if self._due <= self._turned or (self._looked and self._fit() is not self._renewed_fit):
            self._renew()
        if self._next_look() <= self._clock.monotonic():
            self._look()
        return min(self._due, self._next_look(), self._turned + _IDLE) - self._clock.monotonic()

    def _next_look(self) -> float:
        with self._state:
            expected = sharing.next_look(self._sightings)
            wanted = self._look_at if expected is None else min(self._look_at, expected)
            return max(wanted, self._look_not_before)

    def _renew(self) -> None:
        began, fit = self._clock.monotonic(), self._fit()
        try:
            self._own.renew(fit=fit)
        except (ApiError, NameInUseError) as error:
            self._due = began + self._pause(getattr(error, "retry_after", None) or 0.0, began)
            _log.warning("lease_not_renewed", lease=self._own.name, error=str(error))
            return
        with self._state:
            if began - self._renewed >= self._timing.deadline:
                # Others may have come and taken over meanwhile: nothing is ours before they were looked at.
                self._looked, self._look_at = False, began
            self._renewed, self._renewed_fit = began, fit
            self._due = began + self._timing.interval
            self._see(self._sightings)
            self._state.notify_all()

    def _pause(self, asked: float, now: float) -> float:
        """Return when to renew again, where the server asked for so many seconds of peace.

        It gets them, up to a Lease's duration, but not at the price of the Lease: one try is left before its end.
        """
        wished = min(asked, self._timing.duration)
        last_chance = self._renewed + self._timing.deadline - 2 * self._timing.retry - now
        return max(self._timing.retry, min(wished, last_chance) if last_chance > 0 else wished)

    def _look(self) -> None:
        began = self._clock.monotonic()
        try:
            leases = look(self._api, self._namespace, self._timing.duration)
            delete_abandoned(self._api, self._namespace, self._take_in(leases, began))
        except ApiError as error:
            _log.warning("leases_not_seen", error=str(error))
            self._look_not_before = self._clock.monotonic() + self._timing.retry

    def _take_in(self, leases: list[sharing.Lease], began: float) -> list[sharing.Lease]:
        """Take in what a look showed that began at `began`; return the Leases that nobody will renew."""
        with self._state:
            others = [lease for lease in leases if lease.name != self._own.name]
            now = self._clock.monotonic()
            self._see(sharing.looked(self._sightings, others, began, now))
            own = next((lease for lease in leases if lease.name == self._own.name), None)
            if own is not None:
                self._own_watched("MODIFIED", own)
            elif self._own.version:
                self._own_lost()
            if self._look_at <= began:
                self._look_at = float("inf")
            self._looked = self._looked or began >= self._renewed
            self._joined = self._joined or (self._looked and own is not None)
            self._state.notify_all()
            return [each.lease for each in self._sightings.values() if each.abandoned]

    # --- the judge ---

    def _judge_always(self) -> None:
        while not self._ending.is_set():
            pause = self.judge_turn()
            with self._state:
                if not self._ending.is_set() and self._sharing() == self._announced:
                    self._state.wait(max(pause, 0.0))

    def judge_turn(self) -> float:
        """Tell the agent when the answers have changed; return after how many seconds they may by themselves."""
        members = self._sharing()
        if members != self._announced:
            former, self._announced = self._announced, members
            _log.info("pools_shared", replicas=sorted(members), before=sorted(former))
            try:
                self._changed()
            except Exception:  # noqa: BLE001 - the thread must live
                # The next look at everything does what was left out; a dead judge would never stop a session.
                _log.exception("change_of_ownership_failed")
        left = self._renewed + self._timing.deadline - self._clock.monotonic()
        return left if left > 0.0 else _IDLE
