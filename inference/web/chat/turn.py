"""One running answer. It lives in the web process, apart from any socket, until it is stored in its lasting form."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from contextlib import aclosing
from uuid import UUID

from django.utils.translation import gettext

from inference.answering.answer import answer
from inference.answering.owner import Requester
from inference.answering.patience import HostPresence, Patience
from inference.answering.refusals import Refusal, WorkerGone
from inference.answering.request import AnswerRequest, Messages, Mode, Prompt, Text
from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.resident_id import ResidentId
from inference.engine.protocol import Done, Token
from inference.host.api.client import HostClient
from inference.models import Message
from inference.web.chat.protocol import MessageView, Patch, WaitView
from inference.web.chat.store import Ending, Progress, StartedTurn
from inference.web.chat.tree import chat_messages, completion_prompt
from inference.web.chat.waits import failed, failure, named_by, named_in, wait_view
from inference.web.crossing.change_counter import ChangeCounter
from inference.web.crossing.database_thread import StorageFailed
from inference.web.visibility.queries import visibility_of
from inference.web.visibility.visibility import NOTHING, Visibility
from models_app.storable import storable

logger = logging.getLogger(__name__)

PATIENCE = Patience(host_away_seconds=60.0)
"""A host is back within a few seconds of a crash."""

STOPPED = Ending(Message.State.STOPPED)
INTERRUPTED = Ending(
    Message.State.INTERRUPTED,
    error_code="web_restarted",
    error_detail="The web process was restarted during this answer. What had been said until then is kept.",
)


class Turn:
    """Has its question answered and keeps what was said so far. Followers read it at their own pace: see Cursor."""

    def __init__(
        self,
        *,
        message: UUID,
        user_id: int,
        variant: int,
        received_at: float | None = None,
        visibility: Visibility = NOTHING,
    ) -> None:
        """`received_at`: when the person's request arrived, by time.perf_counter. `visibility`: what the owner may know of the
        variant itself; of others it is looked up when they matter."""
        self.message = message
        self.user_id = user_id
        self.content = ""
        self.reasoning = ""
        self.n_tokens = 0
        self.wait: WaitView | None = {"stage": "starting"}
        self.ending: Ending | None = None
        self.unsaved: str | None = None
        """Why the present text is not in the database, while it can't be put there."""
        self.over = False
        """The last word was said, and stored unless `unsaved` says why not."""
        self.changed = ChangeCounter()
        self.speaking = asyncio.Event()
        """Set by the first token."""
        self._variant = variant
        self._visibility = visibility
        self._received_at = time.perf_counter() if received_at is None else received_at
        self._first_token_at: float | None = None
        self._started: asyncio.Future[StartedTurn] = asyncio.get_running_loop().create_future()
        self._answering: asyncio.Task[Ending] | None = None
        self._cut: Ending | None = None

    # for whoever runs it ---------------------------------------------------------------------------------------

    def start(self, client: HostClient, presence: HostPresence) -> None:
        """Begins to wait for the variant. The prompt is awaited only once the variant is ready."""
        self._answering = asyncio.create_task(self._answer(client, presence), name=f"turn {self.message}")

    def stored(self, started: StartedTurn) -> None:
        """The turn is in the database: this is what to answer."""
        self._started.set_result(started)

    @property
    def conversation(self) -> UUID | None:
        """None until the turn is stored."""
        return self._started.result().conversation if self._started.done() and not self._started.cancelled() else None

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
        self.changed.increment()

    def progress(self) -> Progress:
        return Progress(self.message, self.content, self.reasoning, self.n_tokens, self.ending)

    def with_live_state(self, view: MessageView) -> MessageView:
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

    async def _answer(self, client: HostClient, presence: HostPresence) -> Ending:
        try:
            return await self._answer_or_raise(client, presence)
        except Refusal as refusal:
            if isinstance(refusal, WorkerGone):
                logger.warning("%s", refusal, extra={"request_id": str(self.message)})
            return failure(refusal, await self._seen(named_by(refusal)))
        except Exception:
            logger.exception("a turn failed", extra={"request_id": str(self.message)})
            return failed("internal", gettext("Something went wrong in the web process; its log has the details."))

    async def _answer_or_raise(self, client: HostClient, presence: HostPresence) -> Ending:
        request = AnswerRequest(
            request_id=str(self.message),
            door="chat",
            requester=Requester(self.user_id),
            variant_id=self._variant,
            prompt=self._prompt,
            patience=PATIENCE,
        )
        async with aclosing(answer(client, request, presence)) as events:
            async for event in events:
                if event["type"] == "token":
                    self._says(event)
                elif event["type"] == "done":
                    return self._completed(event)
                elif event["type"] != "prefill" or not self.n_tokens:
                    self._waits_for(wait_view(event, await self._seen(named_in(event))))
        raise AssertionError("an answer ends with done, or with a refusal")

    async def _prompt(self, mode: Mode) -> Prompt:
        """Once the turn is in the database."""
        started = await asyncio.shield(self._started)
        assert started.view is not None
        options = GenerationOptions.from_json(started.view["options"])
        system_prompt = started.view["system_prompt"]
        if mode == "chat":
            return Messages(chat_messages(started.branch, system_prompt), options)
        return Text(completion_prompt(started.branch, system_prompt), options)

    async def _seen(self, resident_ids: Collection[ResidentId]) -> Visibility:
        """What the owner may know of these, as it is now. Whoever asks for a variant may know that one."""
        if all(each.variant_id == self._variant for each in resident_ids):
            return self._visibility
        try:
            return await visibility_of(self.user_id)
        except StorageFailed:
            return self._visibility

    def _waits_for(self, wait: WaitView) -> None:
        if wait != self.wait:
            self.wait = wait
            self.changed.increment()

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
        self.changed.increment()

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
