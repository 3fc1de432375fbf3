from __future__ import annotations

from django.contrib.auth.models import User

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
    assert lease.request["request_id"] == accepted["message"]
    assert generation.request["messages"] == [{"role": "user", "content": "Why is the sky blue?"}]
    await generation.token(1, "Ray")
    await generation.token(2, "leigh.")
    await tab.said(accepted["message"], "Rayleigh.")
    await generation.done(2)

    final = (await tab.hear("final"))["view"]
    assert (final["state"], final["content"], final["finish_reason"]) == ("complete", "Rayleigh.", "stop")
    assert final["timings"]["predicted_n"] == 2
    assert final["timings"]["ttft_ms"] > 0
    stored = await Message.objects.aget(pk=accepted["message"])
    assert (stored.state, stored.content, stored.n_tokens) == ("complete", "Rayleigh.", 2)
    await lease.hung_up()
