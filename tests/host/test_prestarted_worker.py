"""The process that waits for the next load."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

import psutil
import pytest
import pytest_asyncio

from inference.host.workers.prestarted_worker import PrestartedWorker, Process
from tests.host.cast import DEADLINE_SECONDS, FAKE_WORKER, Box, say, start_box


class Doorbell:
    """A program that tells its process id, and by the end of the file its end."""

    def __init__(self, fifo: Path) -> None:
        os.mkfifo(fifo)
        self.argv = ("sh", "-c", f"exec 3>{fifo}; echo $$ >&3; exec cat")
        self._fifo = fifo

    async def opened(self) -> TextIO:
        """When one has started."""
        return await asyncio.wait_for(asyncio.to_thread(self._fifo.open), DEADLINE_SECONDS)


@pytest.fixture
def doorbell(tmp_path: Path) -> Doorbell:
    return Doorbell(tmp_path / "door")


async def test_the_one_that_waits_is_taken(doorbell: Doorbell) -> None:
    prestarted = PrestartedWorker(doorbell.argv, after_seconds=0.0)
    prestarted.prepare_soon()
    with await doorbell.opened() as told:
        process = await prestarted.take()
        assert process.transport.get_pid() == int(told.readline())
        await _end(process)


async def test_where_none_waits_one_is_started(doorbell: Doorbell) -> None:
    prestarted = PrestartedWorker(doorbell.argv, after_seconds=0.0)
    prestarted.prepare_soon()
    prestarted.put_off()
    opened = asyncio.ensure_future(doorbell.opened())
    process = await prestarted.take()
    with await opened as told:
        assert process.transport.get_pid() == int(told.readline())
        await _end(process)


async def test_one_that_is_not_needed_ends(doorbell: Doorbell) -> None:
    prestarted = PrestartedWorker(doorbell.argv, after_seconds=0.0)
    prestarted.prepare_soon()
    with await doorbell.opened() as told:
        await prestarted.dismiss()
        await asyncio.wait_for(asyncio.to_thread(told.read), DEADLINE_SECONDS)


# in a host ----------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def prepared(folder: Path) -> AsyncIterator[tuple[Box, int, int]]:
    """A host with room for one of two variants, the first resident; the second; the process that waits."""
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, prestart_after_seconds=0.0)
        first, second = box.add("first", 600), box.add("second", 600)
        await say(box, first, "hello")
        (prestarted,) = await _processes(2) - {await _pid(box, first)}
        yield box, second, prestarted


async def test_a_swap_loads_in_the_process_that_waited(prepared: tuple[Box, int, int]) -> None:
    box, second, prestarted = prepared
    assert await say(box, second, "hello") == "hello"
    assert await _pid(box, second) == prestarted


async def test_a_killed_one_costs_nobody_an_answer(prepared: tuple[Box, int, int]) -> None:
    box, second, prestarted = prepared
    os.kill(prestarted, signal.SIGKILL)
    assert await say(box, second, "hello") == "hello"


async def test_with_the_last_variant_the_one_that_waits_goes_too(prepared: tuple[Box, int, int]) -> None:
    box, _, _ = prepared
    await box.client.unload(1)
    assert await _processes(0) == set()


async def _end(process: Process) -> None:
    process.transport.close()
    await asyncio.wait_for(process.pipes.exited, DEADLINE_SECONDS)


async def _pid(box: Box, variant_id: int) -> int:
    resident = await box.resident(variant_id)
    assert resident is not None
    assert resident["pid"] is not None
    return resident["pid"]


async def _processes(count: int) -> set[int]:
    """Of the fake workers, as soon as there are so many."""

    async def look() -> set[int]:
        while True:
            workers = {child.pid for child in psutil.Process().children() if _is_fake_worker(child)}
            if len(workers) == count:
                return workers
            await asyncio.sleep(0)

    return await asyncio.wait_for(look(), DEADLINE_SECONDS)


def _is_fake_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[1:] == list(FAKE_WORKER[1:])
    except psutil.Error:
        return False
