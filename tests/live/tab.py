"""A chat page without a browser: a real WebSocket to a real box, and what a page would make of its frames."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.stack import Account, Stack

END_OF_TURN = "2"
"""The starter's <|im_end|>: banned where an answer must be long."""


@dataclass(slots=True)
class Answer:
    """A running answer as the page shows it."""

    content: str = ""
    n: int = 0
    stages: list[str] = field(default_factory=list)
    final: dict[str, Any] | None = None


def spliced(text: str, at: int, more: str) -> str:
    """`text` up to `at`, which counts as a page does (an emoji is two), and then `more`."""
    units = text.encode("utf-16-le")
    assert 2 * at <= len(units), "a gap that only opening the conversation again could mend"
    return units[: 2 * at].decode("utf-16-le") + more


@dataclass(slots=True)
class Tab:
    socket: ClientConnection
    answers: dict[str, Answer] = field(default_factory=dict)
    variants: dict[str, Any] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    conversation: dict[str, Any] | None = None
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)

    def take(self, seconds: float = 30.0) -> None:
        """Receives one frame and books it."""
        frame = json.loads(self.socket.recv(timeout=seconds))
        match frame["type"]:
            case "variants":
                self.variants = frame
            case "accepted":
                self.accepted[frame["nonce"]] = frame
            case "error":
                self.errors.append(frame)
            case "conversation":
                self.conversation = frame
                for view in frame["messages"]:
                    if view["state"] == "running":
                        self.answers[view["id"]] = Answer(view["content"], view["n_tokens"])
            case "patch":
                answer = self.answers.setdefault(frame["message"], Answer())
                answer.content = spliced(answer.content, frame["at"], frame["content"])
                assert frame["n"] >= answer.n
                answer.n = frame["n"]
                if frame["wait"]:
                    answer.stages.append(frame["wait"]["stage"])
            case "final":
                self.answers.setdefault(frame["view"]["id"], Answer()).final = frame["view"]

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        """Receives frames until the condition holds, and returns its value."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            left = deadline - time.monotonic()
            assert left > 0, f"waited {seconds:g} s for {what}; errors: {self.errors}"
            self.take(left)
        return value

    def say(self, text: str, *, max_tokens: int, conversation: str | None = None, parent: str | None = None) -> str:
        """Sends a message and returns the id of its answer, which has then begun."""
        return self.ask(
            type="send", conversation=conversation, parent=parent, text=text, options=long_answer(max_tokens)
        )

    def ask(self, **message: Any) -> str:
        nonce = uuid.uuid4().hex
        variants = self.until(lambda: self.variants, "the list of variants")
        self.socket.send(json.dumps({"nonce": nonce, "variant": variants["rows"][0]["id"], **message}))
        return str(self.until(lambda: self.accepted.get(nonce), "the message to be accepted")["message"])

    def talk_until(self, message: str, n_tokens: int) -> Answer:
        """Waits until the answer has that many tokens."""
        return self.until(
            lambda: answer if (answer := self.answers.get(message)) and answer.n >= n_tokens else None,
            f"{n_tokens} tokens",
        )

    def final(self, message: str, seconds: float = 90.0) -> dict[str, Any]:
        self.until(lambda: (answer := self.answers.get(message)) and answer.final, "the answer's end", seconds)
        final = self.answers[message].final
        assert final is not None
        return final

    def stop(self, message: str) -> None:
        self.socket.send(json.dumps({"type": "stop", "message": message}))

    def open(self, conversation: str) -> dict[str, Any]:
        self.conversation = None
        self.socket.send(json.dumps({"type": "open", "conversation": conversation}))
        return dict(self.until(lambda: self.conversation, "the conversation"))


def long_answer(max_tokens: int) -> dict[str, Any]:
    return {"max_tokens": max_tokens, "logit_bias": {END_OF_TURN: -100}, "seed": 7}


@contextmanager
def tab(stack: Stack, account: Account) -> Iterator[Tab]:
    with closing(stack.login(account)) as client:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    address = f"{stack.url.replace('http', 'ws')}/ws/chat/"
    with connect(address, origin=stack.url, additional_headers={"Cookie": cookie}, proxy=None) as socket:  # type: ignore[arg-type]
        yield Tab(socket)
