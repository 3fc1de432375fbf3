"""What a chat page sends: the WebSocket's opening handshake with a session cookie, and a `send` frame."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from typing import Any
from uuid import uuid4

from inference.core.decoding.generation_options import GenerationOptions
from tests.bench.box import Person

OPENING_ENDS = (r'"type":\s*"conversations"', r'"type":\s*"variants"')
"""What the server says by itself to a page that has connected."""


def handshake(address: str, person: Person) -> bytes:
    key = b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws/chat/ HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {person.cookie}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def text_frame(message: dict[str, Any]) -> bytes:
    """One unfragmented text frame, masked as a client's must be (RFC 6455 §5.3)."""
    payload = json.dumps(message).encode()
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    if len(payload) < 126:
        head = bytes([0x81, 0x80 | len(payload)])
    else:
        head = bytes([0x81, 0x80 | 126]) + len(payload).to_bytes(2, "big")
    return head + mask + masked


def send(text: str, *, variant: int, options: GenerationOptions) -> bytes:
    """Starts a conversation with this message."""
    defaults = GenerationOptions().to_json()
    chosen = {name: value for name, value in options.to_json().items() if value != defaults[name]}
    return text_frame(
        {
            "type": "send",
            "nonce": uuid4().hex,
            "conversation": None,
            "parent": None,
            "text": text,
            "variant": variant,
            "options": chosen,
        }
    )
