"""A lease is an open connection: granted when the variant is resident, returned when it closes."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from inference.core.loads.devices import RAM
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from inference.core.scheduling.refusals import DoesNotFit
from inference.host.api.client import HostRefusal
from inference.host.api.messages import LeaseEvent
from tests.host.cast import DEADLINE_SECONDS, Box, ready, say, start_box


def position(event: LeaseEvent) -> int:
    assert event["type"] == "queued"
    return event["position"]


async def test_a_first_request_loads_the_variant_and_streams_an_answer(box: Box) -> None:
    one = box.add("one")
    async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
        told = await ready(lease)
        assert {event["type"] for event in told} == {"loading"}
        assert lease.ready is not None
        assert lease.ready["mode"] == "chat"
        assert lease.ready["n_ctx_seq"] == 64
    assert await say(box, one, "hello big world") == "hello big world"


async def test_concurrent_first_requests_share_one_worker(box: Box) -> None:
    one = box.add("one", n_seq_max=4)
    answers = await asyncio.gather(*(say(box, one, f"answer {n}", f"user{n}") for n in range(12)))
    assert answers == [f"answer {n}" for n in range(12)]
    assert len([child for child in psutil.Process().children() if "fake_worker" in " ".join(child.cmdline())]) == 1


async def test_who_waits_learns_position_and_reason_and_each_change(box: Box) -> None:
    one = box.add("one", n_seq_max=1)
    async with AsyncExitStack() as stack:
        running = AsyncExitStack()
        first = await running.enter_async_context(box.client.lease(variant_id=one, user="ann", request_id="r1"))
        await ready(first)
        second = await stack.enter_async_context(box.client.lease(variant_id=one, user="bob", request_id="r2"))
        await box.until(lambda status: len(status["queue"]) == 1)
        third = await stack.enter_async_context(box.client.lease(variant_id=one, user="eve", request_id="r3"))
        status = await box.until(lambda status: len(status["queue"]) == 2)
        assert [(each["user"], each["position"]) for each in status["queue"]] == [("bob", 1), ("eve", 2)]
        assert box.waits(status) == [
            "All slots of one are busy. You are next.",
            "All slots of one are busy. 1 goes first.",
        ]
        events = third.waiting()
        assert position(await events.__anext__()) == 2
        await running.aclose()
        assert await ready(second) == [{"type": "queued", "position": 1, "reason": Reason("slots", (ResidentId(one),))}]
        assert position(await events.__anext__()) == 1
        await events.aclose()


async def test_closing_the_connection_returns_the_lease_or_leaves_the_queue(box: Box) -> None:
    one = box.add("one", n_seq_max=1)
    async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
        await ready(lease)
        async with box.client.lease(variant_id=one, user="bob", request_id="r2"):
            await box.until(lambda status: len(status["queue"]) == 1)
        await box.until(lambda status: not status["queue"])
    status = await box.until(lambda status: status["residents"][0]["leases"] == 0)
    assert status["residents"][0]["idle_seconds"] is not None


async def test_idle_ones_leave_for_the_next_and_the_wait_says_so(box: Box) -> None:
    one, two = box.add("one", 600), box.add("two", 600)
    await say(box, one, "hello")
    async with box.client.lease(variant_id=two, user="ann", request_id="r") as lease:
        told = await ready(lease)
    assert told[0] == {"type": "evicting", "variants": [ResidentId(one)]}
    assert told[1]["type"] == "loading"
    assert await box.resident(one) is None


async def test_a_running_answer_is_not_cut_by_a_swap(box: Box) -> None:
    one, two = box.add("one", 600), box.add("two", 600)
    async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
        await ready(lease)
        swap = asyncio.ensure_future(say(box, two, "hello", "bob"))
        status = await box.until(lambda status: len(status["queue"]) == 1)
        assert box.waits(status) == ["Waiting for one to finish its running answer and make room. You are next."]
        assert not swap.done()
    assert await asyncio.wait_for(swap, DEADLINE_SECONDS) == "hello"


async def test_a_busy_variant_drains_once_somebody_waited_too_long(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, max_wait_seconds=0.2)
        one, two = box.add("one", 600, n_seq_max=2), box.add("two", 600)
        async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
            await ready(lease)
            other = asyncio.ensure_future(say(box, two, "two", "bob"))
            await box.until(lambda status: status["residents"][0]["state"] == "draining")
            late = asyncio.ensure_future(say(box, one, "one", "ann"))
            await box.until(lambda status: len(status["queue"]) == 2)
        assert await asyncio.wait_for(other, DEADLINE_SECONDS) == "two"
        assert await asyncio.wait_for(late, DEADLINE_SECONDS) == "one"


async def test_what_does_not_fit_is_refused_with_both_numbers_and_a_remedy(box: Box) -> None:
    one = box.add("one", 5 * 1024**3)
    with pytest.raises(HostRefusal) as refused:
        await say(box, one, "hello")
    assert refused.value.code == "does_not_fit"
    assert refused.value.facts == DoesNotFit(RAM, 5 * 1024**3, 1000, device_name="RAM")
    assert "5 GiB" in box.words(refused.value)
    assert "HOSTUI_BUDGET" in box.words(refused.value)


async def test_an_idle_variant_is_unloaded_and_its_process_gone(box: Box) -> None:
    one = box.add("one", keep_alive_seconds=0.2)
    await say(box, one, "hello")
    resident = await box.resident(one)
    assert resident is not None
    assert resident["pid"] is not None
    process = psutil.Process(resident["pid"])
    await box.until(lambda status: not status["residents"])
    assert not process.is_running()
    assert list(box.folder.glob("worker-*.sock")) == []


async def test_a_pin_is_stored_and_keeps_a_variant(box: Box) -> None:
    one, two = box.add("one", 600, keep_alive_seconds=0.1), box.add("two", 600)
    await box.client.load(one)
    await box.client.pin(one, True)
    assert box.inventory.rows[one].pinned
    with pytest.raises(HostRefusal) as refused:
        await box.client.load(two)
    assert re.search(r"one keeps .* pinned", box.words(refused.value))
    resident = await box.resident(one)
    assert resident is not None
    assert (resident["pinned"], resident["keep_alive_seconds"]) == (True, None)
    await box.client.pin(one, False)
    await box.until(lambda status: not status["residents"])


async def test_load_and_unload_return_when_it_is_done(box: Box) -> None:
    one = box.add("one")
    await box.client.load(one)
    resident = await box.resident(one)
    assert resident is not None
    assert resident["state"] == "resident"
    assert resident["reserved_bytes"] == 100
    assert resident["rss_bytes"] is not None
    assert resident["pid"] is not None
    process = psutil.Process(resident["pid"])
    await box.client.unload(one)
    assert await box.resident(one) is None
    assert not process.is_running()


async def test_unload_lets_the_running_answer_finish(box: Box) -> None:
    one = box.add("one")
    async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
        await ready(lease)
        unloading = asyncio.ensure_future(box.client.unload(one))
        await box.until(lambda status: status["residents"][0]["state"] == "draining")
    await asyncio.wait_for(unloading, DEADLINE_SECONDS)


async def test_unknown_and_disabled_variants_are_refused(box: Box) -> None:
    one = box.add("one")
    box.inventory.disabled.add(one)
    for variant_id, code in ((one, "disabled"), (99, "unknown_variant")):
        for ask in (box.client.load(variant_id), say(box, variant_id, "hello")):
            with pytest.raises(HostRefusal) as refused:
                await ask
            assert refused.value.code == code


async def test_a_change_takes_effect_behind_the_next_lease(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, reread_seconds=0.0)
        one = box.add("one")
        await say(box, one, "hello")
        box.inventory.disabled.add(one)
        assert await say(box, one, "by the facts last read") == "by the facts last read"
        with pytest.raises(HostRefusal) as refused:
            await say(box, one, "hello")
        assert refused.value.code == "disabled"


async def test_many_leases_do_not_mean_many_reads(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, reread_seconds=3600.0)
        one = box.add("one")
        await box.client.load(one)
        for _ in range(20):
            await say(box, one, "hello")
        assert box.inventory.reads == 1


async def test_other_options_reload_the_variant(box: Box) -> None:
    one = box.add("one", n_seq_max=1)
    await say(box, one, "hello")
    facts = box.inventory.rows[one]
    box.inventory.rows[one] = replace(facts, options=replace(facts.options, n_seq_max=3))
    await box.client.load(one)
    resident = await box.resident(one)
    assert resident is not None
    assert resident["n_seq_max"] == 3


async def test_a_resident_variant_answers_while_the_database_is_down(box: Box) -> None:
    one, two = box.add("one"), box.add("two")
    await say(box, one, "hello")
    box.inventory.is_down = True
    assert await say(box, one, "hello") == "hello"
    with pytest.raises(HostRefusal) as refused:
        await say(box, two, "hello")
    assert refused.value.code == "storage"
    assert "database is locked" in box.words(refused.value)


async def test_use_is_noted_once_a_minute_at_most(box: Box) -> None:
    one = box.add("one")
    for _ in range(5):
        await say(box, one, "hello")
    assert box.inventory.uses == [one]


async def test_sockets_are_for_their_owner_alone(box: Box) -> None:
    await box.client.load(box.add("one"))
    sockets = [box.socket, *map(str, box.folder.glob("worker-*.sock"))]
    assert len(sockets) == 2
    for path in sockets:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(box.folder.stat().st_mode) == 0o700
