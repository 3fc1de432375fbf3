"""Through daphne, which has rules of its own about frames and close codes."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed

from inference.web.chat.protocol import LONGEST_FRAME_BYTES
from inference.web.feeds.close_codes import CLOSE_TOO_LARGE
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
