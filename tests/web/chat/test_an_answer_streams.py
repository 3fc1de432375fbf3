from __future__ import annotations

from django.contrib.auth.models import User

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from inference.models import Message
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab


async def test_a_question_is_stored_answered_and_stored(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("Why is the sky blue?", variant.pk)
    view = await tab.hear("conversation", id=accepted["conversation"])
    assert [message["role"] for message in view["messages"]] == ["user", "assistant"]
    assert view["messages"][1]["state"] == "running"

    lease, generation = await host.lease()
    assert lease.request["variant_id"] == variant.pk
    assert lease.request["request_id"] == generation.request["request_id"] == accepted["message"]
    assert generation.request["owner"] == str(alice.pk)
    assert generation.request["messages"] == [{"role": "user", "content": "Why is the sky blue?"}]
    await generation.token(1, "Ray")
    await generation.token(2, "leigh.")
    await tab.said(accepted["message"], "Rayleigh.")
    await generation.done(2)

    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["content"], final["finish_reason"]) == ("complete", "Rayleigh.", "stop")
    assert final["timings"]["predicted_n"] == 2
    assert 0 < final["timings"]["ttft_ms"] <= final["timings"]["total_ms"]
    stored = await Message.objects.aget(pk=accepted["message"])
    assert (stored.state, stored.content, stored.n_tokens) == ("complete", "Rayleigh.", 2)
    assert stored.variant_name == "smol"
    await lease.hung_up()


async def test_what_the_answer_waits_for_is_shown(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("Hello", variant.pk)

    async def shown(stage: str) -> dict[str, object]:
        while True:
            patch = await tab.hear("patch", message=accepted["message"])
            if patch["wait"] and patch["wait"]["stage"] == stage:
                return dict(patch["wait"])

    lease = await host.take("lease")
    await lease.say({"type": "queued", "position": 2, "reason": Reason("slots", (ResidentId(variant.pk),))})
    assert await shown("queued") == {
        "stage": "queued",
        "position": 2,
        "reason": "All slots of smol are busy. 1 goes first.",
    }
    other = await Variant.objects.acreate(repository=variant.repository, name="other", size_bytes=1)
    await lease.say({"type": "evicting", "variants": [ResidentId(other.pk)]})
    assert await shown("evicting") == {"stage": "evicting", "variants": ["other"]}
    await lease.say({"type": "loading", "fraction": 0.5})
    assert await shown("loading") == {"stage": "loading", "fraction": 0.5}
    await lease.say(host.ready())
    generation = await host.worker.take("generate")
    await generation.say({"type": "prefill", "done": 512, "total": 2000, "cached": 0})
    while (wait := await shown("prefill")) != {"stage": "prefill", "done": 512, "total": 2000}:
        assert wait == {"stage": "prefill"}
    await generation.say({"type": "prefill", "done": 2000, "total": 2000, "cached": 0})
    assert await shown("generating") == {"stage": "generating", "done": 2000, "total": 2000}
    await generation.token(1, "Hi")
    (*_, last) = await tab.said(accepted["message"], "Hi")
    assert last["wait"] is None


async def test_positions_count_as_javascript_does(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    accepted = await tab.send("Smile", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "😀")
    await tab.said(accepted["message"], "😀")
    await generation.token(2, "é!")
    patch = await tab.hear("patch", message=accepted["message"], content="é!")
    assert (patch["at"], patch["n"]) == (2, 2)


async def test_reasoning_arrives_apart_from_the_answer(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    await tab.send("Think", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "Let me see.", reasoning=True)
    await generation.token(2, "Four.")
    await generation.done(2)
    final = (await tab.hear("final"))["view"]
    assert (final["reasoning"], final["content"]) == ("Let me see.", "Four.")


async def test_what_no_database_takes_is_left_out(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    await tab.send("Odd", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "a\0b\ud800c")
    await generation.done(1)
    assert (await tab.hear("final"))["view"]["content"] == "ab?c"


async def test_options_and_system_prompt_reach_the_worker_and_stay(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    options = {"temperature": 0, "stop": ["END"], "top_k": None}
    accepted = await tab.send("One", variant.pk, options=options, system_prompt="Be brief.")
    _lease, generation = await host.lease()
    assert generation.request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert generation.request["options"]["temperature"] == 0
    assert generation.request["options"]["stop"] == ["END"]
    await generation.token(1, "1")
    await generation.done(1)
    await tab.hear("final")

    await tab.send("Two", variant.pk, "n2", conversation=accepted["conversation"], parent=accepted["message"])
    view = await tab.hear("conversation")
    assert (view["options"], view["system_prompt"], view["variant"]) == (
        {"temperature": 0, "stop": ["END"]},
        "Be brief.",
        variant.pk,
    )
    _lease, generation = await host.lease()
    assert generation.request["options"]["temperature"] == 0
    assert [each["content"] for each in generation.request["messages"]] == ["Be brief.", "One", "1", "Two"]


async def test_without_a_chat_template_the_model_continues_the_text(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    await tab.send("Once upon a time", variant.pk)
    _lease, generation = await host.lease(mode="completion")
    assert "messages" not in generation.request
    assert generation.request["prompt"] == "Once upon a time"
