"""Other programs take memory and give it back, owners edit budgets: what the host does, and what its log says of it."""

from __future__ import annotations

import re

from inference.host.api.messages import ResidentVariant
from inference.wording.decisions import details, sentence
from tests.host.cast import Box, ready
from tests.host.test_previews import CARD, GIB, pools, shelve, use


def log(box: Box) -> list[str]:
    """Sentences of the log; what a clock decides stands as "idle"."""
    return [
        re.sub(r"used just now|idle for [\d.]+ \w+", "idle", sentence(each["decision"], box.name))
        for each in box.host.decisions()
    ]


def by_name(residents: list[ResidentVariant]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in residents if each["state"] != "absent"}


async def test_a_game_sends_an_idle_model_away_and_the_log_says_why(box: Box) -> None:
    box.host.set_pools(pools())
    llama, qwen = shelve(box, "llama", 4), shelve(box, "qwen", 6)
    await use(box, llama)
    async with box.client.lease(variant_id=qwen, user="ann", request_id="r") as lease:
        await ready(lease)
        box.host.set_pools(pools(foreign_bytes=5 * GIB))
        await box.until(lambda status: by_name(status["residents"]) == {"qwen": "resident"})
        assert log(box)[-3:] == [
            f"Nothing more is loaded on {CARD}: other programs use 3.50 GiB that variants hold.",
            f"llama leaves: other programs need 3.50 GiB on {CARD}. It was idle.",
            f"Variants may be loaded on {CARD} again.",
        ]
        async with box.client.lease(variant_id=llama, user="bob", request_id="r") as waits:
            status = await box.until(lambda status: len(status["queue"]) == 1)
            assert box.waits(status) == ["Waiting for qwen to finish its running answer and make room. You are next."]
            box.host.set_pools(pools(foreign_bytes=GIB // 2))
            await ready(waits)


async def test_a_busy_model_finishes_before_it_leaves_for_a_game(box: Box) -> None:
    box.host.set_pools(pools())
    qwen = shelve(box, "qwen", 8)
    async with box.client.lease(variant_id=qwen, user="ann", request_id="r") as lease:
        await ready(lease)
        box.host.set_pools(pools(foreign_bytes=6 * GIB))
        assert by_name((await box.client.status())["residents"]) == {"qwen": "draining"}
        assert (
            log(box)[-1]
            == f"qwen leaves: other programs need 2.50 GiB on {CARD}. It finishes its running answer first."
        )
        box.host.set_pools(pools(foreign_bytes=3 * GIB))
        assert by_name((await box.client.status())["residents"]) == {"qwen": "resident"}
        assert log(box)[-2:] == [
            f"Variants may be loaded on {CARD} again.",
            "qwen stays: its room is not needed any more.",
        ]


async def test_a_lowered_budget_sends_away_what_is_too_much(box: Box) -> None:
    box.host.set_pools(pools())
    llama, qwen = shelve(box, "llama", 4), shelve(box, "qwen", 6)
    await use(box, llama)
    await use(box, qwen)
    ram, card = pools()
    box.host.set_pools([ram, type(card)(card.device, card.name, card.capacity_bytes, 7 * GIB)])
    await box.until(lambda status: len(by_name(status["residents"])) == 1)
    paused, left, resumed = log(box)[-3:]
    assert paused == f"Nothing more is loaded on {CARD}: variants hold 3 GiB more than the budget allows."
    # Which of the two depends on how long each took to load.
    assert re.match(rf"(llama|qwen) leaves: the budget of {CARD} is exceeded by 3 GiB. It was idle.", left)
    assert re.match(
        r"It is cheaper to give up than (llama|qwen). A reload takes about [\d.]+ s; "
        r"that it is wanted within ten minutes is \d+% likely.",
        details(box.host.decisions()[-2]["decision"], box.name),
    )
    assert resumed == f"Variants may be loaded on {CARD} again."


async def test_the_log_says_how_well_a_model_was_loaded(box: Box) -> None:
    box.host.set_pools(pools())
    qwen, large = shelve(box, "qwen", 4, lesser_score=5.0), shelve(box, "large", 20, lesser_score=5.0)
    await use(box, qwen)
    assert log(box)[-1] == f"qwen is loaded with 4 GiB on {CARD} and 1 GiB in RAM."
    await box.client.unload(qwen)
    assert log(box)[-1] == "qwen is unloaded: a person asked."
    await use(box, large)
    assert log(box)[-1] == (
        f"large is loaded with 10.0 GiB on {CARD} and 11.0 GiB in RAM. There is no room for a better way."
    )
    assert details(box.host.decisions()[-1]["decision"], box.name) == "Way 2 of 2, worth 50% of the best one."
