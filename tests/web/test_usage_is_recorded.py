"""Whatever door a request comes through, it is recorded once, with who asked for what by which key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User

from hostui.accounts.models import ApiKey
from inference.answering import usage
from inference.answering.usage import UsageRecord
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.program import Program, events
from tests.web.tab import OpenTab, asked


class Records(list[UsageRecord]):
    """What observers in this process learn."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived = asyncio.Event()

    def take(self, record: UsageRecord) -> None:
        self.append(record)
        self._arrived.set()

    async def only(self) -> UsageRecord:
        """Waits for the first; fails where there are more."""
        await asyncio.wait_for(self._arrived.wait(), 10)
        (record,) = self
        return record


@pytest.fixture
def records() -> Iterator[Records]:
    found = Records()
    unsubscribe = usage.subscribe(found.take)
    yield found
    unsubscribe()


async def test_a_turn_at_the_page(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, records: Records
) -> None:
    tab = await open_tab(alice)
    accepted, _lease, generation = await asked(tab, host, variant)
    await generation.token(1, "Hi")
    await generation.done(1)
    await tab.hear("final")
    record = await records.only()
    assert (record.request_id, record.door, record.variant_id) == (accepted["message"], "chat", variant.pk)
    assert (record.user_id, record.key_id, record.finish) == (alice.pk, None, "stop")
    assert (record.n_prompt, record.n_generated) == (5, 1)


async def test_a_turn_that_is_stopped(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, records: Records
) -> None:
    tab = await open_tab(alice)
    accepted, _lease, generation = await asked(tab, host, variant)
    await generation.token(2, "Hi")
    await tab.said(accepted["message"], "Hi")
    await tab.say(type="stop", message=accepted["message"])
    await tab.hear("final")
    record = await records.only()
    assert (record.door, record.finish, record.n_generated) == ("chat", "cancelled", 2)


async def test_a_programs_request_with_its_key(host: FakeHost, alice: User, variant: Variant, records: Records) -> None:
    program = await Program.of(alice)
    key = await ApiKey.objects.aget(user=alice)
    answer = program.ask()
    _lease, generation = await host.lease()
    await generation.token(1, "Hi")
    await generation.done(3, "length")
    assert (await answer).status_code == 200
    record = await records.only()
    assert (record.request_id, record.door) == (generation.request["request_id"], "v1")
    assert (record.user_id, record.key_id, record.variant_id) == (alice.pk, key.pk, variant.pk)
    assert (record.finish, record.n_prompt, record.n_generated) == ("length", 5, 3)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_program_that_hangs_up(
    host: FakeHost, alice: User, variant: Variant, records: Records, stream: bool
) -> None:
    answer = (await Program.of(alice)).ask(stream=stream)
    lease, generation = await host.lease()
    answer.cancel()
    await generation.hung_up()
    await lease.hung_up()
    assert (await records.only()).finish == "cancelled"


async def test_a_program_that_hangs_up_in_the_middle_of_a_stream(
    host: FakeHost, alice: User, variant: Variant, records: Records
) -> None:
    answer = (await Program.of(alice)).ask(stream=True)
    _lease, generation = await host.lease()
    await generation.token(1, "Hi")
    heard = events(await answer)
    await heard.__anext__()
    await heard.__anext__()
    rest = asyncio.ensure_future(heard.__anext__())
    await asyncio.sleep(0)
    rest.cancel()
    await generation.hung_up()
    record = await records.only()
    assert (record.finish, record.n_generated) == ("cancelled", 1)


async def test_a_program_that_is_refused(host: FakeHost, alice: User, variant: Variant, records: Records) -> None:
    await host.stop()
    response = await (await Program.of(alice)).post(
        "chat/completions", {"model": "smol", "messages": [{"role": "user", "content": "Hi"}]}
    )
    assert response.status_code == 503
    assert (await records.only()).finish == "host_away"
