"""The composition root: builds every collaborator, thread and clock, and holds no decisions.

workers --MQTT--> broker --> BrokerLink --events--> Dispatcher --> Inbox, Desk --> decisions
^                     |                              |
`------publish--------+<-- due rows <-- tables <-----+
launchers, command line --HTTPS--> gunicorn --> Flask views --> decisions --> tables, then wake the Dispatcher
"""

import fcntl
import os
import queue
import time

from flask import Flask

from mothership.api.application import create_app
from mothership.api.services import Health, Services
from mothership.broker_link import BrokerLink, Event, LinkSettings
from mothership.ca import Authority
from mothership.clock import Clock, SteadyClock, new_ulid
from mothership.counters import Counters
from mothership.desk import Desk
from mothership.dispatcher import Dispatcher, Parts
from mothership.errors import SetupError
from mothership.files import DataFiles
from mothership.inbox import Inbox
from mothership.inventories import Inventories
from mothership.sealer import Sealer
from mothership.settings import Settings, parse_address
from mothership.storage import pools
from mothership.storage.database import Database
from mothership.storage.logs import LogStore
from mothership.storage.workspaces import WorkspaceStore
from protocol.topics import mothership_subscription

LOCK_PATIENCE_SECONDS = 10.0
STOP_SECONDS = 5.0


class Service:
    """A whole mothership in this process: `app` answers HTTPS, threads serve the broker."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        files = DataFiles(settings.data_dir)
        authority = Authority.load(files)
        self._lock = _take_lock(files)
        self._database = Database(files.database)
        clock = clock or self._clock()
        counters = Counters()
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._link = BrokerLink(self._link_settings(settings, files), events)
        desk = Desk(settings.rules, Inventories(settings.rules))
        self._dispatcher = Dispatcher(
            Parts(
                database=self._database,
                link=self._link,
                events=events,
                inbox=Inbox(self._database, desk, clock, counters),
                desk=desk,
                sealer=Sealer(settings.public_endpoint, settings.rules),
                rules=settings.rules,
                clock=clock,
                namespace=settings.topic_namespace,
            )
        )
        self.app: Flask = create_app(
            Services(
                database=self._database,
                settings=settings,
                clock=clock,
                authority=authority,
                logs=LogStore(files.logs, settings.log_limit),
                workspaces=WorkspaceStore(files.workspaces, settings.workspace_limit),
                wake=self._dispatcher.wake,
                health=lambda: Health(
                    self._dispatcher.connected, self._dispatcher.idle_seconds(), counters.totals()
                ),
                admin_token=read_admin_token(files),
            )
        )

    def start(self) -> None:
        """Start the threads."""
        self._dispatcher.start()
        self._link.start()

    def stop(self) -> None:
        """Leave the broker, let the pass under way end, close the database."""
        self._link.stop(STOP_SECONDS)
        self._dispatcher.stop(STOP_SECONDS)
        self._database.close()
        os.close(self._lock)

    def _clock(self) -> Clock:
        with self._database.read() as conn:
            return SteadyClock(pools.noted_time(conn))

    def _link_settings(self, settings: Settings, files: DataFiles) -> LinkSettings:
        certificate, key = files.pair("mqtt-client")
        # Stable, so that the broker keeps the session; random, so that no pool can guess it and take the session over.
        with self._database.write() as conn:
            client_id = pools.remembered(conn, "mqtt-client-id", f"mothership-{new_ulid()}")
        return LinkSettings(
            broker=parse_address("--broker", settings.broker, "mqtts"),
            client_id=client_id,
            subscription=mothership_subscription(settings.topic_namespace),
            ca_file=str(files.ca),
            certificate_file=str(certificate),
            key_file=str(key),
            publish_rate=settings.publish_rate,
            drops_topic=settings.broker_drops_topic,
        )


def read_admin_token(files: DataFiles) -> str:
    """Return the admin token; raise `SetupError` when there is none."""
    try:
        token = files.admin_token.read_text(encoding="utf-8").strip()
    except OSError:
        token = ""
    if not token:
        raise SetupError(f"{files.admin_token} is missing or empty: run `mothership ca init`")
    return token


def _take_lock(files: DataFiles) -> int:
    """Hold the data directory: two motherships on one database would grant each other's runs."""
    descriptor = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > until:
                os.close(descriptor)
                raise SetupError(f"another mothership serves from {files.root}") from None
            time.sleep(0.1)
        else:
            return descriptor
