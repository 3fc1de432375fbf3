"""Who used what: one record for each request, however it ended. Logged, and passed to whoever subscribed in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from inference.answering.events import AnswerEvent
from inference.answering.refusals import Finish
from inference.answering.request import AnswerRequest, Door
from inference.core.loads.vocabulary import LeaseKind

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One request, from when it was made until it was over."""

    request_id: str
    door: Door
    user_id: int
    key_id: int | None
    """Of the API key; None for a person at the page."""
    variant_id: int
    kind: LeaseKind
    finish: Finish
    n_prompt: int | None
    """Tokens of the prompt that were evaluated or reused; None where the worker never said."""
    n_cached: int | None
    """Of these, the reused ones."""
    n_generated: int
    seconds: float
    """All of it, the waiting too."""
    waited_seconds: float | None
    """Of these, until the variant was ready; None where it never was."""


Observer = Callable[[UsageRecord], None]

_observers: list[Observer] = []


def subscribe(observer: Observer) -> Callable[[], None]:
    """Passes every request that ends from now on in this process to `observer`; returns what ends that.

    It is called in the event loop and must not block; what it raises is logged and harms nobody.
    """
    _observers.append(observer)
    return lambda: _observers.remove(observer)


def record(usage: UsageRecord) -> None:
    """The one place where a request that is over becomes known. Raises nothing."""
    logger.info("answered", extra=asdict(usage))
    for observer in _observers.copy():
        _tell(observer, usage)


def _tell(observer: Observer, usage: UsageRecord) -> None:
    try:
        observer(usage)
    except Exception:
        logger.exception("an observer of usage failed", extra={"request_id": usage.request_id})


class Meter:
    """Counts one request while it runs."""

    def __init__(self, request: AnswerRequest) -> None:
        self._request = request
        self._began_at = time.perf_counter()
        self._ready_at: float | None = None
        self._n_prompt: int | None = None
        self._n_cached: int | None = None
        self._n_generated = 0
        self.finish: Finish = "cancelled"
        """What the record would say if the request ended now: whoever goes away says nothing."""

    def count(self, event: AnswerEvent) -> None:
        match event["type"]:
            case "token":
                self._n_generated = event["n"]
            case "prefill":
                self._n_prompt, self._n_cached = event["done"], event["cached"]
            case "variant_ready":
                self._ready_at = time.perf_counter()
            case "done":
                timings = event["timings"]
                self._n_prompt, self._n_cached = timings["prompt_n"] + timings["cache_n"], timings["cache_n"]
                self._n_generated = timings["predicted_n"]
                self.finish = event["reason"]

    def usage(self) -> UsageRecord:
        request, now = self._request, time.perf_counter()
        return UsageRecord(
            request_id=request.request_id,
            door=request.door,
            user_id=request.requester.user_id,
            key_id=request.requester.key_id,
            variant_id=request.variant_id,
            kind=request.kind,
            finish=self.finish,
            n_prompt=self._n_prompt,
            n_cached=self._n_cached,
            n_generated=self._n_generated,
            seconds=now - self._began_at,
            waited_seconds=None if self._ready_at is None else self._ready_at - self._began_at,
        )
