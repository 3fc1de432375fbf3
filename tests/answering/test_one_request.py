"""What happens to one request, whatever door it came in by."""

from __future__ import annotations

import asyncio

import pytest

from inference.answering.patience import Patience
from inference.answering.refusals import (
    HostStayedAway,
    NoChatTemplate,
    RefusedByHost,
    RefusedByWorker,
    WorkerGone,
)
from inference.answering.request import Mode, Prompt, Text
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from inference.core.scheduling.refusals import DoesNotFit
from tests.answering.asking import HELLO, OPTIONS, Asking, request
from tests.web import fake_host
from tests.web.fake_host import FakeHost, queued


async def test_waits_prefill_tokens_and_the_end_come_in_order(host: FakeHost) -> None:
    asking = Asking(host, request(kind="batch"))
    lease = await host.take("lease")
    assert {name: lease.request[name] for name in ("variant_id", "user", "kind", "request_id")} == {
        "variant_id": 5,
        "user": "7",
        "kind": "batch",
        "request_id": "r1",
    }
    await lease.say(queued(1, Reason("slots", (ResidentId(5),))), {"type": "loading", "fraction": 0.5})
    await lease.say(host.ready())
    generation = await host.worker.take("generate")
    assert (generation.request["owner"], generation.request["messages"]) == ("7", HELLO.messages)
    await generation.say({"type": "prefill", "done": 5, "total": 5, "cached": 0})
    await generation.token(1, "Hi")
    await generation.done(1)
    await asking.end()
    assert asking.kinds == ["queued", "loading", "variant_ready", "prefill", "token", "done"]
    await lease.hung_up()


async def test_a_prompt_is_asked_for_once_the_variant_is_ready_and_its_mode_known(host: FakeHost) -> None:
    stored = asyncio.get_running_loop().create_future()

    async def write(mode: Mode) -> Prompt:
        return Text(f"{mode} {await stored}", OPTIONS)

    asking = Asking(host, request(prompt=write))
    lease = await host.take("lease")
    await lease.say(host.ready("completion"))
    assert "variant_ready" not in asking.kinds
    stored.set_result("Once")
    generation = await host.worker.take("generate")
    assert generation.request["prompt"] == "completion Once"
    await generation.done(0)
    await asking.end()


async def test_messages_to_a_variant_without_a_template_are_refused(host: FakeHost) -> None:
    asking = Asking(host, request())
    lease = await host.take("lease")
    await lease.say(host.ready("completion"))
    with pytest.raises(NoChatTemplate) as refused:
        await asking.end()
    assert refused.value.variant_id == 5
    await lease.hung_up()


async def test_a_host_refuses_with_its_facts(host: FakeHost) -> None:
    asking = Asking(host, request())
    lease = await host.take("lease")
    facts = DoesNotFit("ram", 2, 1, device_name="RAM")
    await lease.say(fake_host.refused(facts))
    with pytest.raises(RefusedByHost) as refused:
        await asking.end()
    assert (refused.value.refusal.resident_id, refused.value.refusal.facts) == (ResidentId(5), facts)


async def test_a_worker_refuses_with_its_facts(host: FakeHost) -> None:
    asking = Asking(host, request())
    lease, generation = await host.lease()
    facts = {"n_prompt": 5000, "n_ctx_seq": 4096}
    await generation.say({"type": "refused", "code": "context_exceeded", "detail": "Too long.", "facts": facts})
    with pytest.raises(RefusedByWorker) as refused:
        await asking.end()
    assert (refused.value.refusal.code, refused.value.refusal.facts) == ("context_exceeded", facts)
    await lease.hung_up()


async def test_a_worker_that_dies_in_the_middle_is_not_asked_again(host: FakeHost) -> None:
    asking = Asking(host, request(patience=Patience(60)))
    lease, generation = await host.lease()
    await generation.token(1, "Hi")
    await asking.heard("token")
    generation.drop()
    with pytest.raises(WorkerGone):
        await asking.end()
    await lease.hung_up()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(host.take("lease"), 0.3)


async def test_without_patience_an_absent_host_ends_the_request_at_once(host: FakeHost) -> None:
    await host.stop()
    asking = Asking(host, request())
    with pytest.raises(HostStayedAway) as away:
        await asking.end()
    assert (asking.kinds, away.value.waited_seconds) == ([], 0)


async def test_with_patience_an_absent_host_is_waited_for(host: FakeHost) -> None:
    await host.stop()
    asking = Asking(host, request(patience=Patience(60, retry_seconds=0.01)))
    await asking.heard("host_absent")
    await host.start()
    _lease, generation = await host.lease()
    await generation.done(0)
    await asking.end()
    assert asking.kinds[-1] == "done"


async def test_a_host_that_is_known_to_be_back_is_asked_at_once(host: FakeHost) -> None:
    back = asyncio.Event()

    class Presence:
        connections = 0

        async def next_connection(self, seen: int, timeout_seconds: float) -> None:
            await asyncio.wait_for(back.wait(), timeout_seconds)

    await host.stop()
    asking = Asking(host, request(patience=Patience(3600, retry_seconds=3600)), Presence())
    await asking.heard("host_absent")
    await host.start()
    back.set()
    _lease, generation = await host.lease()
    await generation.done(0)
    await asking.end()
    assert asking.kinds == ["host_absent", "variant_ready", "done"]


async def test_patience_ends(host: FakeHost) -> None:
    await host.stop()
    asking = Asking(host, request(patience=Patience(0.1, retry_seconds=0.01)))
    with pytest.raises(HostStayedAway) as away:
        await asking.end()
    assert away.value.waited_seconds == 0.1
    assert set(asking.kinds) == {"host_absent"}


async def test_patience_counts_from_when_the_host_was_last_heard(host: FakeHost) -> None:
    asking = Asking(host, request(patience=Patience(60, retry_seconds=0.01)))
    lease = await host.take("lease")
    await lease.say({"type": "loading", "fraction": 0.2})
    await asking.heard("loading")
    await host.stop()
    await asking.heard("host_absent")
    await host.start()
    _lease, generation = await host.lease()
    await generation.done(0)
    await asking.end()
