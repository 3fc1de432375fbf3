"""One file's way here: from where its `.part` ends to its own name, or to the quarantine. Blocks; runs in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from models_app.hub.errors import Unreachable
from models_app.hub.names import RemoteFile
from models_app.intake.part import Part, digest_of
from models_app.intake.rate_limiter import RateLimiter
from models_app.intake.source import Body, OpenFile
from models_app.units import format_bytes

LEAST_PROGRESS_BYTES = 64 * 1024
"""A connection that brought this much before it broke is followed by another at once; after less, somebody has to wait."""

LIMIT_LOOK_SECONDS = 0.5
"""A limit may be set anew while it is waited for."""


class Stopped(Exception):
    """The attempt is being stopped."""


class Mismatch(Exception):
    """The bytes are not those of the Hub's record. `where` they are kept now."""

    def __init__(self, file: RemoteFile, sha256: str, where: Path) -> None:
        super().__init__(file.path)
        self.file = file
        self.sha256 = sha256
        self.where = where


class NotAsRecorded(Exception):
    """What the server sends cannot be the file of the Hub's record. `reason` is a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EmptyBody(Exception):
    """A connection for the file at `path` of the repository was opened, and ended well, without a byte."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class TargetExists(Exception):
    """Another file lies where this one is to go."""

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self.target = target


class Fetch:
    """`done_bytes`, `is_reading` and, once it has ended, `error` are read by the thread that started it."""

    def __init__(
        self,
        file: RemoteFile,
        target: Path,
        open_: OpenFile,
        *,
        trusted_bytes: int,
        limit: RateLimiter,
        stopping: threading.Event,
        ended: Callable[[], None],
    ) -> None:
        self.file = file
        self.target = target
        self.done_bytes = 0
        self.is_reading = False
        """What is there already is being hashed."""
        self.is_done = False
        self.error: Exception | None = None
        self._open = open_
        self._trusted_bytes = min(trusted_bytes, file.size_bytes)
        self._limit = limit
        self._stopping = stopping
        self._ended = ended
        self._body: Body | None = None
        self._part: Part | None = None
        self._thread = threading.Thread(target=self._run, name=f"fetch {target.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def abort(self) -> None:
        """Wakes it where it waits for the network. `stopping` is set."""
        if (body := self._body) is not None:
            body.abort()

    def join(self, seconds: float) -> bool:
        """Whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def sync(self) -> int | None:
        """Bytes that a loss of power does not take; None: nothing new is known of them. Called by the thread that started it."""
        if self.is_done:
            return self.file.size_bytes
        return self._part.sync() if self._part is not None and not self.is_reading else None

    # its own thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._fetch()
        except Exception as error:
            self.error = error
        finally:
            self._body = None
            self._ended()

    def _fetch(self) -> None:
        if self.target.exists():
            self._recognise()
        else:
            part = self._part = Part.open(self.target)
            try:
                self._grow(part)
                self._judge(part)
            finally:
                part.close()
        self.done_bytes, self.is_done = self.file.size_bytes, True

    def _recognise(self) -> None:
        """An attempt that died right after its last step left the whole file."""
        self.is_reading = True
        if self.target.stat().st_size != self.file.size_bytes or digest_of(self.target, self._tick) != self.file.sha256:
            raise TargetExists(self.target)
        self.is_reading = False

    def _tick(self, done_bytes: int) -> None:
        self.done_bytes = done_bytes
        if self._stopping.is_set():
            raise Stopped

    def _grow(self, part: Part) -> None:
        self.is_reading = True
        part.resume(self._trusted_bytes, self._tick)
        self.is_reading = False
        while part.size_bytes < self.file.size_bytes:
            before = part.size_bytes
            try:
                self._stream(part)
            except Unreachable:
                if part.size_bytes - before < LEAST_PROGRESS_BYTES:
                    raise
            if part.size_bytes <= before:
                raise EmptyBody(self.file.path)

    def _stream(self, part: Part) -> None:
        self._tick(part.size_bytes)
        with self._open(self.file.path, part.size_bytes) as body:
            self._body = body
            if body.size_bytes not in (None, self.file.size_bytes):
                raise NotAsRecorded(
                    f"The server says that {self.file.path} has {body.size_bytes} bytes; the Hub's record says "
                    f"{self.file.size_bytes}. Try again later; if it stays so, the repository is broken."
                )
            if body.start != part.size_bytes:
                part.restart()
            for block in body.chunks:
                self._wait_for(self._limit.take(len(block)), part)
                if part.size_bytes + len(block) > self.file.size_bytes:
                    raise NotAsRecorded(
                        f"The server sends more of {self.file.path} than {format_bytes(self.file.size_bytes)}."
                    )
                part.write(block)
                self.done_bytes = part.size_bytes
            self._tick(part.size_bytes)

    def _wait_for(self, ticket: float, part: Part) -> None:
        self._tick(part.size_bytes)
        while wait_seconds := self._limit.seconds_until(ticket):
            self._stopping.wait(min(wait_seconds, LIMIT_LOOK_SECONDS))
            self._tick(part.size_bytes)

    def _judge(self, part: Part) -> None:
        if part.sha256 != self.file.sha256:
            raise Mismatch(self.file, part.sha256, part.quarantine())
        part.finish()
