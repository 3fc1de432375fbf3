"""Through daphne, which has rules of its own about frames and close codes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from inference.chat_protocol import CLOSE_TOO_LARGE, LONGEST_FRAME_BYTES
from tests.live.tab import tab
from tests.stack import Stack

pytestmark = pytest.mark.live


def test_is_refused_in_words_and_by_its_close_code(stack: Stack) -> None:
    with tab(stack, stack.admin) as page:
        page.socket.send("x" * (LONGEST_FRAME_BYTES + 1))
        page.until(lambda: page.errors, "the refusal")
        assert page.errors[0]["code"] == "too_large"
        with pytest.raises(ConnectionClosed) as closed:
            page.until(lambda: False, "the end of the socket")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CLOSE_TOO_LARGE


def test_of_ten_megabytes_ends_its_own_socket_and_no_other(stack: Stack) -> None:
    with tab(stack, stack.admin) as beside, tab(stack, stack.admin) as page:
        with suppress(ConnectionClosed):
            # The box hangs up as soon as it has seen the length: the rest may find nobody.
            page.socket.send("x" * 10_000_000)
        with pytest.raises(ConnectionClosed):
            page.until(lambda: False, "the end of the socket")
        assert beside.final(beside.say("Hello", max_tokens=4))["state"] == "complete"
