"""A worker that dies, a host that is away, a refusal: a clear error, and nothing lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User

from inference.answering.patience import Patience
from inference.core.scheduling.refusals import DoesNotFit, FailedToLoad, Refusal
from inference.models import Message
from inference.web.chat import turn
from models_app.models import Variant
from tests.web.fake_host import FakeHost, refused, resident
from tests.web.tab import OpenTab, asked


async def test_a_lost_worker_leaves_the_partial_answer_and_offers_a_retry(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted, lease, generation = await asked(tab, host, variant)
    await generation.token(1, "Hel")
    await tab.said(accepted["message"], "Hel")
    generation.drop()
    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["error_code"], final["content"]) == ("failed", "worker_lost", "Hel")
    assert "Retry" in final["error_detail"]
    await lease.hung_up()

    await tab.say(type="regenerate", nonce="r1", message=accepted["message"], variant=variant.pk)
    again = await tab.hear("accepted", nonce="r1")
    view = await tab.hear("conversation")
    assert [each["id"] for each in view["messages"]][1:] == [again["message"]]
    assert view["messages"][1]["siblings"] == [accepted["message"], again["message"]]
    _lease, generation = await host.lease()
    assert generation.request["messages"] == [{"role": "user", "content": "Hello"}]


async def test_nothing_is_asked_twice_by_itself(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    _accepted, _lease, generation = await asked(tab, host, variant)
    generation.drop()
    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["error_code"]) == ("failed", "worker_lost")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(host.take("lease"), 0.3)


async def test_a_worker_that_died_before_it_heard_anything_costs_no_answer(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    await host.worker.stop()
    await tab.send("Hello", variant.pk)
    stale = await host.take("lease")
    await stale.say(host.ready())
    await stale.hung_up()

    await host.worker.start()
    _lease, generation = await host.lease()
    await generation.token(1, "Hi")
    await generation.done(1)
    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["content"]) == ("complete", "Hi")


REFUSALS: list[tuple[Refusal, str]] = [
    (
        DoesNotFit("gpu0", 2 << 30, 1 << 30, device_name="RTX 3060"),
        "smol needs at least 2 GiB on RTX 3060, more than the whole budget of 1 GiB there.",
    ),
    (
        FailedToLoad("out_of_memory", "The system ran out of memory.", 3, is_final=True),
        "smol failed 3 times in a row and is not tried again. The system ran out of memory.",
    ),
]


@pytest.mark.parametrize(("refusal", "words"), REFUSALS)
async def test_a_hosts_refusal_is_told_in_sentences(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, refusal: Refusal, words: str
) -> None:
    tab = await open_tab(alice)
    await tab.send("Hello", variant.pk)
    lease = await host.take("lease")
    await lease.say(refused(refusal))
    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["error_code"]) == ("failed", refusal.kind)
    assert final["error_detail"].startswith(words)


WORKER_REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    (
        "context_exceeded",
        {"n_prompt": 5000, "n_ctx_seq": 4096},
        "This conversation has 5000 tokens, and this model's context holds 4096. "
        "Shorten the message, start a new chat, or have the model's context made longer.",
    ),
    ("template_timeout", {}, "The phrase of a worker."),
]


@pytest.mark.parametrize(("code", "facts", "sentence"), WORKER_REFUSALS)
async def test_a_workers_refusal_is_told_in_sentences(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, code: str, facts: dict[str, Any], sentence: str
) -> None:
    tab = await open_tab(alice)
    _accepted, _lease, generation = await asked(tab, host, variant)
    await generation.say({"type": "refused", "code": code, "detail": "the phrase of a worker", "facts": facts})
    final = (await tab.hear("final"))["view"]
    assert (final["error_code"], final["error_detail"]) == (code, sentence)


async def test_an_answer_waits_for_a_host_that_is_away_and_goes_on_when_it_returns(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    await tab.hear("variants", host=True)
    await host.stop()
    await tab.hear("variants", host=False)
    accepted = await tab.send("Hello", variant.pk)
    wait = (await tab.hear("conversation"))["messages"][1]["wait"]
    while wait != {"stage": "host_down"}:
        wait = (await tab.hear("patch", message=accepted["message"]))["wait"]
    await host.start()
    _lease, generation = await host.lease()
    await generation.token(1, "Hi")
    await generation.done(1)
    assert (await tab.hear("final"))["view"]["content"] == "Hi"
    assert any(frame["type"] == "variants" and frame["host"] for frame in tab.seen[-20:])


async def test_an_answer_that_waits_survives_the_hosts_restart(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    await tab.send("Hello", variant.pk)
    lease = await host.take("lease")
    await lease.say({"type": "loading", "fraction": 0.2})
    while ((await tab.hear("patch"))["wait"] or {}).get("stage") != "loading":
        pass
    await host.stop()
    await host.start()
    _lease, generation = await host.lease()
    await generation.token(1, "Hi")
    await generation.done(1)
    assert (await tab.hear("final"))["view"]["state"] == "complete"


async def test_a_host_that_stays_away_fails_the_answer(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "PATIENCE", Patience(host_away_seconds=0.2))
    tab = await open_tab(alice)
    await host.stop()
    accepted = await tab.send("Hello", variant.pk)
    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["error_code"]) == ("failed", "host_unavailable")
    assert (await Message.objects.aget(pk=accepted["message"])).error_code == "host_unavailable"


async def test_a_line_that_is_not_json_fails_the_answer_and_nothing_else(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    _accepted, _lease, generation = await asked(tab, host, variant)
    await generation.say_raw(b"}{\n")
    assert (await tab.hear("final"))["view"]["state"] == "failed"
    await tab.send("Again", variant.pk, "n2")


async def test_what_is_in_memory_is_told_when_it_changes(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    (row,) = (await tab.hear("variants", host=True))["rows"]
    assert (row["name"], row["state"], row["size_bytes"]) == ("smol", "absent", 93_000_000)
    await host.tell([resident(variant.pk, state="loading", fraction=0.4, mode=None)])
    (row,) = (await tab.hear("variants"))["rows"]
    assert (row["state"], row["fraction"]) == ("loading", 0.4)
    # The speed is nothing that the picker shows: no frame for it.
    await host.tell([resident(variant.pk, state="loading", fraction=0.4, mode=None, tokens_per_second=9.0)])
    await host.tell([resident(variant.pk)])
    (row,) = (await tab.hear("variants"))["rows"]
    assert (row["state"], row["mode"]) == ("resident", "chat")
