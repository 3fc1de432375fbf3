"""What loading would do, asked over the host's socket and read as a person reads it."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from inference.core.loads.devices import RAM
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.decisions import Drained
from inference.core.scheduling.memory.ledger import Pool
from inference.host.api.client import HostRefusal
from inference.wording import previews
from tests.host.cast import DEADLINE_SECONDS, Box, ready, say

GIB = 1 << 30
CARD = "GeForce RTX 3060"


def pools(foreign_bytes: int = 0) -> tuple[Pool, ...]:
    """64 GiB of RAM, of which models may have 16, and a card of 12 GiB, of which they may have 11."""
    return (
        Pool(RAM, "RAM", 64 * GIB, 16 * GIB),
        Pool("gpu0", CARD, 12 * GIB, 11 * GIB, GIB // 2, foreign_bytes),
    )


def shelve(box: Box, name: str, gib: int, lesser_score: float | None = None, **script: str) -> int:
    """A model that takes `gib` of the card and one of the RAM; with a `lesser_worth`, half the layers may go to RAM."""
    variant_id = box.add(name, GIB, **script)
    facts = box.inventory.rows[variant_id]
    best = replace(facts.options, n_gpu_layers=33)
    ways = [LoadWay(best, {"gpu0": gib * GIB, RAM: GIB}, score=10.0)]
    if lesser_score is not None:
        halves = {"gpu0": gib * GIB // 2, RAM: gib * GIB // 2 + GIB}
        ways.append(LoadWay(replace(best, n_gpu_layers=16), halves, score=lesser_score))
    box.inventory.rows[variant_id] = replace(facts, load_ways=tuple(ways))
    return variant_id


async def use(box: Box, variant_id: int) -> None:
    """One answer, and nothing runs any more."""
    await say(box, variant_id, "hello")
    await box.until(lambda status: not any(each["leases"] for each in status["residents"]))


async def sentence(box: Box, variant_id: int, anyway: bool = False) -> tuple[str, bool, str]:
    """The outcome, whether it is degraded, and the sentence; durations that a clock decides stand as N s."""
    found = await box.client.preview(variant_id, anyway)
    words = re.sub(r"used just now|idle for [^,]+(?=,)", "idle", previews.sentence(found, box.name))
    return found.outcome, found.is_degraded, re.sub(r"about [\d.]+ (s|min)\b", "about N s", words)


async def test_what_fits_is_said_with_its_bytes(box: Box) -> None:
    box.host.set_pools(pools())
    qwen = shelve(box, "qwen", 7)
    assert await sentence(box, qwen) == (
        "fits",
        False,
        "qwen fits: it takes 7 GiB on GeForce RTX 3060 and 1 GiB in RAM and loads in about N s.",
    )
    assert (await box.client.status())["residents"] == [], "a preview loads nothing"


async def test_what_is_there_or_under_way_is_said_to_be(box: Box) -> None:
    box.host.set_pools(pools())
    gate = box.folder / "gate"
    os.mkfifo(gate)
    qwen = shelve(box, "qwen", 7, gate=str(gate))
    loading = asyncio.ensure_future(box.client.load(qwen))
    await box.until(lambda status: [each["state"] for each in status["residents"]] == ["loading"])
    held = "7 GiB on GeForce RTX 3060 and 1 GiB in RAM"
    assert await sentence(box, qwen) == ("loading", False, f"qwen is loading already with {held}.")
    await asyncio.to_thread(lambda: gate.open("w").close())
    await asyncio.wait_for(loading, DEADLINE_SECONDS)
    assert await sentence(box, qwen) == ("resident", False, f"qwen is loaded already with {held}.")


async def test_who_would_leave_is_named_with_what_that_costs(box: Box) -> None:
    box.host.set_pools(pools())
    llama, qwen = shelve(box, "llama", 6), shelve(box, "qwen", 7)
    await use(box, llama)
    assert await sentence(box, qwen) == (
        "evicts",
        False,
        "qwen takes 7 GiB on GeForce RTX 3060 and 1 GiB in RAM and loads in about N s, "
        "after llama (idle, reload about N s) has left.",
    )


async def test_a_lesser_way_is_said_to_be_one_and_why(box: Box) -> None:
    box.host.set_pools(pools())
    llama, qwen, large = (
        shelve(box, "llama", 6),
        shelve(box, "qwen", 8, lesser_score=9.0),
        shelve(box, "large", 20, 5.0),
    )
    assert await sentence(box, large) == (
        "fits",
        True,
        "large fits: it takes 10.0 GiB on GeForce RTX 3060 and 11.0 GiB in RAM and loads in about N s. "
        "It gets 16 layers on the GPU instead of 33, because there is no room for more.",
    )
    await use(box, llama)
    assert await sentence(box, qwen) == (
        "fits",
        True,
        "qwen fits: it takes 4 GiB on GeForce RTX 3060 and 5 GiB in RAM and loads in about N s. "
        "It gets 16 layers on the GPU instead of 33, so that nobody has to leave.",
    )


async def test_who_must_finish_first_is_named_and_that_it_can_be_loaded_anyway(box: Box) -> None:
    box.host.set_pools(pools())
    llama, qwen = shelve(box, "llama", 6), shelve(box, "qwen", 7)
    waits = (
        "qwen waits for llama (busy with 1 answer) to finish; "
        "then it takes 7 GiB on GeForce RTX 3060 and 1 GiB in RAM and loads in about N s."
    )
    async with box.client.lease(variant_id=llama, user="ann", request_id="r") as lease:
        await ready(lease)
        sooner = " Loaded anyway, it waits only for the answer that runs now."
        assert await sentence(box, qwen) == ("waits", False, waits + sooner)
        assert await sentence(box, qwen, anyway=True) == ("waits", False, waits)


async def test_loaded_anyway_it_goes_first_and_cuts_no_answer(box: Box) -> None:
    box.host.set_pools(pools())
    llama, qwen = shelve(box, "llama", 6), shelve(box, "qwen", 7)
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(box.client.lease(variant_id=llama, user="ann", request_id="r1"))
        await ready(running)
        load = asyncio.ensure_future(box.client.load(qwen, anyway=True))
        await box.until(lambda status: [each["state"] for each in status["residents"]] == ["draining"])
        late = await stack.enter_async_context(box.client.lease(variant_id=llama, user="bob", request_id="r2"))
        await box.until(lambda status: [each["user"] for each in status["queue"] if each["user"]] == ["bob"])
        await running.give_back()
        await asyncio.wait_for(load, DEADLINE_SECONDS)
        assert late.ready is None, "who came after the load waits"
    (drain,) = [each["decision"] for each in box.host.decisions() if isinstance(each["decision"], Drained)]
    assert (drain.resident_id, drain.for_resident, drain.answers) == (ResidentId(llama), ResidentId(qwen), 1)


async def test_what_can_never_fit_is_said_with_the_remedy(box: Box) -> None:
    box.host.set_pools(pools())
    huge, qwen, llama = shelve(box, "huge", 14), shelve(box, "qwen", 7), shelve(box, "llama", 6)
    assert await sentence(box, huge) == (
        "cannot",
        False,
        "huge needs at least 14.0 GiB on GeForce RTX 3060, more than the whole budget of 11.0 GiB there. Give it less "
        "context or fewer slots, pick a smaller quantization, or raise the budget of GeForce RTX 3060 on the Hardware page.",
    )
    await box.client.load(llama)
    await box.client.pin(llama, True)
    told = (
        "qwen needs at least 7 GiB on GeForce RTX 3060, but of the budget of 11.0 GiB there llama keeps 6 GiB pinned. "
        "Unpin it, or give qwen less context."
    )
    assert await sentence(box, qwen) == ("cannot", False, told)
    with pytest.raises(HostRefusal) as refused:
        await box.client.load(qwen, anyway=True)
    assert box.words(refused.value) == told, "within the budget, and never a pinned one's place"


async def test_what_other_programs_keep_out_is_said_with_how_much_they_must_give_back(box: Box) -> None:
    box.host.set_pools(pools(foreign_bytes=7 * GIB))
    qwen = shelve(box, "qwen", 7)
    outcome, _, words = await sentence(box, qwen)
    assert outcome == "waits"
    assert words == (
        "qwen would have to wait. Other programs use too much memory on GeForce RTX 3060; "
        "it loads when they give back about 2.50 GiB."
    )
