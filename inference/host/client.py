"""How everything outside the host reaches models: `async with HostClient(path).lease(...)`.

Views, consumers, tasks and commands use this module and nothing else of the host or the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from inference.core.generation import GenerationOptions
from inference.engine import protocol
from inference.engine.protocol import ChatMessage, Done, Prefill, Token
from inference.host.messages import (
    Evicting,
    HostRequest,
    HostStatus,
    LeaseKind,
    LeaseLoading,
    LeaseReady,
    Queued,
)


class HostUnavailable(Exception):
    """No host answers on the socket: it is starting, restarting or stopped."""


class HostRefusal(Exception):
    """The host said no. `code` is a messages.RefusalReason, `detail` a sentence for a person, `facts` its numbers."""

    def __init__(self, code: str, detail: str, facts: dict[str, Any]) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts = facts


class WorkerLost(Exception):
    """The worker's connection ended before `done`: it crashed or was killed. What was received so far is all there is."""


class WorkerRefusal(Exception):
    """The worker refused the request and lives on. `code` is a protocol.RefusalCode."""

    def __init__(self, code: str, detail: str, facts: dict[str, Any]) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts = facts


async def _connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(path, limit=protocol.LONGEST_LINE_BYTES)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError, BrokenPipeError):
        await writer.wait_closed()


@dataclass(slots=True)
class Lease:
    """The right to use one variant for one request, held by an open connection.

    First exhaust `waiting()`, then call `generate()`.
    """

    _reader: asyncio.StreamReader
    ready: LeaseReady | None = None

    async def waiting(self) -> AsyncIterator[Queued | Evicting | LeaseLoading]:
        """What this request waits for, until the variant is ready. Raises HostRefusal, HostUnavailable."""
        while True:
            event = await protocol.read(self._reader)
            if event is None:
                raise HostUnavailable("the host ended while this request was waiting")
            if event["type"] == "ready":
                self.ready = cast(LeaseReady, event)
                return
            if event["type"] == "refused":
                raise HostRefusal(event["code"], event["detail"], event.get("facts", {}))
            yield cast(Any, event)

    async def generate(
        self,
        *,
        request_id: str,
        owner: str,
        options: GenerationOptions,
        messages: list[ChatMessage] | None = None,
        prompt: str | None = None,
    ) -> AsyncIterator[Prefill | Token | Done]:
        """Streams one answer; the last event is Done. Closing the iterator cancels within one decode step.

        Raises WorkerRefusal, WorkerLost.
        """
        assert self.ready is not None, "exhaust waiting() first"
        request: dict[str, Any] = {
            "type": "generate",
            "request_id": request_id,
            "owner": owner,
            "options": options.to_json(),
        }
        if messages is not None:
            request["messages"] = messages
        if prompt is not None:
            request["prompt"] = prompt
        try:
            reader, writer = await _connect(self.ready["socket"])
        except OSError as error:
            raise WorkerLost(f"the worker is gone: {error}") from None
        try:
            writer.write(protocol.encode(request))
            while True:
                reply = await protocol.read(reader)
                if reply is None:
                    raise WorkerLost("the worker ended in the middle of the answer")
                if reply["type"] == "refused":
                    raise WorkerRefusal(reply["code"], reply["detail"], reply.get("facts", {}))
                yield cast(Any, reply)
                if reply["type"] == "done":
                    return
        finally:
            await _close(writer)


class HostClient:
    """Speaks to the host's Unix socket. Holds no connection of its own; safe to share."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path

    @asynccontextmanager
    async def _request(self, request: HostRequest) -> AsyncIterator[asyncio.StreamReader]:
        try:
            reader, writer = await _connect(self._path)
        except OSError as error:
            raise HostUnavailable(f"no host answers at {self._path}: {error.strerror or error}") from None
        try:
            writer.write(protocol.encode(request))
            yield reader
        finally:
            await _close(writer)

    async def _ask(self, request: HostRequest) -> dict[str, Any]:
        async with self._request(request) as reader:
            answer = await protocol.read(reader)
        if answer is None:
            raise HostUnavailable("the host ended before it answered")
        if answer["type"] == "refused":
            raise HostRefusal(answer["code"], answer["detail"], answer.get("facts", {}))
        return answer

    @asynccontextmanager
    async def lease(
        self, *, variant_id: int, user: str, kind: LeaseKind = "interactive", request_id: str
    ) -> AsyncIterator[Lease]:
        """Queues for the variant; leaving the block gives the lease back. Raises HostUnavailable."""
        async with self._request(
            {"type": "lease", "variant_id": variant_id, "user": user, "kind": kind, "request_id": request_id}
        ) as reader:
            yield Lease(reader)

    async def load(self, variant_id: int) -> None:
        """Returns when the variant is resident. Raises HostRefusal, HostUnavailable."""
        await self._ask({"type": "load", "variant_id": variant_id})

    async def unload(self, variant_id: int) -> None:
        """Returns when the variant's worker has ended; running answers finish first. Raises HostRefusal, HostUnavailable."""
        await self._ask({"type": "unload", "variant_id": variant_id})

    async def pin(self, variant_id: int, pinned: bool) -> None:
        """A pinned variant is never evicted nor unloaded for idleness. Raises HostRefusal, HostUnavailable."""
        await self._ask({"type": "pin", "variant_id": variant_id, "pinned": pinned})

    async def status(self) -> HostStatus:
        """Raises HostUnavailable."""
        return cast(HostStatus, await self._ask({"type": "status"}))

    async def watch(self) -> AsyncIterator[HostStatus]:
        """The status now and after every change. Ends when the host ends. Raises HostUnavailable."""
        async with self._request({"type": "watch"}) as reader:
            while (status := await protocol.read(reader)) is not None:
                yield cast(HostStatus, status)
