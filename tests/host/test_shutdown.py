"""The host's end: what waits is refused, what runs may finish, nothing is left."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from inference.host.api.client import HostRefusal, HostUnavailable
from tests.host.cast import DEADLINE_SECONDS, Box, ready, say, start_box


async def test_who_waits_is_refused_and_who_runs_may_finish(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, drain_seconds=DEADLINE_SECONDS)
        one = box.add("one", n_seq_max=1)
        async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
            await ready(lease)
            waiting = asyncio.ensure_future(say(box, one, "hello", "bob"))
            await box.until(lambda status: len(status["queue"]) == 1)
            pid = (await box.client.status())["residents"][0]["pid"]
            assert pid is not None
            process = psutil.Process(pid)
            box.host.shutdown()
            with pytest.raises(HostRefusal) as refused:
                await asyncio.wait_for(waiting, DEADLINE_SECONDS)
            assert refused.value.code == "shutting_down"
            with pytest.raises(HostRefusal):
                await say(box, one, "too late", "eve")
            assert (await box.client.status())["residents"][0]["leases"] == 1
    assert not process.is_running()


async def test_an_answer_that_takes_too_long_is_ended(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, drain_seconds=0.2)
        one = box.add("one")
        async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
            await ready(lease)
            pid = (await box.client.status())["residents"][0]["pid"]
            assert pid is not None
            process = psutil.Process(pid)
            box.host.shutdown()
            await asyncio.get_running_loop().run_in_executor(None, process.wait, DEADLINE_SECONDS)


async def test_a_closed_host_is_unavailable(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box: Box = await start_box(stack, folder)
        client = box.client
    with pytest.raises(HostUnavailable):
        await client.status()
