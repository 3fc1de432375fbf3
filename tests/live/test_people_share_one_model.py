from __future__ import annotations

import pytest

from tests.live.tab import tab
from tests.stack import Stack

pytestmark = pytest.mark.live


def test_stop_ends_ones_own_answer_and_nobody_elses(stack: Stack) -> None:
    with tab(stack, stack.admin) as mine, tab(stack, stack.new_user("stopper")) as theirs:
        my_answer = mine.say("Tell me a very long story.", max_tokens=400)
        their_answer = theirs.say("Tell me another one.", max_tokens=3000)
        mine.talk_until(my_answer, 5)
        heard = theirs.talk_until(their_answer, 5).content
        # Another person's message is not there at all, as far as anybody can tell.
        theirs.stop(my_answer)
        theirs.until(lambda: theirs.errors, "the refusal")
        assert theirs.errors[0]["code"] == "not_found"

        theirs.stop(their_answer)
        stopped = theirs.final(their_answer)
        assert stopped["state"] == "stopped"
        assert stopped["content"].startswith(heard)
        assert stopped["n_tokens"] < 3000

        finished = mine.final(my_answer)
        assert finished["state"] == "complete"
        assert finished["finish_reason"] == "length"
        assert finished["n_tokens"] == 400


def test_a_tab_that_opens_in_the_middle_ends_with_the_same_text(stack: Stack) -> None:
    with tab(stack, stack.admin) as first:
        message = first.say("Write about the sea.", max_tokens=400)
        first.talk_until(message, 40)
        assert first.conversation is not None
        with tab(stack, stack.admin) as second:
            second.open(first.conversation["id"])
            assert second.answers[message].n > 0
            theirs = second.final(message)
            # The last words may come with the final view alone.
            assert theirs["content"].startswith(second.answers[message].content)
        mine = first.final(message)
        assert mine["content"].startswith(first.answers[message].content)
        assert mine["content"] == theirs["content"]
        assert mine["timings"]["predicted_n"] == 400


def test_closing_every_tab_does_not_stop_the_answer(stack: Stack) -> None:
    with tab(stack, stack.admin) as page:
        message = page.say("Write about mountains.", max_tokens=300)
        page.talk_until(message, 5)
        assert page.conversation is not None
        conversation = page.conversation["id"]
    with tab(stack, stack.admin) as later:
        view = next(view for view in later.open(conversation)["messages"] if view["id"] == message)
        final = view if view["state"] != "running" else later.final(message)
        assert final["state"] == "complete"
        assert final["n_tokens"] == 300
