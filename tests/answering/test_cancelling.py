"""Closing a request gives slot and lease back at once, wherever it stands."""

from __future__ import annotations

import asyncio

import pytest

from inference.answering.answer import answer
from inference.answering.timed_events import TimedEvents
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from inference.host.api.client import HostClient
from tests.answering.asking import Asking, request
from tests.web.fake_host import FakeHost, queued


async def test_closing_in_the_queue_leaves_it(host: FakeHost) -> None:
    events = answer(HostClient(str(host.path)), request())
    first = asyncio.ensure_future(events.__anext__())
    lease = await host.take("lease")
    await lease.say(queued(2, Reason("slots", (ResidentId(5),))))
    assert (await first)["type"] == "queued"
    await events.aclose()
    await lease.hung_up()


async def test_closing_between_two_tokens_frees_slot_and_lease(host: FakeHost) -> None:
    events = answer(HostClient(str(host.path)), request())
    first = asyncio.ensure_future(events.__anext__())
    lease = await host.take("lease")
    await lease.say(host.ready())
    assert (await first)["type"] == "variant_ready"
    second = asyncio.ensure_future(events.__anext__())
    generation = await host.worker.take("generate")
    await generation.token(1, "Hi")
    assert (await second)["type"] == "token"
    await events.aclose()
    await generation.hung_up()
    await lease.hung_up()


async def test_cancelling_who_waits_for_a_token_frees_slot_and_lease(host: FakeHost) -> None:
    asking = Asking(host, request())
    lease, generation = await host.lease()
    await generation.token(1, "Hi")
    await asking.heard("token")
    await asking.cancel()
    await generation.hung_up()
    await lease.hung_up()


async def test_a_time_out_leaves_the_request_alone(host: FakeHost) -> None:
    events = TimedEvents(answer(HostClient(str(host.path)), request()))
    assert await events.next(0.01) is None
    lease = await host.take("lease")
    await lease.say(host.ready())
    assert (await events.next(10) or {}).get("type") == "variant_ready"
    assert await events.next(0.01) is None
    generation = await host.worker.take("generate")
    await generation.token(1, "Hi")
    assert (await events.next(10) or {}).get("type") == "token"
    await events.aclose()
    await generation.hung_up()
    await lease.hung_up()


async def test_what_the_worker_says_first_is_still_to_be_read(host: FakeHost) -> None:
    events = TimedEvents(answer(HostClient(str(host.path)), request()))
    taken = asyncio.create_task(events.until_taken(10))
    _lease, generation = await host.lease()
    await generation.token(1, "Hi")
    await taken
    event = await events.next(10)
    assert event is not None
    assert event["type"] == "token"
    await events.aclose()
    with pytest.raises(StopAsyncIteration):
        await events.next(10)
