"""A lease for an importance matrix: of a worker of its own, under the same budget, that goes with the lease."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from inference.core.loads.devices import RAM
from inference.core.loads.purposes import PURPOSES
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.decisions import Failed, Unloaded
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.reasons import InQueue
from inference.engine import protocol
from inference.host.api.client import HostRefusal, Lease, WorkerLost
from inference.host.api.messages import HostStatus
from tests.host.cast import DEADLINE_SECONDS, Box, ready, say


async def read(lease: Lease, text: str, path: Path) -> list[int]:
    chunks = lease.imatrix(request_id="r", text=text, dataset="d", most_chunks=2, path=str(path))
    async with aclosing(chunks):
        return [chunk["done"] async for chunk in chunks]


def states(status: HostStatus) -> dict[str, str]:
    return {each["name"]: each["state"] for each in status["residents"]}


async def test_a_variant_is_read_with_beside_its_chats_and_leaves_with_the_lease(box: Box) -> None:
    one = box.add("one")
    assert await say(box, one, "hello") == "hello"
    made = box.folder / "made"
    async with box.client.lease(variant_id=one, user="job", kind="batch", request_id="r", purpose="imatrix") as lease:
        await ready(lease)
        assert lease.ready is not None
        assert lease.ready["n_ctx_seq"] == 512
        status = await box.client.status()
        assert states(status) == {"one": "resident", "one (importance matrix)": "resident"}
        assert [(each["variant_id"], each["purpose"]) for each in status["residents"]] == [
            (one, "chat"),
            (one, "imatrix"),
        ]
        assert await read(lease, "some words", made) == [1, 2]
        assert await say(box, one, "still there") == "still there"
    status = await box.until(lambda status: len(status["residents"]) == 1)
    assert states(status) == {"one": "resident"}
    assert made.read_text() == "imatrix"
    assert [load.variant_id for load in box.inventory.loads] == [one], "its bytes are not the variant's usual ones"
    assert Unloaded(ResidentId(one, "imatrix"), "unwanted") in [each["decision"] for each in box.host.decisions()]


async def test_it_sends_idle_variants_away_and_waits_for_busy_ones(box: Box) -> None:
    big, other = box.add("big", 600), box.add("other", 600)
    async with box.client.lease(variant_id=big, user="ann", request_id="r1") as running:
        await ready(running)
        async with box.client.lease(
            variant_id=other, user="job", kind="batch", request_id="r2", purpose="imatrix"
        ) as it:
            waiting = asyncio.ensure_future(ready(it))
            status = await box.until(lambda status: len(status["queue"]) == 1)
            (queued,) = status["queue"]
            assert (queued["variant"], queued["kind"]) == ("other (importance matrix)", "batch")
            assert isinstance(queued["wait"], InQueue)
            assert queued["wait"].reason.variants == (ResidentId(big),)
            await running.give_back()
            await asyncio.wait_for(waiting, DEADLINE_SECONDS)
            assert states(await box.client.status()) == {"other (importance matrix)": "resident"}


async def test_who_asks_for_the_next_part_before_giving_back_the_last_keeps_the_worker(box: Box) -> None:
    one = box.add("one")
    asking = {"variant_id": one, "user": "job", "request_id": "r", "purpose": "imatrix"}
    async with box.client.lease(**asking) as following:  # type: ignore[arg-type]
        await ready(following)
        (before,) = (await box.client.status())["residents"]
        async with box.client.lease(**asking) as last:  # type: ignore[arg-type]
            waiting = last.waiting()
            assert (await anext(waiting))["type"] == "queued"
            await following.give_back()
            assert [event async for event in waiting] == []
            (after,) = (await box.client.status())["residents"]
            assert after["pid"] == before["pid"]


async def test_somebody_who_needs_the_room_comes_between_two_parts(box: Box) -> None:
    read_with, talked_to = box.add("reads", 600), box.add("talks", 600)
    asking = {"variant_id": read_with, "user": "job", "kind": "batch", "request_id": "r", "purpose": "imatrix"}
    async with box.client.lease(**asking) as first, box.client.lease(**asking) as second:  # type: ignore[arg-type]
        await ready(first)
        following = asyncio.ensure_future(ready(second))
        answer = asyncio.ensure_future(say(box, talked_to, "hello"))
        await box.until(lambda status: states(status) == {"reads (importance matrix)": "draining"})
        await first.give_back()
        assert await asyncio.wait_for(answer, DEADLINE_SECONDS) == "hello"
        await asyncio.wait_for(following, DEADLINE_SECONDS)


async def test_it_is_refused_where_it_can_never_fit(box: Box) -> None:
    huge = box.add("huge", 5000)
    with pytest.raises(HostRefusal) as refused:
        async with box.client.lease(variant_id=huge, user="job", request_id="r", purpose="imatrix") as lease:
            await ready(lease)
    assert refused.value.code == "does_not_fit"
    assert box.words(refused.value).startswith("huge (importance matrix)")


async def test_a_cancelled_reader_leaves_and_its_worker_with_it(box: Box) -> None:
    one = box.add("one")
    async with box.client.lease(variant_id=one, user="job", request_id="r", purpose="imatrix") as lease:
        await ready(lease)
        chunks = lease.imatrix(request_id="r", text="hold", dataset="d", most_chunks=2, path=str(box.folder / "made"))
        async with aclosing(chunks):
            assert (await anext(chunks))["done"] == 1
    await box.until(lambda status: not status["residents"])


async def test_a_reader_that_crashes_is_told_and_forgotten(box: Box) -> None:
    one = box.add("one")
    async with box.client.lease(variant_id=one, user="job", request_id="r", purpose="imatrix") as lease:
        await ready(lease)
        with pytest.raises(WorkerLost):
            await read(lease, "segv", box.folder / "made")
        # Whoever leaves at once may be sooner than the news of the crash.
        await box.until(lambda status: not status["residents"])
    assert isinstance(box.host.decisions()[-1]["decision"], Failed)


async def test_a_load_that_nobody_waits_for_any_more_ends(box: Box) -> None:
    one = box.add("one", load="stall")
    async with box.client.lease(variant_id=one, user="job", request_id="r", purpose="imatrix") as lease:
        await box.until(lambda status: states(status) == {"one (importance matrix)": "loading"})
        del lease
    await box.until(lambda status: not status["residents"])


@pytest.mark.parametrize("number", [0, -1, 1 << 40, (1 << 63) - 1])
async def test_a_number_that_is_no_rows_names_no_variant(box: Box, number: int) -> None:
    box.add("one")
    client = box.client
    for asked in (client.load(number), client.pin(number, True), client.preview(number), client.unload(number)):
        with pytest.raises(HostRefusal) as refused:
            await asked
        assert refused.value.code == "unknown_variant"
    for purpose in PURPOSES:
        with pytest.raises(HostRefusal):
            async with client.lease(variant_id=number, user="job", request_id="r", purpose=purpose) as lease:
                await ready(lease)


async def test_an_owner_may_unload_it_when_the_reading_is_over(box: Box) -> None:
    one = box.add("one")
    async with box.client.lease(variant_id=one, user="job", request_id="r", purpose="imatrix") as lease:
        await ready(lease)
        unloading = asyncio.ensure_future(box.client.unload(one, "imatrix"))
        await box.until(lambda status: states(status) == {"one (importance matrix)": "draining"})
    await asyncio.wait_for(unloading, DEADLINE_SECONDS)


async def test_each_of_a_variants_workers_is_unloaded_by_itself(box: Box) -> None:
    one = box.add("one")
    assert await say(box, one, "hello") == "hello"
    async with box.client.lease(variant_id=one, user="job", request_id="r", purpose="imatrix") as lease:
        await ready(lease)
        reader, writer = await asyncio.open_unix_connection(box.socket)
        writer.write(protocol.encode({"type": "unload", "variant_id": one}))
        assert await protocol.read(reader) == {"type": "completed"}
        assert states(await box.client.status()) == {"one (importance matrix)": "resident"}, (
            "unsaid, it is of the chats"
        )
        writer.close()
        await writer.wait_closed()


async def test_a_lease_without_a_purpose_is_for_a_chat(box: Box) -> None:
    one = box.add("one")
    reader, writer = await asyncio.open_unix_connection(box.socket)
    lease = {"type": "lease", "variant_id": one, "user": "ann", "kind": "interactive", "request_id": "r"}
    writer.write(protocol.encode(lease))
    while (event := await protocol.read(reader)) is not None and event["type"] != "ready":
        pass
    assert states(await box.client.status()) == {"one": "resident"}
    writer.close()
    await writer.wait_closed()


async def test_its_bytes_count_in_the_budget(box: Box) -> None:
    box.host.set_pools([Pool(RAM, "RAM", 2000, 1000)])
    one = box.add("one", 400)
    async with box.client.lease(variant_id=one, user="job", request_id="r", purpose="imatrix") as lease:
        await ready(lease)
        assert (await box.client.status())["reserved_bytes"] == 400
