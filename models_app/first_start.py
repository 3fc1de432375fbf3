"""What a command says where `serve` has not yet made, or brought up to date, the database that it asks."""

from __future__ import annotations

from django.db import DatabaseError, OperationalError, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor

NOT_STARTED = (
    "This box has not been started yet, so there is nothing to ask. Run make serve first (or manage.py migrate)."
)
OUTDATED = "The database is of an earlier version. Run make serve, which brings it up to date (or manage.py migrate)."


def unapplied_migrations() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def what_is_missing() -> str | None:
    """The sentence for whoever runs a command; None where the database is as the code expects it, or does not answer."""
    try:
        if not connection.introspection.table_names():
            return NOT_STARTED
        return OUTDATED if unapplied_migrations() else None
    except DatabaseError:
        return None


def explain(error: BaseException) -> str | None:
    """The sentence where `error` comes of a table or column that is not there; None for any other, which is a fault."""
    if not isinstance(error, OperationalError | ProgrammingError):
        return None
    # A transaction that has failed answers nothing more.
    connection.close()
    return what_is_missing()
