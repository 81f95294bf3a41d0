"""One pool's MQTT connection: keeps one alive until it is stopped, and proves that it does.

One thread owns the client (`app.agent.paho_client`): it connects, reads, writes, acknowledges and publishes, and is
woken through a socket pair. No paho thread, no callback on a foreign thread, no lock held across a call. The session
itself lives in the broker. What may be published when is decided in `decisions.pacing` and `decisions.blame`; the facts
behind each of these rules, row by row with its test, are in docs/mqtt.md.

Who uses it: `app.agent.pools`, through the seam `app.agent.link`. It knows no message, no Worker and no Kubernetes.
"""

import contextlib
import random
import select
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace

import structlog

from app.agent.decisions.blame import Blame, Patience
from app.agent.decisions.pacing import Backoff
from app.agent.link import AckToken, ConnectionSettings, ConnectionState, LinkFigures, Sink
from app.agent.outbound import Outbound, Parcel
from app.agent.paho_client import (
    Accepted,
    Confirmed,
    Declined,
    Ended,
    Happening,
    PahoClient,
    Received,
    Subscribed,
)
from app.agent.tls_faults import explained
from protocol.mqtt import Version

_TICK = 0.5
_GOODBYE = 0.5
"""Part of the stop's time, in seconds, that is left for the goodbye."""

_SILENT_KEEPALIVES = 1.5
LIMITED = (
    "the broker speaks MQTT 3.1.1 only: it gives no reasons, and its own rules say how long sessions last"
)
_log = structlog.get_logger(__name__)


class Connection:
    """Keeps one connection alive until it is stopped."""

    def __init__(
        self, settings: ConnectionSettings, sink: Sink, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._sink, self._clock = settings, sink, clock
        self._log = _log.bind(broker=f"{settings.host}:{settings.port}", client=settings.client_id)
        self._lock = threading.Lock()
        patience = Patience(settings.instant, settings.refused_first, settings.refused_most)
        self._outbound = Outbound(
            settings.queue_limit, settings.in_flight, settings.publish_rate, Blame(patience), clock()
        )
        self._backoff = Backoff(settings.backoff_first, settings.backoff_most, settings.taken_over_pause)
        self._acks: deque[AckToken] = deque()
        self._unacked: OrderedDict[int, float] = OrderedDict()
        self._state = ConnectionState(since=clock())
        self._version = Version.MQTT_5
        self._stopping: float | None = None
        self._farewell = True
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._failures = 0
        self._ended: Ended | None = None
        self._progress = clock()
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{settings.client_id[:8]}", daemon=True)

    def start(self) -> None:
        """Connect, and keep connecting."""
        self._progress = self._clock()
        self._thread.start()

    def stop(self, deadline: float = 5.0, *, farewell: bool = True) -> bool:
        """Say goodbye and end within `deadline` seconds; return whether the thread ended in time.

        What the broker hasn't confirmed by then is left to the repeats after the next start. Without a `farewell`
        nobody learns of it: the session goes on with another connection.
        """
        self._farewell = farewell
        self._stopping = self._clock() + deadline
        self._wake()
        if self._thread.is_alive():
            self._thread.join(deadline)
        return not self._thread.is_alive()

    def publish(self, key: object, topic: str, payload: bytes) -> bool:
        """Hand a message over; a newer one of the same key replaces an unsent older one.

        Return False, without keeping it, while the connection isn't ready or the queue is full.
        """
        with self._lock:
            # Under the lock that ends a connection: nothing is put into the queue of one that is over.
            taken = self._state.ready and self._outbound.offer(key, Parcel(topic, payload))
        self._wake()
        return taken

    def ack(self, token: AckToken) -> None:
        """Acknowledge a message; of an older connection, do nothing: the broker sends it again."""
        self._acks.append(token)
        self._wake()

    @property
    def state(self) -> ConnectionState:
        """What can be told right now."""
        return self._state

    @property
    def alive(self) -> bool:
        """Whether the thread lives, which it does from start to stop, and has made a turn not long ago."""
        return self._thread.is_alive() and self._clock() - self._progress < self._settings.stall_limit

    @property
    def backlog(self) -> int:
        """Messages that wait to be published or confirmed."""
        return len(self._outbound) + self._outbound.in_flight

    def oldest_unacknowledged(self) -> float:
        """Return for how many seconds the oldest received message has waited for its acknowledgement."""
        with self._lock:
            first = next(iter(self._unacked.values()), None)
        return 0.0 if first is None else self._clock() - first

    def figures(self) -> LinkFigures:
        """Return what waits."""
        return LinkFigures(
            len(self._outbound), self._outbound.in_flight, len(self._unacked), self.oldest_unacknowledged()
        )

    # --- everything below runs on the connection's own thread ---

    def _run(self) -> None:
        while self._stopping is None:
            if not self._settings.may_connect():
                self._sleep(self._settings.backoff_first)
                continue
            self._ended = None
            client = PahoClient(self._settings, self._version)
            try:
                self._one_connection(client)
            except Exception as error:  # noqa: BLE001 - the thread must outlive everything but stop (row 1)
                self._end(explained(error))
            self._judge()
            stood = self._clock() - self._state.since if self._state.ready else 0.0
            self._close(client)
            if client.version is self._version and self._stopping is None:
                self._lost(stood)
                chance = random.random()  # noqa: S311 - jitter
                pause = self._backoff.pause(self._failures, chance, taken_over=self._state.taken_over)
                self._sleep(pause)
        self._reader.close()
        self._writer.close()

    def _one_connection(self, client: PahoClient) -> None:
        """Connect and serve until the connection ends or the thread is to stop."""
        former, now = self._state, self._clock()
        self._state = ConnectionState(
            epoch=former.epoch + 1,
            since=now,
            last_traffic=now,
            error=former.error,
            failures=self._failures,
            refused=former.refused,
        )
        client.open()
        give_up = self._clock() + self._settings.connect_timeout * 2
        while self._ended is None and not self._finished():
            self._turn(client)
            if not self._state.ready and self._clock() > give_up:
                self._end("the broker did not grant the subscription in time")

    def _turn(self, client: PahoClient) -> None:
        """Serve the socket once: publish and acknowledge, wait for traffic or a wake-up, read, write."""
        now = self._progress = self._clock()
        self._send_acks(client)
        again = self._send_messages(client, now)
        client.tend()
        if client.socket is not None:
            timeout = 0.0 if client.pending else min(_TICK, again if again is not None else _TICK)
            readable = self._wait(client, timeout)
            if (readable or client.pending) and client.read():
                self._state = replace(self._state, last_traffic=self._clock())
        for happening in client.happenings():
            self._handle(client, happening)
        if client.socket is None:
            self._ended = self._ended or Ended("the connection was closed", by_broker=True)
        self._look_for_silence()

    def _wait(self, client: PahoClient, timeout: float) -> bool:
        poller = select.poll()
        sock = client.socket
        poller.register(sock, select.POLLIN | (select.POLLOUT if client.wants_write else 0))
        poller.register(self._reader, select.POLLIN)
        events = dict(poller.poll(timeout * 1000))
        if self._reader.fileno() in events:
            with contextlib.suppress(BlockingIOError):
                self._reader.recv(65536)
        return bool(events.get(sock.fileno(), 0) & ~select.POLLOUT)

    def _look_for_silence(self) -> None:
        """End a connection that only seems to stand: half-open, or with a broker that confirms nothing."""
        now, settings = self._clock(), self._settings
        if now - self._state.last_traffic > settings.keepalive * _SILENT_KEEPALIVES:
            self._end(f"nothing came from the broker for {now - self._state.last_traffic:.0f} s")
        elif self._outbound.oldest_unconfirmed(now) > settings.confirm_timeout:
            self._end(f"the broker has not confirmed a publish for {settings.confirm_timeout:.0f} s")

    # --- what happens on the connection ---

    def _handle(self, client: PahoClient, happening: Happening) -> None:
        match happening:
            case Accepted():
                self._accepted(client, happening)
            case Declined():
                self._declined(happening)
            case Subscribed():
                self._subscribed(happening)
            case Confirmed():
                self._confirmed(happening)
            case Received():
                self._received(happening)
            case Ended():
                self._ended = self._ended or happening

    def _accepted(self, client: PahoClient, accepted: Accepted) -> None:
        now = self._clock()
        self._outbound.narrow(accepted.window)
        self._state = ConnectionState(
            epoch=self._state.epoch,
            session_present=accepted.session_present,
            since=now,
            last_traffic=now,
            failures=self._failures,
            limited=LIMITED if self._version is Version.MQTT_3_1_1 else "",
            refused=self._state.refused,
        )
        # Always, also in a session that was kept: a broker can have lost it (row 8).
        client.subscribe(self._settings.subscription)

    def _declined(self, declined: Declined) -> None:
        self._end(f"the broker refused the connection: {declined.reason}")
        # Tried again at once in the older version: that is an answer, not a failure.
        if declined.version and self._version is Version.MQTT_5:
            self._version = Version.MQTT_3_1_1
            self._log.warning("mqtt_5_refused", note="going on with MQTT 3.1.1", limits=LIMITED)

    def _subscribed(self, answer: Subscribed) -> None:
        if answer.refusal:
            topic = self._settings.subscription
            self._end(f"the broker refused the subscription to {topic}: {answer.refusal}")
            return
        self._state = replace(self._state, ready=True, since=self._clock())
        self._log.info(
            "mqtt_connected",
            session_present=self._state.session_present,
            epoch=self._state.epoch,
            version=self._version.name,
        )
        self._sink.on_ready()

    def _confirmed(self, answer: Confirmed) -> None:
        topic = self._outbound.confirmed(answer.mid)
        if not answer.refusal:
            if topic and self._outbound.blame.doubtful(topic):
                self._outbound.blame = self._outbound.blame.confirmed(topic)
                self._forgive(topic)
            return
        # Repeats cover it; what must not happen is that it goes unnoticed, or goes on at once (row 17).
        self._settings.count("mqtt_publish_refused", 1)
        self._log.warning("mqtt_publish_refused", topic=topic, reason=answer.refusal)
        if topic and answer.denied:
            self._outbound.blame = self._outbound.blame.refused(topic, self._clock())
            self._tell_refused(topic, answer.refusal)

    def _received(self, message: Received) -> None:
        mid = -1 if message.mid is None else message.mid
        if message.mid is not None:
            with self._lock:
                self._unacked[mid] = self._clock()
        self._sink.on_message(message.topic, message.payload, AckToken(self._state.epoch, mid))

    # --- sending ---

    def _send_acks(self, client: PahoClient) -> None:
        while self._acks:
            token = self._acks.popleft()
            if token.epoch == self._state.epoch:
                self._puback(client, token.mid)
        overdue = self._clock() - self._settings.ack_deadline
        late = [mid for mid, since in self._unacked.items() if since <= overdue]
        for mid in late:
            self._puback(client, mid)
        if late:
            self._settings.count("mqtt_acknowledged_unhandled", len(late))
            self._log.warning("mqtt_messages_acknowledged_unhandled", count=len(late))

    def _puback(self, client: PahoClient, mid: int) -> None:
        with self._lock:
            known = self._unacked.pop(mid, None)
        if known is not None:
            client.acknowledge(mid)

    def _send_messages(self, client: PahoClient, now: float) -> float | None:
        if not self._state.ready:
            return None
        return self._outbound.send(now, lambda parcel: client.publish(parcel.topic, parcel.payload))

    # --- the end of a connection ---

    def _end(self, reason: str) -> None:
        self._ended = self._ended or Ended(reason)

    def _finished(self) -> bool:
        """Return whether the thread may end: asked to, and everything is out or the time is up."""
        if self._stopping is None:
            return False
        idle = self._outbound.done(self._clock()) and not self._acks
        return idle or not self._state.ready or self._clock() > self._stopping - _GOODBYE

    def _judge(self) -> None:
        """Find out whether the broker closed the connection because of what was published (row 17)."""
        ended = self._ended
        if not self._state.ready or ended is None or ended.taken_over or not ended.by_broker:
            return
        unconfirmed = self._outbound.unconfirmed()
        self._outbound.blame, guilty = self._outbound.blame.ended(unconfirmed, self._clock())
        if guilty:
            self._settings.count("mqtt_publish_refused", 1)
            self._tell_refused(guilty, "the broker closes the connection after each publish to it")

    def _tell_refused(self, topic: str, reason: str) -> None:
        text = f"{topic}: {reason}; the certificate's name may not be allowed to publish there"
        self._state = replace(self._state, refused=text)
        self._log.error("mqtt_topic_refused", topic=topic, reason=reason)

    def _forgive(self, topic: str) -> None:
        if self._state.refused.startswith(f"{topic}: "):
            self._state = replace(self._state, refused="")

    def _close(self, client: PahoClient) -> None:
        leaving = self._stopping is not None and self._state.ready and self._farewell
        farewell = self._settings.farewell() if leaving and self._settings.will_topic else None
        client.close(farewell)
        with self._lock:
            self._unacked.clear()
            self._state = replace(self._state, ready=False)
            self._outbound.clear(self._clock())
        self._acks.clear()

    def _lost(self, stood: float) -> None:
        """Count and tell the loss of a connection that was ready for `stood` seconds."""
        ended = self._ended or Ended("the connection was closed")
        self._failures = 1 if stood >= self._settings.stable_after else self._failures + 1
        self._state = replace(
            self._state,
            since=self._clock(),
            error=ended.reason,
            taken_over=ended.taken_over,
            failures=self._failures,
        )
        self._settings.count("mqtt_connections_lost", 1)
        self._log.warning("mqtt_connection_lost", error=ended.reason, failures=self._failures)
        self._sink.on_lost()

    def _sleep(self, seconds: float) -> None:
        end = self._clock() + seconds
        # Not select.select: it takes no descriptor above 1,023, and a few hundred pools have more.
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        while self._stopping is None and (left := end - self._clock()) > 0:
            self._progress = self._clock()
            if poller.poll(min(left, _TICK) * 1000):
                with contextlib.suppress(BlockingIOError):
                    self._reader.recv(65536)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")
