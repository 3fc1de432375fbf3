"""One running answer. It lives in the web process, apart from any socket, until it is stored in its lasting form."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from typing import Any
from uuid import UUID

from inference.core.decoding.generation_options import GenerationOptions
from inference.engine.protocol import Done, Prefill, Token
from inference.host.api.client import HostClient, HostRefusal, HostUnavailable, Lease, WorkerLost, WorkerRefusal
from inference.host.api.messages import Evicting, LeaseLoading, Queued
from inference.models import Message
from inference.web.chat.protocol import MessageView, Patch, WaitView
from inference.web.chat.residency_feed import HostFeed
from inference.web.chat.store import Begun, Ending, Progress
from inference.web.chat.tree import chat_messages, completion_prompt
from inference.web.crossing.change_counter import Pulse
from inference.web.visibility.redaction import NOTHING_KEPT, Discretion
from models_app.storable import storable

logger = logging.getLogger(__name__)

HOST_PATIENCE_SECONDS = 60.0
"""How long a turn waits for a host that does not answer; it is back within a few seconds of a crash."""
HOST_RETRY_SECONDS = 5.0
"""The lease is asked for anew when the feed reaches the host, and at the latest after this."""

STOPPED = Ending(Message.State.STOPPED)
INTERRUPTED = Ending(
    Message.State.INTERRUPTED,
    error_code="web_restarted",
    error_detail="The web process was restarted during this answer. What had been said until then is kept.",
)


class Turn:
    """Gets a lease, generates, and keeps what was said so far. Followers read it at their own pace: see Cursor.

    Nothing is retried once a prompt was sent to a worker: a prompt that killed one worker may kill the next.
    """

    def __init__(
        self,
        *,
        message: UUID,
        owner: int,
        variant: int,
        received_at: float | None = None,
        discretion: Discretion = NOTHING_KEPT,
    ) -> None:
        """`received_at`: when the person's request arrived, by time.perf_counter."""
        self.message = message
        self.owner = owner
        self.content = ""
        self.reasoning = ""
        self.n_tokens = 0
        self.wait: WaitView | None = {"stage": "starting"}
        self.ending: Ending | None = None
        self.unsaved: str | None = None
        """Why the present text is not in the database, while it can't be put there."""
        self.over = False
        """The last word was said, and stored unless `unsaved` says why not."""
        self.changed = Pulse()
        self.speaking = asyncio.Event()
        """Set by the first token."""
        self._variant = variant
        self._discretion = discretion
        self._received_at = time.perf_counter() if received_at is None else received_at
        self._first_token_at: float | None = None
        self._begun: asyncio.Future[Begun] = asyncio.get_running_loop().create_future()
        self._answering: asyncio.Task[Ending] | None = None
        self._cut: Ending | None = None

    # for whoever runs it ---------------------------------------------------------------------------------------

    def start(self, client: HostClient, feed: HostFeed) -> None:
        """Begins to wait for the variant. The prompt is awaited only once the variant is ready."""
        self._answering = asyncio.create_task(self._answer(client, feed), name=f"turn {self.message}")

    def stored(self, begun: Begun) -> None:
        """The turn is in the database: this is what to answer."""
        self._begun.set_result(begun)

    @property
    def conversation(self) -> UUID | None:
        """None until the turn is stored."""
        return self._begun.result().conversation if self._begun.done() and not self._begun.cancelled() else None

    def cut(self, ending: Ending) -> None:
        """Ends the answer now, with what was said so far. The worker notices within one decode step."""
        if self.ending is None and self._cut is None:
            self._cut = ending
            assert self._answering is not None
            self._answering.cancel()

    async def outcome(self) -> Ending:
        """How the answer ended; waits for it. Raises nothing but CancelledError."""
        assert self._answering is not None
        await asyncio.wait({self._answering})
        if self._cut is not None and self._answering.cancelled():
            return self._cut
        return self._answering.result()

    def settle(self, ending: Ending) -> None:
        """Nothing will be said any more."""
        self.ending = ending
        self.wait = None

    def close(self) -> None:
        """Followers have nothing to wait for any more."""
        self.over = True
        self.speaking.set()
        self.changed.beat()

    def progress(self) -> Progress:
        return Progress(self.message, self.content, self.reasoning, self.n_tokens, self.ending)

    def laid_over(self, view: MessageView) -> MessageView:
        """`view` of this turn's message with what is known here and may not be stored yet."""
        ending = self.ending
        return {
            **view,
            "content": self.content,
            "reasoning": self.reasoning,
            "n_tokens": self.n_tokens,
            "wait": self.wait,
            "state": ending.state.value if ending else "running",  # type: ignore[typeddict-item]
            "finish_reason": ending.finish_reason if ending else "",
            "error_code": ending.error_code if ending else "",
            "error_detail": ending.error_detail if ending else "",
            "timings": ending.timings if ending else None,
        }

    # the answer ------------------------------------------------------------------------------------------------

    async def _answer(self, client: HostClient, feed: HostFeed) -> Ending:
        try:
            return await self._answer_or_raise(client, feed)
        except HostRefusal as error:
            return _failed(error.code, self._discretion.sentence(error.detail))
        except WorkerRefusal as error:
            return _failed(error.code, _refused(error))
        except WorkerLost as error:
            logger.warning("%s", error, extra={"request_id": str(self.message)})
            return _failed(
                "worker_lost",
                "The process that ran this model ended in the middle of the answer. What it had said is kept; Retry asks again.",
            )
        except HostUnavailable:
            return _failed(
                "host_unavailable",
                f"The host, which runs the models, did not answer for {HOST_PATIENCE_SECONDS:g} seconds. "
                "Retry asks again; the box's log says why it is down.",
            )
        except Exception:
            logger.exception("a turn failed", extra={"request_id": str(self.message)})
            return _failed("internal", "Something went wrong in the web process; its log has the details.")

    async def _answer_or_raise(self, client: HostClient, feed: HostFeed) -> Ending:
        loop = asyncio.get_running_loop()
        gives_up_at: float | None = None
        while True:
            connections = feed.connections
            try:
                async with client.lease(
                    variant_id=self._variant, user=str(self.owner), request_id=str(self.message)
                ) as lease:
                    async for event in lease.waiting():
                        gives_up_at = None
                        self._waits(event)
                    begun = await asyncio.shield(self._begun)
                    return await self._generate(lease, begun)
            except HostUnavailable:
                now = loop.time()
                gives_up_at = gives_up_at or now + HOST_PATIENCE_SECONDS
                if now >= gives_up_at:
                    raise
                self._waits_for({"stage": "host_down"})
                await feed.next_connection(connections, min(gives_up_at - now, HOST_RETRY_SECONDS))

    async def _generate(self, lease: Lease, begun: Begun) -> Ending:
        assert lease.ready is not None
        assert begun.view is not None
        system_prompt = begun.view["system_prompt"]
        told: dict[str, Any]
        if lease.ready["mode"] == "chat":
            told = {"messages": chat_messages(begun.branch, system_prompt)}
        else:
            told = {"prompt": completion_prompt(begun.branch, system_prompt)}
        self._waits_for({"stage": "prefill"})
        answer = lease.generate(
            request_id=str(self.message),
            owner=str(self.owner),
            options=GenerationOptions.from_json(begun.view["options"]),
            **told,
        )
        async with aclosing(answer) as events:
            async for event in events:
                if event["type"] == "token":
                    self._says(event)
                elif event["type"] == "prefill":
                    self._reads(event)
                else:
                    return self._completed(event)
        raise WorkerLost("the answer ended without a last word")

    def _waits_for(self, wait: WaitView) -> None:
        if wait != self.wait:
            self.wait = wait
            self.changed.beat()

    def _waits(self, event: Queued | Evicting | LeaseLoading) -> None:
        if event["type"] == "queued":
            self._waits_for(
                {"stage": "queued", "position": event["position"], "reason": self._discretion.sentence(event["reason"])}
            )
        elif event["type"] == "evicting":
            self._waits_for({"stage": "evicting", "variants": self._discretion.names(event["variants"])})
        else:
            self._waits_for({"stage": "loading", "fraction": event["fraction"]})

    def _reads(self, event: Prefill) -> None:
        if self.n_tokens:
            return
        stage: Any = "prefill" if event["done"] < event["total"] else "generating"
        self._waits_for({"stage": stage, "done": event["done"], "total": event["total"]})

    def _says(self, event: Token) -> None:
        if self._first_token_at is None:
            self._first_token_at = time.perf_counter()
            self.wait = None
            self.speaking.set()
        text = storable(event["text"])
        if event["reasoning"]:
            self.reasoning += text
        else:
            self.content += text
        self.n_tokens = event["n"]
        self.changed.beat()

    def _completed(self, event: Done) -> Ending:
        now = time.perf_counter()
        first = self._first_token_at
        return Ending(
            Message.State.COMPLETE,
            finish_reason=event["reason"],
            timings={
                **event["timings"],
                "ttft_ms": None if first is None else round((first - self._received_at) * 1000, 1),
                "total_ms": round((now - self._received_at) * 1000, 1),
            },
        )


def _failed(code: str, detail: str) -> Ending:
    return Ending(Message.State.FAILED, error_code=code, error_detail=detail)


def _refused(error: WorkerRefusal) -> str:
    """A worker says facts and phrases, which programs get as they are; people get sentences."""
    if error.code == "context_exceeded":
        n_prompt, n_ctx_seq = error.facts.get("n_prompt"), error.facts.get("n_ctx_seq")
        return (
            f"This conversation has {n_prompt} tokens, and this model's context holds {n_ctx_seq}. "
            "Shorten the message, start a new chat, or have the model's context made longer."
        )
    return f"{error.detail[:1].upper()}{error.detail[1:].removesuffix('.')}."


def _units(text: str) -> int:
    """Length as JavaScript counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


class Cursor:
    """How far one follower has read a turn. Starts at what the turn has said already."""

    __slots__ = ("_content", "_content_units", "_reasoning", "_reasoning_units", "_seen", "turn")

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self._seen = turn.changed.count
        self._content = len(turn.content)
        self._reasoning = len(turn.reasoning)
        self._content_units = _units(turn.content)
        self._reasoning_units = _units(turn.reasoning)

    async def news(self) -> None:
        """Returns when the turn has said or become something since the last patch."""
        await self.turn.changed.after(self._seen)

    def patch(self) -> Patch:
        """All that is new, as one frame."""
        turn = self.turn
        content, reasoning = turn.content[self._content :], turn.reasoning[self._reasoning :]
        patch: Patch = {
            "type": "patch",
            "message": str(turn.message),
            "n": turn.n_tokens,
            "at": self._content_units,
            "content": content,
            "reasoning_at": self._reasoning_units,
            "reasoning": reasoning,
            "wait": turn.wait,
        }
        self._seen = turn.changed.count
        self._content += len(content)
        self._reasoning += len(reasoning)
        self._content_units += _units(content)
        self._reasoning_units += _units(reasoning)
        return patch
