"""From bytes that arrived to stored effects: parse, apply in batches, acknowledge after the commit."""

from collections.abc import Sequence
from typing import NoReturn

import structlog

from mothership.broker_link import Arrived
from mothership.clock import Clock
from mothership.counters import Counters
from mothership.desk import Desk
from mothership.errors import UnavailableError
from mothership.outgoing import Outgoing
from mothership.storage.database import Database
from protocol.messages import FROM_WORKER, Message, MessageError, parse
from protocol.topics import Direction, Topic

_log = structlog.get_logger(component="inbox")

_Item = tuple[Topic, Message]


class Inbox:
    """Applies batches of messages; what can't be parsed is counted, logged once per kind and dropped."""

    def __init__(self, database: Database, desk: Desk, clock: Clock, counters: Counters) -> None:
        self._database = database
        self._desk = desk
        self._clock = clock
        self._counters = counters

    def handle(self, arrived: Sequence[Arrived]) -> list[Outgoing]:
        """Apply a batch and acknowledge it; return the answers.

        Raises `UnavailableError`, with nothing acknowledged, while the database can't be written.
        """
        batch = [item for event in arrived if (item := self._parse(event)) is not None]
        try:
            answers = self._apply(batch)
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - any fault of one message must not take the others with it
            _log.exception("batch failed, messages are tried one by one")
            answers = self._apply_singly(batch)
        for event in arrived:
            event.acknowledge()
        return answers

    def _apply(self, batch: Sequence[_Item]) -> list[Outgoing]:
        answers: list[Outgoing] = []
        with self._database.write() as conn:
            now = self._clock.now()
            for topic, message in batch:
                answers += self._desk.handle(conn, topic, message, now)
        return answers

    def _apply_singly(self, batch: Sequence[_Item]) -> list[Outgoing]:
        answers: list[Outgoing] = []
        for topic, message in batch:
            try:
                answers += self._apply([(topic, message)])
            except UnavailableError:
                raise
            except Exception:  # noqa: BLE001 - a message that can't be handled must not come again for ever
                _log.exception("message failed", type=message.type, worker=topic.worker)
                self._counters.count("failed")
        return answers

    def _parse(self, event: Arrived) -> _Item | None:
        try:
            topic = Topic.parse(event.topic)
            message = parse(event.payload).message
            _check_place(topic, message)
        except MessageError as error:
            self._dropped(error.kind, event.topic, error.detail)
        except ValueError:
            self._dropped("topic", event.topic, "not a topic of this protocol")
        else:
            return topic, message
        return None

    def _dropped(self, kind: str, topic: str, detail: str) -> None:
        if self._counters.count(kind):
            _log.warning("message dropped", kind=kind, topic=topic, detail=detail)


def _check_place(topic: Topic, message: Message) -> None:
    if topic.direction is not Direction.FROM_WORKER or not isinstance(message, FROM_WORKER):
        _misplaced(message)
    if topic.is_pool_level is hasattr(message, "worker_uid"):
        _misplaced(message)


def _misplaced(message: Message) -> NoReturn:
    raise MessageError("misplaced", f"{message.type} doesn't belong on this topic")
