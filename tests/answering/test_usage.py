"""Every request that is over is recorded, once, whichever way it ended."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from inference.answering import usage
from inference.answering.answer import answer
from inference.answering.owner import Requester
from inference.answering.refusals import HostStayedAway, NoChatTemplate, RefusedByHost, RefusedByWorker, WorkerGone
from inference.answering.usage import UsageRecord
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from inference.core.scheduling.refusals import DoesNotFit
from inference.engine.protocol import BadMessage
from inference.host.api.client import HostClient
from tests.answering.asking import Asking, request
from tests.web import fake_host
from tests.web.fake_host import FakeHost, queued

NOBODY_ANSWERED = UsageRecord(
    request_id="r1",
    door="v1",
    user_id=7,
    key_id=3,
    variant_id=5,
    kind="interactive",
    finish="refused",
    n_prompt=None,
    n_cached=None,
    n_generated=0,
    seconds=0,
    waited_seconds=None,
)


def only(records: list[UsageRecord], *, ready: bool) -> UsageRecord:
    """The one record there is, its times put aside."""
    (found,) = records
    assert found.seconds > 0
    assert (found.waited_seconds is not None) == ready
    assert not ready or 0 < (found.waited_seconds or 0) <= found.seconds
    return replace(found, seconds=0, waited_seconds=None)


async def test_an_answer_that_is_done(host: FakeHost, records: list[UsageRecord]) -> None:
    asking = Asking(host, request(door="chat", requester=Requester(9), kind="batch"))
    _lease, generation = await host.lease()
    await generation.say({"type": "prefill", "done": 5, "total": 5, "cached": 2})
    await generation.token(1, "Hi")
    timings = {"prompt_n": 3, "cache_n": 2, "prompt_ms": 1.0, "predicted_n": 4, "predicted_ms": 2.0}
    await generation.say({"type": "done", "reason": "length", "stop_string": None, "timings": timings})
    await asking.end()
    assert only(records, ready=True) == replace(
        NOBODY_ANSWERED,
        door="chat",
        user_id=9,
        key_id=None,
        kind="batch",
        finish="length",
        n_prompt=5,
        n_cached=2,
        n_generated=4,
    )


async def test_a_door_that_closes_at_the_last_event_changes_nothing(host: FakeHost, records: list[UsageRecord]) -> None:
    events = answer(HostClient(str(host.path)), request())
    first = asyncio.ensure_future(events.__anext__())
    lease = await host.take("lease")
    await lease.say(host.ready())
    await first
    last = asyncio.ensure_future(events.__anext__())
    generation = await host.worker.take("generate")
    await generation.done(2)
    assert (await last)["type"] == "done"
    await events.aclose()
    assert only(records, ready=True).finish == "stop"


async def test_a_refusal_of_the_host(host: FakeHost, records: list[UsageRecord]) -> None:
    asking = Asking(host, request())
    lease = await host.take("lease")
    await lease.say(fake_host.refused(DoesNotFit("ram", 2, 1, device_name="RAM")))
    with pytest.raises(RefusedByHost):
        await asking.end()
    assert only(records, ready=False) == NOBODY_ANSWERED


async def test_a_refusal_of_the_worker(host: FakeHost, records: list[UsageRecord]) -> None:
    asking = Asking(host, request())
    _lease, generation = await host.lease()
    await generation.say({"type": "refused", "code": "no_slot", "detail": "all are busy", "facts": {}})
    with pytest.raises(RefusedByWorker):
        await asking.end()
    assert only(records, ready=True) == NOBODY_ANSWERED


async def test_a_variant_without_a_template(host: FakeHost, records: list[UsageRecord]) -> None:
    asking = Asking(host, request())
    lease = await host.take("lease")
    await lease.say(host.ready("completion"))
    with pytest.raises(NoChatTemplate):
        await asking.end()
    assert only(records, ready=False) == NOBODY_ANSWERED


async def test_a_worker_that_dies_in_the_middle(host: FakeHost, records: list[UsageRecord]) -> None:
    asking = Asking(host, request())
    _lease, generation = await host.lease()
    await generation.say({"type": "prefill", "done": 5, "total": 5, "cached": 1})
    await generation.token(3, "Hi")
    await asking.heard("token")
    generation.drop()
    with pytest.raises(WorkerGone):
        await asking.end()
    expected = replace(NOBODY_ANSWERED, finish="worker_lost", n_prompt=5, n_cached=1, n_generated=3)
    assert only(records, ready=True) == expected


async def test_a_host_that_is_away(host: FakeHost, records: list[UsageRecord]) -> None:
    await host.stop()
    asking = Asking(host, request())
    with pytest.raises(HostStayedAway):
        await asking.end()
    assert only(records, ready=False) == replace(NOBODY_ANSWERED, finish="host_away")


async def test_a_request_that_is_stopped_in_the_middle(host: FakeHost, records: list[UsageRecord]) -> None:
    asking = Asking(host, request())
    _lease, generation = await host.lease()
    await generation.say({"type": "prefill", "done": 512, "total": 2000, "cached": 0})
    await asking.heard("prefill")
    await asking.cancel()
    expected = replace(NOBODY_ANSWERED, finish="cancelled", n_prompt=512, n_cached=0)
    assert only(records, ready=True) == expected


async def test_a_request_that_is_given_up_in_the_queue(host: FakeHost, records: list[UsageRecord]) -> None:
    asking = Asking(host, request())
    lease = await host.take("lease")
    await lease.say(queued(1, Reason("slots", (ResidentId(5),))))
    await asking.heard("queued")
    await asking.cancel()
    assert only(records, ready=False) == replace(NOBODY_ANSWERED, finish="cancelled")


async def test_a_fault_of_our_own(host: FakeHost, records: list[UsageRecord]) -> None:
    asking = Asking(host, request())
    _lease, generation = await host.lease()
    await generation.say_raw(b"}{\n")
    with pytest.raises(BadMessage):
        await asking.end()
    assert only(records, ready=True) == replace(NOBODY_ANSWERED, finish="failed")


async def test_an_observer_that_fails_harms_neither_the_answer_nor_the_others(
    host: FakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_usage: UsageRecord) -> None:
        raise RuntimeError("the observer's own fault")

    heard: list[UsageRecord] = []
    ends = [usage.subscribe(fail), usage.subscribe(heard.append)]
    try:
        asking = Asking(host, request())
        _lease, generation = await host.lease()
        await generation.done(0)
        await asking.end()
    finally:
        for end in ends:
            end()
    assert [each.finish for each in heard] == ["stop"]
    assert any("the observer's own fault" in str(line.exc_info) for line in caplog.records)


async def test_the_log_has_it_too(host: FakeHost, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "inference.answering.usage")
    asking = Asking(host, request())
    _lease, generation = await host.lease()
    await generation.done(2)
    await asking.end()
    (line,) = [each for each in caplog.records if each.name == "inference.answering.usage"]
    written: dict[str, Any] = vars(line)
    assert (written["door"], written["user_id"], written["key_id"], written["variant_id"]) == ("v1", 7, 3, 5)
    assert (written["finish"], written["n_prompt"], written["n_generated"]) == ("stop", 5, 2)
