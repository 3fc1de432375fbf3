"""How everything outside the host reaches models: `async with HostClient(path).lease(...)`.

Views, consumers, tasks and commands use this module and nothing else of the host or the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import lru_cache
from typing import Any, cast

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.purposes import Purpose
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.vocabulary import LeaseKind
from inference.core.scheduling.preview import Preview
from inference.core.scheduling.refusals import Refusal, RefusalKind
from inference.engine import private_folder, protocol
from inference.engine.private_folder import Streams, UnsafeFolder
from inference.engine.protocol import ChatMessage, Chunk, Done, Prefill, Token
from inference.host.api.messages import (
    Evicting,
    HostRefused,
    HostRequest,
    HostStatus,
    LeaseEvent,
    LeaseLoading,
    LeaseReady,
    LoadPreviewed,
    Queued,
)
from inference.host.api.telemetry import TelemetryFrame, TelemetryQuery
from inference.host.api.wire import read_as

logger = logging.getLogger(__name__)


class HostUnavailable(Exception):
    """No host answers on the socket: it is starting, restarting or stopped."""


class HostNotTrusted(HostUnavailable):
    """Somebody else could be listening on the socket, so nothing was said to them. The text says what to do."""


class HostRefusal(Exception):
    """The host said no. `facts` say why: inference.wording.refusals words them for whoever asked."""

    def __init__(self, facts: Refusal, resident_id: ResidentId | None = None) -> None:
        """`resident_id`: which was asked for, where one was."""
        super().__init__(facts.kind)
        self.facts = facts
        self.resident_id = resident_id

    @property
    def code(self) -> RefusalKind:
        return self.facts.kind


class WorkerLost(Exception):
    """The worker's connection ended before `done`: it crashed or was killed. What was received so far is all there is."""


class WorkerRefusal(Exception):
    """The worker refused the request and lives on. `code` is a protocol.RefusalCode."""

    def __init__(self, code: str, detail: str, facts: dict[str, Any]) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts = facts


FOREVER_SECONDS = 1e9

_ASK_AGAIN_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Between a worker's death and the host's knowing of it lies up to a quarter of a second."""


async def _connect(path: str) -> Streams:
    """Raises UnsafeFolder, OSError."""
    return await private_folder.connect(path, protocol.LONGEST_LINE_BYTES)


@lru_cache(maxsize=16)
def _warn_once(reason: str) -> None:
    """Pages only say that no host answers; whoever keeps the box reads why in the log, once a process."""
    logger.error(reason, extra={"event": "host_not_trusted"})


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError, BrokenPipeError):
        await writer.wait_closed()


class Lease:
    """The right to use one variant for one request, held by an open connection.

    First exhaust `waiting()`, then call `generate()`.
    """

    def __init__(self, resident_id: ResidentId, ask: Callable[[], Awaitable[Streams]]) -> None:
        """`ask` sends the request for the lease on a new connection to the host."""
        self._resident_id = resident_id
        self.ready: LeaseReady | None = None
        self._ask = ask
        self._host: Streams | None = None
        self._worker: Streams | None = None

    async def ask(self) -> None:
        """Joins the queue. Raises HostUnavailable."""
        self._host = await self._ask()

    async def give_back(self) -> None:
        writers = [streams[1] for streams in (self._worker, self._host) if streams is not None]
        self._worker = self._host = None
        # All before the first await: a cancellation there must leave none open.
        for writer in writers:
            writer.close()
        for writer in writers:
            await _close(writer)

    async def waiting(self) -> AsyncGenerator[Queued | Evicting | LeaseLoading, None]:
        """What this request waits for, until the variant is ready and its worker reached.

        A worker may die in the moment it is leased; nothing was sent to it, so the lease is asked for anew. Raises
        HostRefusal, HostUnavailable, WorkerLost.
        """
        for delay in (*_ASK_AGAIN_SECONDS, None):
            async for event in self._until_ready():
                yield event
            assert self.ready is not None
            try:
                self._worker = await _connect(self.ready["socket"])
                return
            except OSError as error:
                await self.give_back()
                if delay is None:
                    raise WorkerLost(f"the worker is gone: {error}") from None
            await asyncio.sleep(delay)
            await self.ask()

    async def _until_ready(self) -> AsyncIterator[Queued | Evicting | LeaseLoading]:
        assert self._host is not None
        while True:
            message = await protocol.read(self._host[0])
            if message is None:
                raise HostUnavailable("the host ended while this request was waiting")
            event: LeaseEvent = read_as(cast(Any, LeaseEvent), message)
            if event["type"] == "ready":
                self.ready = event
                return
            if event["type"] == "refused":
                raise HostRefusal(event["refusal"], self._resident_id)
            yield event

    async def generate(
        self,
        *,
        request_id: str,
        owner: str,
        options: GenerationOptions,
        messages: list[ChatMessage] | None = None,
        prompt: str | None = None,
    ) -> AsyncGenerator[Prefill | Token | Done, None]:
        """Streams one answer; the last event is Done. Closing the iterator cancels within one decode step.

        Raises WorkerRefusal, WorkerLost.
        """
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
        async with aclosing(self._replies(request, "done")) as replies:
            async for reply in replies:
                yield cast(Any, reply)

    async def imatrix(
        self,
        *,
        request_id: str,
        text: str,
        dataset: str,
        most_chunks: int,
        path: str,
        first_chunk: int = 0,
        earlier: str | None = None,
        seconds: float = FOREVER_SECONDS,
    ) -> AsyncGenerator[Chunk, None]:
        """Has the importance matrix of `text` as far as `seconds` suffice written to the file at `path`, for a lease with that
        purpose: it is there when the iterator ends. A Chunk after each piece of the text; closing the iterator cancels.

        See engine.protocol.MakeImatrix. Raises WorkerRefusal, WorkerLost.
        """
        request = {
            "type": "imatrix",
            "request_id": request_id,
            "text": text,
            "dataset": dataset,
            "most_chunks": most_chunks,
            "first_chunk": first_chunk,
            "earlier": earlier,
            "seconds": seconds,
            "path": path,
        }
        async with aclosing(self._replies(request, "made")) as replies:
            async for reply in replies:
                if reply["type"] == "chunk":
                    yield cast(Chunk, reply)

    async def _replies(self, request: dict[str, Any], last: str) -> AsyncGenerator[dict[str, Any], None]:
        """On the lease's own connection, which closes with the last one. Raises WorkerRefusal, WorkerLost."""
        assert self._worker is not None, "exhaust waiting() first"
        reader, writer = self._worker
        try:
            writer.write(protocol.encode(request))
            while True:
                reply = await protocol.read(reader)
                if reply is None:
                    raise WorkerLost("the worker ended in the middle of the answer")
                if reply["type"] == "refused":
                    raise WorkerRefusal(reply["code"], reply["detail"], reply.get("facts", {}))
                yield reply
                if reply["type"] == last:
                    return
        finally:
            await _close(writer)

    async def tokenize(self, text: str) -> list[int]:
        """Raises WorkerRefusal, WorkerLost."""
        found = await self._one_answer({"type": "tokenize", "text": text})
        return list(found["tokens"])

    async def score(self, *, request_id: str, owner: str, tokens: list[int], first: int, path: str) -> int:
        """Has the logits of `tokens` from `first` on appended to the file at `path`; returns how many rows that were.

        See engine.protocol.Score. Raises WorkerRefusal, WorkerLost.
        """
        found = await self._one_answer(
            {"type": "score", "request_id": request_id, "owner": owner, "tokens": tokens, "first": first, "path": path}
        )
        return int(found["n_rows"])

    async def _one_answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The last reply, on a connection of its own: the lease's is for `generate`."""
        assert self.ready is not None, "exhaust waiting() first"
        try:
            reader, writer = await _connect(self.ready["socket"])
        except OSError as error:
            raise WorkerLost(f"the worker is gone: {error}") from None
        try:
            writer.write(protocol.encode(request))
            while True:
                reply = await protocol.read(reader)
                if reply is None:
                    raise WorkerLost("the worker ended before it answered")
                if reply["type"] == "refused":
                    raise WorkerRefusal(reply["code"], reply["detail"], reply.get("facts", {}))
                if reply["type"] in ("tokens", "scored"):
                    return reply
        finally:
            await _close(writer)


def _asked_for(request: HostRequest | TelemetryQuery) -> ResidentId | None:
    match request["type"]:
        case "lease" | "unload":
            return ResidentId(request["variant_id"], request["purpose"])
        case "load" | "preview" | "pin":
            return ResidentId(request["variant_id"])
    return None


class HostClient:
    """Speaks to the host's Unix socket. Holds no connection of its own; safe to share."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path

    async def _open(self, request: HostRequest | TelemetryQuery) -> Streams:
        try:
            reader, writer = await _connect(self._path)
        except UnsafeFolder as error:
            _warn_once(str(error))
            raise HostNotTrusted(str(error)) from None
        except OSError as error:
            raise HostUnavailable(f"no host answers at {self._path}: {error.strerror or error}") from None
        writer.write(protocol.encode(request))
        return reader, writer

    @asynccontextmanager
    async def _request(self, request: HostRequest | TelemetryQuery) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await self._open(request)
        try:
            yield reader
        finally:
            await _close(writer)

    async def _ask(self, request: HostRequest | TelemetryQuery) -> dict[str, Any]:
        async with self._request(request) as reader:
            answer = await protocol.read(reader)
        if answer is None:
            raise HostUnavailable("the host ended before it answered")
        if answer["type"] == "refused":
            raise HostRefusal(read_as(HostRefused, answer)["refusal"], _asked_for(request))
        return answer

    @asynccontextmanager
    async def lease(
        self,
        *,
        variant_id: int,
        user: str,
        kind: LeaseKind = "interactive",
        request_id: str,
        purpose: Purpose = "chat",
    ) -> AsyncIterator[Lease]:
        """Queues for the variant; leaving the block gives the lease back. Raises HostUnavailable."""

        async def ask() -> Streams:
            return await self._open(
                {
                    "type": "lease",
                    "variant_id": variant_id,
                    "user": user,
                    "kind": kind,
                    "request_id": request_id,
                    "purpose": purpose,
                }
            )

        lease = Lease(ResidentId(variant_id, purpose), ask)
        await lease.ask()
        try:
            yield lease
        finally:
            await lease.give_back()

    async def load(self, variant_id: int, anyway: bool = False) -> None:
        """Returns when the variant is resident. Raises HostRefusal, HostUnavailable.

        `anyway`: before everybody who waits, and busy variants drain for it at once; within the budget all the same."""
        await self._ask({"type": "load", "variant_id": variant_id, "anyway": anyway})

    async def preview(self, variant_id: int, anyway: bool = False) -> Preview:
        """What `load` would do now. Changes nothing. Raises HostRefusal, HostUnavailable."""
        answer = await self._ask({"type": "preview", "variant_id": variant_id, "anyway": anyway})
        return read_as(LoadPreviewed, answer)["preview"]

    async def unload(self, variant_id: int, purpose: Purpose = "chat") -> None:
        """Returns when the variant's worker has ended; running answers finish first. Raises HostRefusal, HostUnavailable."""
        await self._ask({"type": "unload", "variant_id": variant_id, "purpose": purpose})

    async def pin(self, variant_id: int, pinned: bool) -> None:
        """A pinned variant is never evicted nor unloaded for idleness. Raises HostRefusal, HostUnavailable."""
        await self._ask({"type": "pin", "variant_id": variant_id, "pinned": pinned})

    async def profile_changed(self) -> None:
        """Has the host read its budgets and reserves again. Raises HostRefusal, HostUnavailable."""
        await self._ask({"type": "profile_changed"})

    async def status(self) -> HostStatus:
        """Raises HostUnavailable."""
        return read_as(HostStatus, await self._ask({"type": "status"}))

    async def watch(self) -> AsyncGenerator[HostStatus, None]:
        """The status now and after every change. Ends when the host ends. Raises HostUnavailable."""
        async with self._request({"type": "watch"}) as reader:
            while (status := await protocol.read(reader)) is not None:
                yield read_as(HostStatus, status)

    async def telemetry(self) -> AsyncGenerator[TelemetryFrame, None]:
        """A Backlog, then a Delta a second. Ends when the host ends. Raises HostUnavailable, HostRefusal."""
        async with self._request({"type": "telemetry"}) as reader:
            while (frame := await protocol.read(reader)) is not None:
                if frame["type"] == "refused":
                    raise HostRefusal(read_as(HostRefused, frame)["refusal"])
                yield read_as(cast(Any, TelemetryFrame), frame)
