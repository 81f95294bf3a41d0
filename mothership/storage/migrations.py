"""The steps from one schema version to the next; `Database` takes them in the transaction that opens the file."""

import sqlalchemy as sa

from mothership.storage.tables import SCHEMA_VERSION

STEPS = {
    1: ("ALTER TABLE runs ADD COLUMN tool TEXT NOT NULL DEFAULT ''",),
    2: (
        "ALTER TABLE runs ADD COLUMN failed_with TEXT",
        "ALTER TABLE runs ADD COLUMN not_before FLOAT NOT NULL DEFAULT 0",
    ),
}
"""Statements that take a database from the version in the key to the next one."""

OLDEST = min(STEPS)
"""The oldest version that there are steps from."""


def migrate(connection: sa.Connection, version: int) -> None:
    """Bring the tables of `version` (`OLDEST` to `SCHEMA_VERSION`) to `SCHEMA_VERSION`."""
    for passed in range(version, SCHEMA_VERSION):
        for statement in STEPS[passed]:
            connection.exec_driver_sql(statement)
