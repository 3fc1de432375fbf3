from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import User

from inference.models import Conversation, Message
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.tab import OpenTab


async def test_ids_of_other_people_answer_exactly_as_ids_of_nobody(
    open_tab: OpenTab, host: FakeHost, alice: User, bob: User, variant: Variant
) -> None:
    hers, his = await open_tab(alice), await open_tab(bob)
    accepted = await hers.send("A secret", variant.pk)
    _lease, generation = await host.lease()
    await generation.token(1, "Sure.")
    await generation.done(1)
    await hers.hear("final")

    def asking(conversation: str, message: str) -> list[dict[str, Any]]:
        send = {"type": "send", "nonce": "n", "text": "Hi", "variant": variant.pk, "parent": None}
        return [
            {"type": "open", "conversation": conversation},
            {"type": "rename", "conversation": conversation, "title": "Mine"},
            {"type": "delete", "conversation": conversation},
            {"type": "stop", "message": message},
            {"type": "branch", "message": message},
            {"type": "regenerate", "nonce": "n", "message": message, "variant": variant.pk},
            {**send, "conversation": conversation},
            {**send, "conversation": conversation, "parent": message},
        ]

    theirs = asking(accepted["conversation"], accepted["message"])
    nobodys = asking(str(uuid.uuid4()), str(uuid.uuid4()))
    for known, unknown in zip(theirs, nobodys, strict=True):
        await his.say(**known)
        refused = await his.hear("error")
        await his.say(**unknown)
        assert await his.hear("error") == refused
        assert refused["code"] == "not_found"
    conversation = await Conversation.objects.aget()
    assert (conversation.title, conversation.owner_id) == ("A secret", alice.pk)
    assert await Message.objects.acount() == 2
    assert not any("secret" in str(frame) for frame in his.seen)


async def test_a_message_of_ones_own_other_conversation_is_no_parent_here(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant
) -> None:
    tab = await open_tab(alice)
    first = await tab.send("One", variant.pk)
    second = await tab.send("Two", variant.pk, "n2")
    await tab.ask("Mixed", variant.pk, "n3", conversation=second["conversation"], parent=first["message"])
    assert (await tab.hear("error"))["code"] == "not_found"


async def test_a_nonce_of_another_person_is_not_a_repetition(
    open_tab: OpenTab, host: FakeHost, alice: User, bob: User, variant: Variant
) -> None:
    hers, his = await open_tab(alice), await open_tab(bob)
    first = await hers.send("Hers", variant.pk, "same")
    second = await his.send("His", variant.pk, "same")
    assert first["conversation"] != second["conversation"]
