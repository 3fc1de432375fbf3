"""Why the database failed is told by its driver's code, not by what its sentence happens to say."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from django.db import OperationalError

from inference.web.crossing.database_thread import StorageFailed


def failed(cause: Exception) -> StorageFailed:
    """As Django wraps what a driver raises."""
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return StorageFailed(error)


def of_sqlite(script: str) -> sqlite3.Error:
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.Error) as raised:
        connection.executescript(script)
    return raised.value


class OfPostgreSQL(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("could not extend file")
        self.sqlstate = sqlstate


def test_a_full_disk_is_known_whatever_the_database() -> None:
    full = of_sqlite(
        "PRAGMA max_page_count = 4; CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000));",
    )
    assert failed(full).is_disk_full
    assert failed(OfPostgreSQL("53100")).is_disk_full
    assert "disk is full" in failed(full).detail


def test_a_fault_that_only_speaks_of_full_is_none() -> None:
    for cause in (of_sqlite("SELECT * FROM full_names;"), OfPostgreSQL("42P01"), Exception("full")):
        found = failed(cause)
        assert not found.is_disk_full
        assert str(cause) in found.detail
