"""All running answers of this web process: started, followed, stored once a second, and settled when they end."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.conf import settings

from inference.host.api.client import HostClient
from inference.web.chat import store
from inference.web.chat.frames import Regenerate, Send
from inference.web.chat.protocol import ConversationRow, ConversationView, MessageView, Variants
from inference.web.chat.residency_feed import ResidencyFeed
from inference.web.chat.store import StartedTurn
from inference.web.chat.turn import INTERRUPTED, STOPPED, Turn
from inference.web.crossing.database_thread import StorageFailed
from inference.web.crossing.groups import announce
from inference.web.visibility.offered import NOTHING, access_of

logger = logging.getLogger(__name__)

PERSIST_SECONDS = 0.9
"""A crash of this process loses less than a second of text."""
MOST_RUNNING_PER_PERSON = 32
SETTLE_SECONDS = 5.0
"""How long a shutdown waits for the last texts to be stored."""

T = TypeVar("T")


def interrupt_orphans() -> int:
    """Marks what a web process that is gone left running as interrupted; returns how many. Blocks.

    For the one web process of a database, which holds the data folder's lock and does not listen yet: then no turn runs anywhere.
    A second web process on the same database (another box's, on a shared PostgreSQL) would have its running answers marked too.
    """
    return store.interrupt_running(INTERRUPTED.error_code, INTERRUPTED.error_detail)


class Turns:
    """The one owner of running turns. Lives in one event loop."""

    def __init__(self, client: HostClient) -> None:
        self.client = client
        self.feed = ResidencyFeed(client)
        self._turns: dict[UUID, Turn] = {}
        """By message, from before they are stored until their last word is."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._shut = False
        self.followers = 0
        """Followers of running answers, in all tabs."""

    async def variants(self, user_id: int) -> Variants:
        """What this person can pick, and what of it is in memory. Where the database fails to say, what everybody can."""
        if not self.feed.is_restricted:
            return self.feed.variants
        try:
            return self.feed.variants_for(await access_of(user_id))
        except StorageFailed:
            return self.feed.variants_for(NOTHING)

    # start and end ---------------------------------------------------------------------------------------------

    async def start(
        self, user_id: int, request: Send | Regenerate, received_at: float | None = None
    ) -> tuple[StartedTurn, Turn | None]:
        """Stores the turn and starts it; or finds the one that the same nonce started: then there is no Turn to return.

        Raises what store.start_turn raises; then no turn runs. A caller that is cancelled leaves a turn that is stored and runs.
        """
        if self.feed.is_restricted and not self.feed.may_use(await access_of(user_id), request.variant):
            raise store.NoVariant(store.NOT_YOURS)
        if self._shut or sum(turn.user_id == user_id for turn in self._turns.values()) >= MOST_RUNNING_PER_PERSON:
            raise store.Busy
        turn = Turn(
            message=uuid4(),
            user_id=user_id,
            variant=request.variant,
            received_at=received_at,
            visibility=self.feed.naming(request.variant),
        )
        return await asyncio.shield(self._spawn(self._start(turn, request), f"start {turn.message}"))

    async def _start(self, turn: Turn, request: Send | Regenerate) -> tuple[StartedTurn, Turn | None]:
        # The variant is asked for while the database writes; the prompt goes out only when it has written.
        self._turns[turn.message] = turn
        turn.start(self.client, self.feed)
        try:
            started = await store.start_turn(turn.user_id, request, turn.message)
        except BaseException:
            self._abandon(turn)
            raise
        if started.repeated:
            self._abandon(turn)
            return started, None
        turn.stored(started)
        logger.info(
            "turn started",
            extra={"request_id": str(turn.message), "user_id": turn.user_id, "variant_id": request.variant},
        )
        self._spawn(self._finish(turn), f"finish {turn.message}")
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep(), name="persist turns")
        return started, turn

    def _abandon(self, turn: Turn) -> None:
        turn.cut(STOPPED)
        del self._turns[turn.message]
        self._spawn(turn.outcome(), f"abandon {turn.message}")

    async def _finish(self, turn: Turn) -> None:
        turn.settle(await turn.outcome())
        assert turn.ending is not None
        await self._persist([turn])
        turn.close()
        logger.info(
            "turn ended",
            extra={
                "request_id": str(turn.message),
                "state": turn.ending.state.value,
                "error_code": turn.ending.error_code or None,
                "n_tokens": turn.n_tokens,
                **(turn.ending.timings or {}),
            },
        )
        await announce(turn.user_id)

    def stop(self, user_id: int, message: UUID) -> bool:
        """Ends that running answer, where it is that person's; says whether it is."""
        turn = self._turns.get(message)
        if turn is None or turn.user_id != user_id:
            return False
        turn.cut(STOPPED)
        return True

    def stop_conversation(self, user_id: int, conversation: UUID) -> None:
        for turn in self.in_conversation(conversation):
            self.stop(user_id, turn.message)

    async def shutdown(self) -> None:
        """Ends and stores every running answer as interrupted. Afterwards nothing starts any more."""
        self._shut = True
        for turn in list(self._turns.values()):
            turn.cut(INTERRUPTED)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=SETTLE_SECONDS)
        if self._keeping is not None:
            self._keeping.cancel()
        await self.feed.stop()

    def _spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # storing ---------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        stored: dict[UUID, int] = {}
        while self._turns:
            await asyncio.sleep(PERSIST_SECONDS)
            behind = [turn for turn in self._turns.values() if self._is_behind(turn, stored.get(turn.message))]
            if behind:
                counts = {turn.message: turn.n_tokens for turn in behind}
                await self._persist(behind)
                stored.update(counts)
            stored = {key: count for key, count in stored.items() if key in self._turns}

    def _is_behind(self, turn: Turn, n_stored: int | None) -> bool:
        if turn.conversation is None:
            return False
        return turn.unsaved is not None or (turn.ending is None and turn.n_tokens != n_stored)

    async def _persist(self, turns: Iterable[Turn]) -> None:
        """Stores what these turns have said; where that fails, `_keep` tries again until it works."""
        written = [(turn, turn.progress()) for turn in turns]
        try:
            lost = await store.persist([progress for _turn, progress in written])
        except StorageFailed as error:
            for turn, _progress in written:
                if turn.unsaved is None:
                    turn.unsaved = error.detail
                    turn.changed.increment()
            return
        for turn, progress in written:
            turn.unsaved = None
            if progress.ending is not None:
                self._turns.pop(turn.message, None)
            elif turn.message in lost:
                turn.cut(STOPPED)

    # looking ---------------------------------------------------------------------------------------------------

    def get(self, message: UUID) -> Turn | None:
        return self._turns.get(message)

    def in_conversation(self, conversation: UUID) -> list[Turn]:
        return [turn for turn in self._turns.values() if turn.conversation == conversation]

    def with_live_state(self, view: MessageView) -> MessageView:
        turn = self._turns.get(UUID(view["id"]))
        return view if turn is None else turn.with_live_state(view)

    async def conversation(self, user_id: int, pk: UUID) -> ConversationView:
        """The shown branch as of now, running answers at their present length. Raises NotFound, StorageFailed."""
        view = await store.conversation(user_id, pk)
        if any(each["state"] == "running" and UUID(each["id"]) not in self._turns for each in view["messages"]):
            # It ended between the read and now, and was stored before it left: what is read now is its last form.
            view = await store.conversation(user_id, pk)
        view["messages"] = [self.with_live_state(each) for each in view["messages"]]
        return view

    async def conversation_rows(self, user_id: int) -> list[ConversationRow]:
        rows = await store.conversation_rows(user_id)
        running = {str(turn.conversation) for turn in self._turns.values() if turn.ending is None}
        return [{**row, "running": row["id"] in running} for row in rows]


_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = weakref.WeakKeyDictionary()


def turns() -> Turns:
    """The turns of the running event loop: a web process has one."""
    loop = asyncio.get_running_loop()
    found = _by_loop.get(loop)
    if found is None:
        found = _by_loop[loop] = Turns(HostClient(settings.HOST_SOCKET))
    return found


async def shutdown() -> None:
    """Stores every running answer as interrupted; for the end of the web process. Takes at most about five seconds."""
    if (found := _by_loop.get(asyncio.get_running_loop())) is not None:
        await found.shutdown()
    await store.close_connections()
