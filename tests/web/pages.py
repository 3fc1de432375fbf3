"""What tests read and do on pages."""

from __future__ import annotations

import json
import re
from typing import Any

from django.contrib.auth.models import User
from django.test import AsyncClient


def text_of(response: Any) -> str:
    """What a person reads: without tags, spaces run together."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


async def signed_in(user: User) -> AsyncClient:
    client = AsyncClient()
    await client.aforce_login(user)
    return client


def payload(page: str, name: str) -> Any:
    match = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return json.loads(match[1])
