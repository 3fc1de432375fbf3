"""What the test Hub can do wrong, and when. A fault names the requests it is for and how often it strikes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeVar

Where = Literal["any", "account", "search", "repository", "tree", "resolve", "cdn"]
"""The kinds of requests: whose a token is, searching, a repository's facts, its file list, a file's address, a file's bytes."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    where: Where = "any"
    path: str = "*"
    """A shell pattern for the file's path in its repository, or for the repository's name where no file is asked for."""
    times: int | None = 1
    """How often; None: until it is taken back."""

    def is_for(self, where: str, path: str) -> bool:
        return self.where in ("any", where) and fnmatchcase(path, self.path)


@dataclass(frozen=True, kw_only=True)
class Latency(Fault):
    """Every answer comes that much later."""

    seconds: float
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class TooManyRequests(Fault):
    """429, with Retry-After, or with the RateLimit header that the Hub sends, if a number is given."""

    retry_after_seconds: int | None = None
    reset_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class ServerError(Fault):
    status: int = 503


@dataclass(frozen=True, kw_only=True)
class CaptivePortal(Fault):
    """200 and an HTML page, whatever was asked for: what a hotel's network answers."""


@dataclass(frozen=True, kw_only=True)
class Redirect(Fault):
    """302 to an address of the test's choosing."""

    to: str


@dataclass(frozen=True, kw_only=True)
class Cut(Fault):
    """The connection ends after that many bytes of the body."""

    where: Where = "cdn"
    after_bytes: int


@dataclass(frozen=True, kw_only=True)
class Stall(Fault):
    """Nothing more comes after that many bytes of the body, until the test calls `faults.go_on()`."""

    where: Where = "cdn"
    after_bytes: int


@dataclass(frozen=True, kw_only=True)
class Slow(Fault):
    """The body comes in pieces, at about that rate."""

    where: Where = "cdn"
    bytes_per_second: float
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class WrongBytes(Fault):
    """The byte at that offset of the file is another one, in every answer that covers it."""

    where: Where = "cdn"
    at: int
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class NoRanges(Fault):
    """Range headers are ignored: the whole file comes, with 200."""

    where: Where = "cdn"
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class WrongSize(Fault):
    """The record (file list, HEAD) says that many bytes more, or less, than there are."""

    delta_bytes: int
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class WrongDigest(Fault):
    """The record (file list, HEAD) says another SHA-256."""

    sha256: str = "0" * 64
    times: int | None = None


F = TypeVar("F", bound=Fault)


class Faults:
    """Those in force. Shared by the test and the server's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int | None]] = []
        self._go_on = threading.Event()
        self._closed = threading.Event()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._left += [(fault, fault.times) for fault in faults]

    @contextmanager
    def during(self, *faults: Fault) -> Iterator[None]:
        self.add(*faults)
        try:
            yield
        finally:
            with self._lock:
                self._left = [(fault, left) for fault, left in self._left if fault not in faults]

    def clear(self) -> None:
        """Takes back all, and lets what stalls go on."""
        with self._lock:
            self._left.clear()
            stalled, self._go_on = self._go_on, threading.Event()
        stalled.set()

    def close(self) -> None:
        """As `clear`, and nothing waits from now on."""
        self.clear()
        self._closed.set()
        self.go_on()

    def take(self, kind: type[F], where: str, path: str) -> F | None:
        """The first fault of that kind for such a request, counted as having struck."""
        with self._lock:
            for index, (fault, left) in enumerate(self._left):
                if isinstance(fault, kind) and fault.is_for(where, path):
                    if left is not None:
                        self._left[index] = (fault, left - 1)
                        if left == 1:
                            del self._left[index]
                    return fault
        return None

    def go_on(self) -> None:
        """Ends the stalls that wait now, and those to come until `clear`."""
        self._go_on.set()

    def wait_to_go_on(self) -> None:
        self._go_on.wait()

    def wait(self, seconds: float) -> None:
        """Blocks that long; shorter only when the server ends."""
        self._closed.wait(seconds)
