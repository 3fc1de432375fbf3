"""Pages: parse, ask, present. Their first paint is made of the same payloads as the chat socket's frames."""

from __future__ import annotations
