"""One request, read by a task so that the test can play host and worker meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from inference.answering.answer import answer
from inference.answering.events import AnswerEvent
from inference.answering.owner import Requester
from inference.answering.patience import HostPresence
from inference.answering.request import AnswerRequest, Messages
from inference.core.decoding.generation_options import GenerationOptions
from inference.host.api.client import HostClient
from tests.web.fake_host import FakeHost

OPTIONS = GenerationOptions.from_json({})
HELLO = Messages([{"role": "user", "content": "Hello"}], OPTIONS)


def request(**changed: Any) -> AnswerRequest:
    fields: dict[str, Any] = {
        "request_id": "r1",
        "door": "v1",
        "requester": Requester(7, key_id=3),
        "variant_id": 5,
        "prompt": HELLO,
    }
    return AnswerRequest(**{**fields, **changed})


class Asking:
    """Reads a request's events to their end."""

    def __init__(self, host: FakeHost, asked: AnswerRequest, presence: HostPresence | None = None) -> None:
        self.events: list[AnswerEvent] = []
        self._generator = answer(HostClient(str(host.path)), asked, presence)
        self._heard = asyncio.Condition()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self._generator:
            async with self._heard:
                self.events.append(event)
                self._heard.notify_all()

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def heard(self, kind: str) -> None:
        """Returns when an event of that type was read."""
        async with self._heard:
            await asyncio.wait_for(self._heard.wait_for(lambda: kind in self.kinds), 10)

    async def end(self) -> None:
        """Waits for the end; raises what the request raises."""
        await asyncio.wait_for(self._task, 10)

    async def cancel(self) -> None:
        """As when whoever reads is cancelled in the middle of its wait."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
