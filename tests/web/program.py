"""One program with a bearer key on /v1, through Django's own client and the whole middleware."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.test import AsyncClient

from hostui.accounts.models import ApiKey

DEADLINE_SECONDS = 10.0
HELLO: dict[str, Any] = {"model": "smol", "messages": [{"role": "user", "content": "Hello"}]}


class Program:
    def __init__(self, key: str) -> None:
        self._client = AsyncClient()
        self._headers = {"Authorization": f"Bearer {key}"}

    @classmethod
    async def of(cls, user: User) -> Program:
        _row, key = await sync_to_async(ApiKey.issue)(user, "test")
        return cls(key)

    async def get(self, path: str) -> Any:
        return await self._client.get(f"/v1/{path}", headers=self._headers)

    async def post(self, path: str, body: Any, **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self._client.post(
            f"/v1/{path}", content, content_type="application/json", headers={**self._headers, **headers}
        )

    def ask(self, path: str = "chat/completions", **fields: Any) -> asyncio.Task[Any]:
        """Posts without waiting for the answer, so that the test can play the worker."""
        body = fields if path == "completions" else {**HELLO, **fields}
        return asyncio.create_task(self.post(path, body))


async def events(response: HttpResponseBase) -> AsyncIterator[Any]:
    """The payloads of a stream of server-sent events; comments as strings, the end as "[DONE]"."""
    assert response.headers["Content-Type"].startswith("text/event-stream")
    rest = b""
    async for part in response.streaming_content:  # type: ignore[attr-defined]
        *whole, rest = (rest + part).split(b"\n\n")
        for event in whole:
            if event.startswith(b":"):
                yield event.decode()
                continue
            assert event.startswith(b"data: ")
            payload = event[len(b"data: ") :].decode()
            yield payload if payload == "[DONE]" else json.loads(payload)
    assert rest == b""
