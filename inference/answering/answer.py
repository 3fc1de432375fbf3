"""The one way to an answer: a lease, the prompt, and what the worker says, as one stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from inference.answering import usage
from inference.answering.events import AnswerEvent
from inference.answering.patience import Absence, HostPresence, UnknownPresence
from inference.answering.refusals import (
    HostStayedAway,
    NoChatTemplate,
    Refusal,
    RefusedByHost,
    RefusedByWorker,
    WorkerGone,
)
from inference.answering.request import AnswerRequest, Messages, Prompt
from inference.host.api.client import HostClient, HostRefusal, HostUnavailable, Lease, WorkerLost, WorkerRefusal


async def answer(
    client: HostClient, request: AnswerRequest, presence: HostPresence | None = None
) -> AsyncGenerator[AnswerEvent, None]:
    """Everything that happens to one request, from the queue to `done`, its last event. Raises Refusal.

    Closing it, or cancelling who waits for its next event, gives slot and lease back at once. Its usage is recorded when it
    is over, whichever way; what was closed before its first event was asked for has used nothing.
    """
    meter = usage.Meter(request)
    try:
        async with aclosing(_events(client, request, presence or UnknownPresence())) as events:
            async for event in events:
                meter.count(event)
                yield event
    except Refusal as refusal:
        meter.finish = refusal.finish
        raise
    except Exception:
        meter.finish = "failed"
        raise
    finally:
        usage.record(meter.usage())


async def _events(
    client: HostClient, request: AnswerRequest, presence: HostPresence
) -> AsyncGenerator[AnswerEvent, None]:
    """Nothing is asked again once a prompt was sent to a worker: a prompt that killed one may kill the next."""
    loop = asyncio.get_running_loop()
    absence = Absence(request.patience)
    while True:
        seen = presence.connections
        try:
            async with (
                client.lease(
                    variant_id=request.variant_id,
                    user=request.requester.owner,
                    kind=request.kind,
                    request_id=request.request_id,
                ) as lease,
                aclosing(_on_lease(lease, request)) as events,
            ):
                async for event in events:
                    absence.end()
                    yield event
            return
        except HostUnavailable as error:
            left_seconds = absence.left_seconds(loop.time())
            if not left_seconds:
                raise HostStayedAway(request.patience.host_away_seconds) from error
        except HostRefusal as error:
            raise RefusedByHost(error) from error
        except WorkerRefusal as error:
            raise RefusedByWorker(error) from error
        except WorkerLost as error:
            raise WorkerGone(str(error)) from error
        yield {"type": "host_absent"}
        await presence.next_connection(seen, min(left_seconds, request.patience.retry_seconds))


async def _on_lease(lease: Lease, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
    async with aclosing(lease.waiting()) as waits:
        async for wait in waits:
            yield wait
    assert lease.ready is not None
    prompt = request.prompt if isinstance(request.prompt, Prompt) else await request.prompt(lease.ready["mode"])
    messages, text = (prompt.messages, None) if isinstance(prompt, Messages) else (None, prompt.text)
    if messages is not None and lease.ready["mode"] != "chat":
        raise NoChatTemplate(request.variant_id)
    yield {"type": "variant_ready"}
    generated = lease.generate(
        request_id=request.request_id,
        owner=request.requester.owner,
        options=prompt.options,
        messages=messages,
        prompt=text,
    )
    async with aclosing(generated) as events:
        async for event in events:
            yield event
