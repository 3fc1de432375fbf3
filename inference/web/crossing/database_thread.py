"""A thread that does blocking database work for asyncio."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from django.db import Error, connection, connections
from django.utils.translation import gettext as _

logger = logging.getLogger(__name__)

TRUSTED_IDLE_SECONDS = 30.0
"""A connection unused for longer is asked whether it still works: database servers hang up on idlers."""

_SQLITE_FULL = 13
_POSTGRESQL_DISK_FULL = "53100"

P = ParamSpec("P")
R = TypeVar("R")


class StorageFailed(Exception):
    """The database did not take or give something; nothing was changed."""

    def __init__(self, error: Error) -> None:
        super().__init__(str(error))
        self.is_disk_full = _is_disk_full(error.__cause__)

    @property
    def detail(self) -> str:
        """A sentence for whoever reads it."""
        if self.is_disk_full:
            return _("The box's disk is full, so this could not be stored. Free some space on it and try again.")
        return _(
            "The box's database did not take this ({error}). Try again; if it stays so, look at the box's disk and log."
        ).format(error=self)


def _is_disk_full(cause: BaseException | None) -> bool:
    """`cause`: the database driver's own error."""
    if isinstance(cause, sqlite3.Error):
        # Python 3.10's sqlite3 keeps no error code, only SQLite's own fixed text for it.
        code: int | None = getattr(cause, "sqlite_errorcode", None)
        return str(cause) == "database or disk is full" if code is None else code & 0xFF == _SQLITE_FULL
    return getattr(cause, "sqlstate", None) == _POSTGRESQL_DISK_FULL


class DatabaseThread:
    """One thread with a connection that stays open, because opening one costs more than most queries."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._used_at = 0.0

    def __call__(self, function: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
        """Decorates a blocking function: awaited, it runs in this thread. It may raise StorageFailed besides its own."""

        @wraps(function)
        async def cross(*args: P.args, **kwargs: P.kwargs) -> R:
            call = partial(self._guarded, partial(function, *args, **kwargs))
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)

        return cross

    def _guarded(self, call: Callable[[], R]) -> R:
        now = time.monotonic()
        try:
            if now - self._used_at > TRUSTED_IDLE_SECONDS and not (connection.connection and connection.is_usable()):
                connection.close()
            self._used_at = now
            return call()
        except Error as error:
            connection.close()
            logger.exception("the database failed")
            raise StorageFailed(error) from error

    async def close(self) -> None:
        """Closes the thread's connection; the next call opens another."""
        await asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)


reading = DatabaseThread("web-read")
"""For the short reads of all features. What takes long, and what writes, has a thread of its own."""
