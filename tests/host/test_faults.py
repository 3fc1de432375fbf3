"""Workers that fail: a typed reason, the bytes back, the next request served."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.monitoring.liveness import Limits
from inference.core.scheduling.refusals import FailedToLoad
from inference.host.api.client import HostRefusal, WorkerLost
from inference.wording import refusals
from tests.host.cast import DEADLINE_SECONDS, Box, ready, say, start_box


async def refusal_of(box: Box, variant_id: int) -> FailedToLoad:
    with pytest.raises(HostRefusal) as refused:
        await asyncio.wait_for(say(box, variant_id, "hello"), DEADLINE_SECONDS)
    assert isinstance(refused.value.facts, FailedToLoad)
    return refused.value.facts


async def test_a_bad_file_is_refused_with_the_workers_own_sentence(box: Box) -> None:
    one = box.add("one", load="refuse")
    refusal = await refusal_of(box, one)
    assert refusal == FailedToLoad("bad_file", "The file ends before its tensors do.", 1, is_final=False)
    assert (
        refusals.sentence(refusal, ResidentId(one), box.name)
        == "one could not be loaded. The file ends before its tensors do."
    )
    resident = await box.resident(one)
    assert resident is not None
    assert (resident["state"], resident["failure"], resident["reserved_bytes"]) == ("failed", "bad_file", 0)


async def test_a_mended_file_loads(box: Box) -> None:
    one = box.add("one", load="refuse")
    for _ in range(4):
        refusal = await refusal_of(box, one)
    assert refusal.failures_in_a_row == 3
    assert "Load it by hand" in refusals.sentence(refusal, ResidentId(one), box.name)
    box.rewrite(one)
    assert await say(box, one, "hello") == "hello"


async def test_a_crash_at_load_is_tried_three_times(box: Box) -> None:
    one = box.add("one", load="segv")
    refusal = await refusal_of(box, one)
    assert refusal.reason == "crashed"
    assert refusal.failures_in_a_row == 3
    assert "SIGSEGV" in refusal.detail
    assert "invalid memory access" in refusal.detail
    assert (box.folder / "logs" / f"worker-{one}.log").read_text().count("invalid memory access") == 3


async def test_loading_by_hand_tries_again(box: Box) -> None:
    one = box.add("one", load="exit")
    refusal = await refusal_of(box, one)
    assert "exit status 7" in refusal.detail
    box.rewrite(one, fingerprint="")
    assert (await refusal_of(box, one)).is_final
    await box.client.load(one)
    assert await say(box, one, "hello") == "hello"


async def test_a_crash_in_the_middle_of_an_answer_reaches_the_caller_and_the_queue_is_served(box: Box) -> None:
    one = box.add("one", n_seq_max=1)
    async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
        await ready(lease)
        waiting = asyncio.ensure_future(say(box, one, "served all the same", "bob"))
        await box.until(lambda status: len(status["queue"]) == 1)
        answer = lease.generate(request_id="r1", owner="ann", options=GenerationOptions(), prompt="segv")
        first = await answer.__anext__()
        assert first["type"] == "token"
        assert first["text"] == "segv"
        with pytest.raises(WorkerLost):
            await answer.__anext__()
        assert await asyncio.wait_for(waiting, DEADLINE_SECONDS) == "served all the same"


async def test_an_answer_that_kills_every_worker_is_stopped_after_three(box: Box) -> None:
    one = box.add("one")
    for _ in range(3):
        with pytest.raises(WorkerLost):
            await say(box, one, "segv")
        await box.until(lambda status: status["residents"][0]["state"] == "failed")
    assert (await refusal_of(box, one)).is_final


async def test_kill_9_of_a_worker_is_seen_as_such_and_the_next_request_starts_another(box: Box) -> None:
    one = box.add("one")
    await say(box, one, "hello")
    resident = await box.resident(one)
    assert resident is not None
    assert resident["pid"] is not None
    os.kill(resident["pid"], signal.SIGKILL)
    status = await box.until(lambda status: status["residents"][0]["state"] == "failed")
    assert status["residents"][0]["failure"] == "killed"
    assert status["reserved_bytes"] == 0
    assert await say(box, one, "hello") == "hello"


async def test_a_load_that_stands_still_times_out(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, limits=Limits(load_seconds=0.5))
        refusal = await refusal_of(box, box.add("one", load="stall"))
        assert refusal.reason == "timed_out"
        assert refusal.failures_in_a_row == 1


async def test_a_step_that_does_not_end_is_hung(box: Box) -> None:
    one = box.add("one")
    with pytest.raises(WorkerLost):
        await asyncio.wait_for(say(box, one, "freeze"), DEADLINE_SECONDS)
    status = await box.until(lambda status: status["residents"][0]["state"] == "failed")
    assert status["residents"][0]["failure"] == "hung"


async def test_an_idle_worker_is_asked_for_tokens_and_lives(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, limits=Limits(silence_seconds=0.05))
        pings = folder / "pings"
        os.mkfifo(pings)
        one = box.add("one", pings=str(pings))
        # Opened without waiting for the worker; from then on, what is read is there or its worker has ended.
        with os.fdopen(os.open(pings, os.O_RDONLY | os.O_NONBLOCK), "rb") as answered:
            await box.client.load(one)
            before = await box.resident(one)
            assert before is not None
            os.set_blocking(answered.fileno(), True)
            proofs = await asyncio.wait_for(asyncio.to_thread(answered.read, 5), DEADLINE_SECONDS)
        assert len(proofs) == 5
        after = await box.resident(one)
        assert after is not None
        assert (after["pid"], after["state"]) == (before["pid"], "resident")


async def test_an_idle_worker_that_generates_no_token_is_hung(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, limits=Limits(silence_seconds=0.1, pong_seconds=0.3))
        one = box.add("one", deaf=True)
        await box.client.load(one)
        status = await box.until(lambda status: status["residents"][0]["state"] == "failed")
        assert status["residents"][0]["failure"] == "hung"


async def test_a_stopped_worker_process_is_hung(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, limits=Limits(silence_seconds=0.2, pong_seconds=0.3))
        one = box.add("one")
        await box.client.load(one)
        resident = await box.resident(one)
        assert resident is not None
        assert resident["pid"] is not None
        process = psutil.Process(resident["pid"])
        process.suspend()
        await box.until(lambda status: status["residents"][0]["failure"] == "hung")
        assert not process.is_running()


async def test_noise_on_standard_output_does_no_harm(box: Box) -> None:
    assert await say(box, box.add("one", noise=200), "hello") == "hello"


@pytest.mark.parametrize("load", ["long_line", "malformed"])
async def test_a_worker_that_breaks_the_protocol_is_ended(box: Box, load: str) -> None:
    refusal = await refusal_of(box, box.add("one", load=load))
    assert refusal.reason == "crashed"


async def test_a_worker_that_cannot_be_started_is_a_failure_like_any_other(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start_box(stack, folder, worker_argv=(str(folder / "missing"),))
        refusal = await refusal_of(box, box.add("one"))
        assert "No worker could be started" in refusal.detail


async def test_a_load_nobody_waits_for_gives_way_and_its_process_ends(box: Box) -> None:
    gate = box.folder / "gate"
    os.mkfifo(gate)
    one, two = box.add("one", 600, gate=str(gate)), box.add("two", 600)
    async with box.client.lease(variant_id=one, user="ann", request_id="r1"):
        status = await box.until(lambda status: any(each["fraction"] == 0.5 for each in status["residents"]))
        pid = status["residents"][0]["pid"]
    assert pid is not None
    process = psutil.Process(pid)
    assert await asyncio.wait_for(say(box, two, "hello"), DEADLINE_SECONDS) == "hello"
    assert not process.is_running()


async def test_nobody_is_ever_sent_to_a_dead_worker(box: Box) -> None:
    one = box.add("one", n_seq_max=1)
    for n in range(10):
        async with box.client.lease(variant_id=one, user="ann", request_id="r1") as lease:
            await ready(lease)
            waiting = [asyncio.ensure_future(say(box, one, f"answer {n}", user)) for user in ("bob", "eve")]
            await box.until(lambda status: len(status["queue"]) == 2)
            answer = lease.generate(request_id="r1", owner="ann", options=GenerationOptions(), prompt="segv")
            await answer.__anext__()
            with pytest.raises(WorkerLost):
                await answer.__anext__()
        # Whoever waited, and whoever comes at the very moment of the crash.
        waiting.append(asyncio.ensure_future(say(box, one, f"answer {n}", "joe")))
        assert await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE_SECONDS) == [f"answer {n}"] * 3
