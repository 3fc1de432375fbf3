"""One browser tab on the chat socket, through Channels' own communicator and the real session and user middleware."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.test import AsyncClient

from inference.web.routing import websocket_urlpatterns

if TYPE_CHECKING:
    from models_app.models import Variant
    from tests.web.fake_host import FakeHost, Line

application = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
DEADLINE_SECONDS = 10.0
OpenTab = Callable[[User], Coroutine[Any, Any, "Tab"]]


async def session_cookie(user: User) -> bytes:
    client = AsyncClient()
    await client.aforce_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}".encode()


class Tab:
    """Frames that a test does not ask for by type stay readable in `seen`."""

    def __init__(self, cookie: bytes | None, path: str = "/ws/chat/") -> None:
        headers = [(b"cookie", cookie)] if cookie else []
        self._socket = WebsocketCommunicator(application, path, headers)
        self.seen: list[dict[str, Any]] = []

    async def connect(self) -> Tab:
        accepted, _code = await self._socket.connect(DEADLINE_SECONDS)
        assert accepted
        return self

    async def close(self) -> None:
        await self._socket.disconnect()

    async def say(self, **message: Any) -> None:
        await self._socket.send_to(text_data=json.dumps(message))

    async def say_text(self, text: str) -> None:
        # Not send_to, which takes no empty text.
        await self._socket.send_input({"type": "websocket.receive", "text": text})

    async def say_bytes(self, payload: bytes) -> None:
        await self._socket.send_to(bytes_data=payload)

    async def frame(self) -> dict[str, Any]:
        """The next frame, whatever it is."""
        frame = json.loads(await self._socket.receive_from(DEADLINE_SECONDS))
        self.seen.append(frame)
        return frame

    async def hear(self, kind: str, **facts: Any) -> dict[str, Any]:
        """The next frame of this type with these values; others go by."""
        while True:
            frame = await self.frame()
            if frame["type"] == kind and all(frame.get(name) == value for name, value in facts.items()):
                return frame

    async def closed(self) -> int:
        """The code that the server closes with; frames before it go by."""
        while True:
            output = await self._socket.receive_output(DEADLINE_SECONDS)
            if output["type"] == "websocket.close":
                return int(output["code"])

    async def send(self, text: str, variant: int, nonce: str = "n1", **fields: Any) -> dict[str, Any]:
        """Asks, and returns the `accepted` frame."""
        await self.ask(text, variant, nonce, **fields)
        return await self.hear("accepted", nonce=nonce)

    async def ask(self, text: str, variant: int, nonce: str = "n1", **fields: Any) -> None:
        await self.say(
            **{
                "type": "send",
                "nonce": nonce,
                "conversation": None,
                "parent": None,
                "text": text,
                "variant": variant,
                **fields,
            }
        )

    async def said(self, message: str, text: str) -> list[dict[str, Any]]:
        """Reads patches of this message until they add up to `text`; returns them."""
        patches: list[dict[str, Any]] = []
        content = ""
        while content != text:
            patch = await self.hear("patch", message=message)
            patches.append(patch)
            content = _units(content)[: 2 * patch["at"]].decode("utf-16-le") + patch["content"]
            assert text.startswith(content), f"{content!r} is not how {text!r} begins"
        return patches


async def asked(tab: Tab, host: FakeHost, variant: Variant) -> tuple[dict[str, Any], Line, Line]:
    """Asks "Hello": the `accepted` frame, the lease, and the generation, which has said nothing yet."""
    accepted = await tab.send("Hello", variant.pk)
    lease, generation = await host.lease()
    return accepted, lease, generation


def _units(text: str) -> bytes:
    return text.encode("utf-16-le")
