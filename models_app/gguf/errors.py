from __future__ import annotations


class BadGguf(ValueError):
    """A file is not a GGUF that llama.cpp could load.

    `reason` is a phrase for a person, without a full stop; `offset` is the byte where the parser stood.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason, offset)
        self.reason = reason
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.reason} (at byte {self.offset})" if self.offset else self.reason
