"""One repository, and what its pages say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.test import AsyncClient

if TYPE_CHECKING:
    from django.contrib.auth.models import User

NAME = "owner/Tiny-GGUF"
URL = "/models/hub/owner/Tiny-GGUF/"
PLANS = f"{URL}plans.ndjson"
DOWNLOAD = f"{URL}download/"


async def lines_of(user: User, **query: Any) -> list[dict[str, Any]]:
    client = AsyncClient()
    await client.aforce_login(user)
    response: Any = await client.get(PLANS, query)  # a stream or not
    if not response.streaming:
        return [json.loads(response.content)]
    body = b"".join([chunk async for chunk in response.streaming_content])
    return [json.loads(line) for line in body.splitlines()]


def by_key(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["key"]: line for line in lines if line["type"] == "plan"}
