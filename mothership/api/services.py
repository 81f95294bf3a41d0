"""What the views work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from mothership.ca import Authority
from mothership.clock import Clock
from mothership.settings import Settings
from mothership.storage.database import Database
from mothership.storage.logs import LogStore
from mothership.storage.workspaces import WorkspaceStore

_KEY = "mothership"


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the parts behind the API live."""

    broker_connected: bool
    idle_seconds: float
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of the views; `wake` makes the dispatcher look at the tables."""

    database: Database
    settings: Settings
    clock: Clock
    authority: Authority
    logs: LogStore
    workspaces: WorkspaceStore
    wake: Callable[[], None]
    health: Callable[[], Health]
    admin_token: str = field(repr=False)


def bind(extensions: dict[str, object], services: Services) -> None:
    """Attach the services to an application's extensions."""
    extensions[_KEY] = services


def services() -> Services:
    """Return the services of the application that answers."""
    return cast(Services, current_app.extensions[_KEY])
