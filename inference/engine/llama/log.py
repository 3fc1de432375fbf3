"""llama.cpp's log, and how a load fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from inference.engine.llama import bindings as c
from inference.engine.llama.footprint import Buffers
from inference.engine.llama.log_lines import places_layer

_LOG_DEBUG, _LOG_INFO, _LOG_ERROR, _LOG_CONTINUED = 1, 2, 4, 5


class LoadFailed(Exception):
    """llama.cpp returned no model or no context. `lines` are its last error lines, oldest first."""

    def __init__(self, what: str, lines: Sequence[str]) -> None:
        super().__init__(what)
        self.what = what
        self.lines = tuple(lines)


class Log:
    """Receives llama.cpp's log: forwards it to standard error, notes buffers and recent errors.

    llama.cpp keeps one log callback per process and calls it from any thread. Whoever creates a Log keeps it alive:
    the C side would call into freed memory otherwise.
    """

    def __init__(self, descriptor: int = 2, on_text: Callable[[str], None] | None = None) -> None:
        """`on_text` gets every piece of the log, which may be less than a line. It must not raise."""
        self._on_text = on_text
        self.errors: list[str] = []
        self.buffers = Buffers()
        self._descriptor = descriptor
        self._shown = False
        self._lock = threading.Lock()
        self._callback = c.llama_log_callback(self._receive)
        c.llama_log_set(self._callback, None)

    def _receive(self, level: int, text: bytes, _context: object) -> None:
        # An exception cannot cross into C, where nobody would see it.
        if level == _LOG_DEBUG and not places_layer(text):
            self._shown = False
            return
        with self._lock:
            self._shown = self._shown if level == _LOG_CONTINUED else level >= _LOG_INFO
            if self._shown:
                with suppress(OSError):
                    os.write(self._descriptor, text)
            line = text.decode("utf-8", "replace").strip()
            if level == _LOG_ERROR and line:
                self.errors = [*self.errors[-7:], line]
            self.buffers.note(line)
            if self._on_text is not None:
                self._on_text(text.decode("utf-8", "replace"))
