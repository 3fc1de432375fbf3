"""Why a request got no answer, or only part of one: facts, which each door words for whoever reads there."""

from __future__ import annotations

from typing import ClassVar, Literal

from inference.host.api.client import HostRefusal, WorkerRefusal

Finish = Literal["stop", "length", "cancelled", "refused", "worker_lost", "host_away", "failed"]
"""How a request ended: the first two as the worker says it; `cancelled`: stopped, or its client went away; `failed`: by our fault."""


class Refusal(Exception):
    """The request is over without a `done`. What was heard until then is all there is."""

    finish: ClassVar[Finish] = "refused"


class RefusedByHost(Refusal):
    """The host won't load the variant, now or at all."""

    def __init__(self, refusal: HostRefusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class RefusedByWorker(Refusal):
    """The worker won't answer this prompt with these options. It lives on."""

    def __init__(self, refusal: WorkerRefusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class NoChatTemplate(Refusal):
    """Messages were sent to a variant that only goes on with a text."""

    def __init__(self, variant_id: int) -> None:
        super().__init__(f"variant {variant_id} has no chat template")
        self.variant_id = variant_id


class WorkerGone(Refusal):
    """The worker's process ended before the answer did. Nothing is asked again: the prompt may be what killed it."""

    finish = "worker_lost"


class HostStayedAway(Refusal):
    """No host answered for as long as the request had patience; 0 seconds where it had none."""

    finish = "host_away"

    def __init__(self, waited_seconds: float) -> None:
        super().__init__(f"no host answered within {waited_seconds:g} s")
        self.waited_seconds = waited_seconds
