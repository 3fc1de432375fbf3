"""The host's socket: one connection, one request, answered or followed until either side closes."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import Any

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.refusals import FailedToLoad, NotUnderstood, Refusal, VariantDisabled, VariantUnknown
from inference.engine import protocol
from inference.host.api import messages
from inference.host.api.messages import HostRefused, LoadPreviewed
from inference.host.api.telemetry import TelemetryQuery
from inference.host.connection import Connection
from inference.host.planning.variant_source import (
    BadOptions,
    DisabledVariant,
    InventoryUnavailable,
    UnknownVariant,
    UnusableFile,
)
from inference.host.run_loop import Host
from inference.host.shape import BadShape, check
from inference.host.telemetry.sampler import Telemetry
from inference.host.telemetry.serve import serve

logger = logging.getLogger(__name__)

LONGEST_REQUEST_BYTES = 64 * 1024
"""Requests carry ids and flags: nothing legitimate comes near."""
FIRST_LINE_SECONDS = 30.0
WATCH_INTERVAL_SECONDS = 0.1

_SCHEMAS: dict[str, type] = {
    "lease": messages.LeaseRequest,
    "load": messages.Load,
    "preview": messages.PreviewQuery,
    "unload": messages.Unload,
    "pin": messages.Pin,
    "profile_changed": messages.ProfileChanged,
    "status": messages.StatusQuery,
    "watch": messages.WatchRequest,
    "telemetry": TelemetryQuery,
}


_DEFAULTS: dict[str, dict[str, Any]] = {"lease": {"purpose": "chat"}, "unload": {"purpose": "chat"}}


class Server:
    """Accepts connections for `host`. `start` returns once the socket listens; `close` once every connection has ended."""

    def __init__(self, host: Host, telemetry: Telemetry) -> None:
        self._host = host
        self._telemetry = telemetry
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, path: str) -> None:
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._accept, path, limit=LONGEST_REQUEST_BYTES, backlog=512)
        finally:
            os.umask(mask)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=1.0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        connection = Connection(reader, writer)
        try:
            await self._converse(reader, connection)
        except (ConnectionError, asyncio.CancelledError):
            pass
        except Exception:
            logger.exception("a connection failed", extra={"event": "connection_failed"})
        finally:
            self._connections.discard(task)
            with suppress(asyncio.CancelledError):
                await connection.finish()

    async def _converse(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        try:
            request = await asyncio.wait_for(_read_request(reader), FIRST_LINE_SECONDS)
        except (BadShape, protocol.BadMessage) as error:
            connection.send(_refused(NotUnderstood(str(error))))
            return
        except asyncio.TimeoutError:
            return
        if request is None:
            return
        try:
            await self._answer(request, reader, connection)
        except UnknownVariant:
            connection.send(_refused(VariantUnknown()))
        except DisabledVariant as error:
            connection.send(_refused(VariantDisabled(error.variant_id)))
        except BadOptions as error:
            connection.send(_refused(FailedToLoad("bad_options", f"{error}.")))
        except UnusableFile as error:
            connection.send(_refused(FailedToLoad("bad_file", error.detail)))
        except InventoryUnavailable as error:
            connection.send(_refused(error.facts))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            if "variant_id" not in request:
                raise
            # Who asked must not wait for an answer that never comes.
            logger.exception("a request failed", extra={"event": "request_failed", "type": request["type"]})
            detail = f"The model host failed on this request ({type(error).__name__}); its log tells more."
            connection.send(_refused(FailedToLoad("crashed", detail)))

    async def _answer(self, request: dict[str, Any], reader: asyncio.StreamReader, connection: Connection) -> None:
        host = self._host
        if request.get("variant_id", 1) < 1:
            raise UnknownVariant(request["variant_id"])
        match request["type"]:
            case "lease":
                facts = await host.facts_for_lease(ResidentId(request["variant_id"], request["purpose"]))
                ticket = host.lease(connection, facts, request["user"], request["kind"], request["request_id"])
                await self._until_over(ticket, connection)
            case "load":
                facts = await host.read_facts(ResidentId(request["variant_id"]))
                await self._until_over(host.load(connection, facts, request["anyway"]), connection)
            case "preview":
                preview = await host.preview(request["variant_id"], request["anyway"])
                connection.send(LoadPreviewed(type="preview", preview=preview))
            case "unload":
                resident_id = ResidentId(request["variant_id"], request["purpose"])
                if not host.knows(resident_id):
                    with suppress(UnusableFile):
                        await host.read_facts(resident_id)
                await self._until_over(host.unload(connection, resident_id), connection)
            case "pin":
                await host.pin(request["variant_id"], request["pinned"])
                connection.send({"type": "completed"})
            case "profile_changed":
                await host.read_pools()
                connection.send({"type": "completed"})
            case "status":
                connection.send(host.status())
            case "watch":
                await self._follow(connection)
            case "telemetry":
                await serve(self._telemetry, reader, connection)

    async def _until_over(self, ticket: int, connection: Connection) -> None:
        """The open connection is the ticket."""
        try:
            await connection.until_over()
        finally:
            self._host.left(ticket)

    async def _follow(self, connection: Connection) -> None:
        closed = asyncio.ensure_future(connection.until_left())
        try:
            async with self._host.changes() as changed:
                while not closed.done():
                    changed.clear()
                    connection.send(self._host.status())
                    # At most ten a second, and none while a slow watcher has not taken the last.
                    await asyncio.wait({closed}, timeout=WATCH_INTERVAL_SECONDS)
                    await connection.drain()
                    waiter = asyncio.ensure_future(changed.wait())
                    await asyncio.wait({closed, waiter}, return_when=asyncio.FIRST_COMPLETED)
                    waiter.cancel()
        finally:
            closed.cancel()
            await asyncio.gather(closed, return_exceptions=True)


def _refused(refusal: Refusal) -> HostRefused:
    return {"type": "refused", "refusal": refusal}


async def _read_request(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The checked request; None where the connection ended first. Raises BadMessage, BadShape."""
    try:
        line = await reader.readline()
    except ValueError:
        raise protocol.BadMessage(f"a line longer than {LONGEST_REQUEST_BYTES} bytes") from None
    if not line.endswith(b"\n"):
        return None
    message = protocol.decode(line)
    schema = _SCHEMAS.get(message["type"])
    if schema is None:
        raise protocol.BadMessage(f"unknown type {message['type'][:40]!r}; known are {', '.join(sorted(_SCHEMAS))}")
    return check({**_DEFAULTS.get(message["type"], {}), **message}, schema)
