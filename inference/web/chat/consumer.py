"""The chat socket: frames in, asked of inference.web.chat.turns and inference.web.chat.store, frames out. See inference.web.chat.protocol."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils.translation import gettext_lazy

from inference.web.chat import store
from inference.web.chat.frames import BadFrame, Delete, Frame, Open, Regenerate, Rename, Send, ShowBranch, Stop, parse
from inference.web.chat.protocol import ConversationView, ServerMessage
from inference.web.chat.turn import Cursor, Turn
from inference.web.chat.turns import turns
from inference.web.crossing.change_counter import ChangeCounter
from inference.web.crossing.database_thread import StorageFailed
from inference.web.crossing.groups import announce, user_group
from inference.web.feeds.close_codes import CLOSE_SIGNED_OUT, CLOSE_TOO_LARGE
from inference.web.visibility.signed_in import signed_in

logger = logging.getLogger(__name__)

AUTHORISED_SECONDS = 10.0
"""How old the knowledge that somebody is still signed in may be."""
PATCH_SECONDS = 0.05
"""A page paints at most 20 times a second; more frames would be work for nothing."""
PATCHES_PER_SECOND = 80.0
"""Of all followers together: beyond that each gets fewer and longer ones, so that many readers don't slow the models down."""
VARIANTS_SECONDS = 0.1
ROWS_SECONDS = 0.1
VARIANTS_REFRESH_SECONDS = 30.0

_REFUSED = {
    store.NotFound: ("not_found", gettext_lazy("There is no such conversation or message.")),
    store.Busy: ("busy", gettext_lazy("An answer is still running here; wait for it or stop it first.")),
}


class ChatConsumer(AsyncWebsocketConsumer):
    """One tab."""

    async def connect(self) -> None:
        self.user_id: int | None = None
        self._shown: UUID | None = None
        self._followers: dict[UUID, asyncio.Task[None]] = {}
        self._lists: list[asyncio.Task[None]] = []
        self._rows_changed = ChangeCounter()
        await self.accept()
        user = self.scope["user"]
        if user is None or not user.is_authenticated:
            await self.close(CLOSE_SIGNED_OUT)
            return
        self.user_id = user.pk
        self._authorised_at = time.monotonic()
        await self.channel_layer.group_add(user_group(self.user_id), self.channel_name)
        self._turns = turns()
        await self._turns.feed.start()
        self._lists = [asyncio.create_task(self._follow_variants()), asyncio.create_task(self._follow_rows())]

    async def disconnect(self, code: int) -> None:
        if self.user_id is None:
            return
        await self.channel_layer.group_discard(user_group(self.user_id), self.channel_name)
        self._unfollow()
        for task in self._lists:
            task.cancel()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels does, less a hop into another thread for each message: inference.web.chat.store minds its connections."""
        await getattr(self, get_handler_name(message))(message)

    # frames in -------------------------------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        received_at = time.perf_counter()
        if self.user_id is None or not await self._authorised():
            return
        nonce = None
        try:
            if text_data is None:
                raise BadFrame("bad_message", "Expected a text frame.")
            frame = parse(text_data)
            nonce = getattr(frame, "nonce", None)
            await self._act(frame, received_at)
        except BadFrame as error:
            await self._refuse(error.code, error.detail, error.nonce)
            if error.code == "too_large":
                await self.close(CLOSE_TOO_LARGE)
        except StorageFailed as error:
            await self._refuse("storage", error.detail, nonce)
        except store.WrongPlace as error:
            await self._refuse("bad_message", str(error), nonce)
        except store.NoVariant as error:
            await self._refuse("no_variant", str(error), nonce)
        except (store.NotFound, store.Busy) as error:
            await self._refuse(*_REFUSED[type(error)], nonce)

    async def _act(self, frame: Frame, received_at: float) -> None:
        assert self.user_id is not None
        match frame:
            case Send() | Regenerate():
                await self._start(frame, received_at)
            case Open(conversation):
                await self._show(conversation)
            case Stop(message):
                if not self._turns.stop(self.user_id, message) and not await store.owns_message(self.user_id, message):
                    raise store.NotFound
            case ShowBranch(message):
                conversation = await store.show_branch(self.user_id, message)
                await self._show(conversation)
                await self._announce(conversation)
            case Rename(conversation, title):
                await store.rename(self.user_id, conversation, title)
                await self._announce(conversation, but_not_here=False)
            case Delete(conversation):
                await store.delete(self.user_id, conversation)
                self._turns.stop_conversation(self.user_id, conversation)
                if self._shown == conversation:
                    self._unfollow()
                await self._announce(None)

    async def _start(self, request: Send | Regenerate, received_at: float) -> None:
        assert self.user_id is not None
        started, turn = await self._turns.start(self.user_id, request, received_at)
        await self._send(
            {
                "type": "accepted",
                "nonce": request.nonce,
                "conversation": str(started.conversation),
                "message": str(started.answer),
            }
        )
        if turn is None:
            await self._show(started.conversation)
            return
        assert started.view is not None
        await self._follow_all(started.view, [turn])
        await self._announce(started.conversation)

    async def chat_changed(self, event: dict[str, Any]) -> None:
        """Something of this person changed, here or in another tab. See inference.web.crossing.groups.announce."""
        if not await self._authorised():
            return
        self._rows_changed.increment()
        try:
            changed = event["conversation"]
            if changed and event["origin"] != self.channel_name and changed == str(self._shown):
                await self._show(UUID(changed))
        except store.NotFound:
            self._unfollow()
        except StorageFailed as error:
            await self._refuse("storage", error.detail, None)

    async def _announce(self, conversation: UUID | None, *, but_not_here: bool = True) -> None:
        assert self.user_id is not None
        await announce(self.user_id, conversation, self.channel_name if but_not_here else None)

    async def _authorised(self) -> bool:
        """Whether the person is still signed in and allowed; closes the socket where not."""
        assert self.user_id is not None
        if time.monotonic() - self._authorised_at <= AUTHORISED_SECONDS:
            return True
        try:
            allowed = await signed_in(self.scope["session"].session_key, self.user_id)
        except StorageFailed:
            # What can't be asked was true a moment ago; nobody is thrown out because a disk is full.
            return True
        if not allowed:
            await self.close(CLOSE_SIGNED_OUT)
            # Last, because the caller may be one of the followers that this cancels.
            self._unfollow()
            return False
        self._authorised_at = time.monotonic()
        return True

    # frames out ------------------------------------------------------------------------------------------------

    async def _send(self, message: ServerMessage) -> None:
        await self.send(text_data=json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    async def _refuse(self, code: Any, detail: object, nonce: str | None) -> None:
        await self._send({"type": "error", "code": code, "detail": str(detail), "nonce": nonce})

    async def _show(self, conversation: UUID) -> None:
        """Sends the conversation as of now and follows what runs in it. Raises NotFound, StorageFailed."""
        assert self.user_id is not None
        view = await self._turns.conversation(self.user_id, conversation)
        running = [self._turns.get(UUID(each["id"])) for each in view["messages"] if each["state"] == "running"]
        await self._follow_all(view, [turn for turn in running if turn is not None])

    async def _follow_all(self, view: ConversationView, running: list[Turn]) -> None:
        """Sends `view` with the present text of the `running` turns in it, then what they say from there on."""
        self._unfollow()
        self._shown = UUID(view["id"])
        live = {str(turn.message): turn for turn in running}
        view["messages"] = [
            live[each["id"]].with_live_state(each) if each["id"] in live else each for each in view["messages"]
        ]
        cursors = [Cursor(turn) for turn in running]
        await self._send(view)
        for cursor in cursors:
            self._followers[cursor.turn.message] = asyncio.create_task(self._follow(cursor))

    def _unfollow(self) -> None:
        self._shown = None
        for follower in self._followers.values():
            follower.cancel()
        self._followers.clear()

    async def _follow(self, cursor: Cursor) -> None:
        turn = cursor.turn
        warned = False
        self._turns.followers += 1
        try:
            while True:
                await cursor.news()
                if not await self._authorised():
                    return
                if turn.unsaved is not None and not warned:
                    warned = True
                    await self._refuse("storage", turn.unsaved, None)
                if turn.over:
                    break
                await self._send(cursor.patch())
                await self._pause(turn)
        finally:
            self._turns.followers -= 1
        await self._send_final(turn)

    async def _pause(self, turn: Turn) -> None:
        """Until the next patch may go out; but nobody's first token waits.

        Followers wake together, at multiples of the interval: one interruption of the models instead of many.
        """
        loop = asyncio.get_running_loop()
        interval = max(PATCH_SECONDS, self._turns.followers / PATCHES_PER_SECOND)
        pause_seconds = interval - loop.time() % interval
        if turn.speaking.is_set():
            await asyncio.sleep(pause_seconds)
        else:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(turn.speaking.wait(), pause_seconds)

    async def _send_final(self, turn: Turn) -> None:
        try:
            view = await store.message(turn.message)
        except StorageFailed as error:
            await self._refuse("storage", error.detail, None)
            return
        if view is not None:
            await self._send({"type": "final", "view": turn.with_live_state(view)})

    async def _follow_variants(self) -> None:
        assert self.user_id is not None
        feed = self._turns.feed
        while True:
            seen = feed.changed.count
            await self._send(await self._turns.variants(self.user_id))
            await asyncio.sleep(VARIANTS_SECONDS)
            while feed.changed.count == seen:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(feed.changed.after(seen), VARIANTS_REFRESH_SECONDS)
                with suppress(StorageFailed):
                    await feed.refresh()
            if not await self._authorised():
                return

    async def _follow_rows(self) -> None:
        assert self.user_id is not None
        while True:
            seen = self._rows_changed.count
            try:
                rows = await self._turns.conversation_rows(self.user_id)
            except StorageFailed as error:
                await self._refuse("storage", error.detail, None)
            else:
                await self._send({"type": "conversations", "rows": rows})
            await self._rows_changed.after(seen)
            # Several changes make one frame, and none of them delays the first token of the turn that made it.
            await asyncio.sleep(ROWS_SECONDS)
