"""A job's lease: waiting for it, and what the host and its workers say as an attempt's end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from inference.core.scheduling.refusals import mentioned
from inference.host.api.client import HostRefusal, HostUnavailable, Lease, WorkerLost, WorkerRefusal
from inference.host.api.messages import Evicting, LeaseLoading, Queued
from inference.wording import names, refusals
from models_app.jobs import Attempt, JobFailed, Retry, Wait
from models_app.models import Variant

AWAY_SECONDS = 10.0
FULL_DISK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A step of the wait for the lease, as the host tells it."""

    event: Queued | Evicting | LeaseLoading


async def waited(lease: Lease) -> AsyncGenerator[Waiting, None]:
    """Ends when the variant is ready. Raises as `Lease.waiting`."""
    async with aclosing(lease.waiting()) as waiting:
        async for event in waiting:
            yield Waiting(event)


def _refused(refusal: HostRefusal) -> str:
    """With every name: it is kept from those who may not know them all (models_app.jobs.mentions)."""
    return refusals.sentence(
        refusal.facts, refusal.resident_id, names.among(dict(Variant.objects.values_list("pk", "name")))
    )


@contextmanager
def ended_by_the_host(attempt: Attempt) -> Iterator[None]:
    """What the host's client raises inside becomes Wait, Retry or JobFailed."""
    try:
        yield
    except HostUnavailable:
        raise Wait("The model host does not answer. It goes on when it does.", AWAY_SECONDS) from None
    except HostRefusal as refusal:
        named = (*mentioned(refusal.facts), *(() if refusal.resident_id is None else (refusal.resident_id,)))
        attempt.mention(*(each.variant_id for each in named))
        if refusal.code in ("shutting_down", "unloaded", "storage"):
            raise Wait(_refused(refusal), AWAY_SECONDS) from None
        raise JobFailed(_refused(refusal)) from None
    except WorkerLost as lost:
        raise Retry(f"The model's worker ended in the middle: {lost}.") from None
    except WorkerRefusal as refusal:
        raise JobFailed(f"The model's worker refused: {refusal.detail}.") from None
