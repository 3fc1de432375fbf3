"""What a job that takes leases is about at the moment, as it stands in the job's row: facts, for whoever words them for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, cast

from inference.host.api.messages import Evicting, LeaseLoading, Mention, Queued, WaitReason
from models_app.models import Variant

WAITING = "Waiting"
READING = "Reading"


class LeaseWait(TypedDict):
    """What for. `position` and `why` of one that is `queued`."""

    type: Literal["queued", "evicting", "loading"]
    position: int | None
    why: WaitReason | None
    mentions: list[Mention]
    """Whom `why` speaks of, by their names of then."""


class LeaseStage(TypedDict):
    """`waiting` for a lease of the variant, or `reading` with it."""

    kind: Literal["waiting", "reading"]
    variant: Mention
    wait: LeaseWait | None
    """None: the host has not answered yet, or there is nothing to wait for any more."""


def waiting(variant: Variant, event: Queued | Evicting | LeaseLoading | None = None) -> LeaseStage:
    return {"kind": "waiting", "variant": _mention(variant), "wait": None if event is None else _wait(event)}


def reading(variant: Variant) -> LeaseStage:
    return {"kind": "reading", "variant": _mention(variant), "wait": None}


def lease_stage(about: Mapping[str, Any] | None) -> LeaseStage | None:
    """Of what a row keeps; None where its stage is about no lease."""
    return None if about is None or about.get("kind") not in ("waiting", "reading") else cast(LeaseStage, about)


def _wait(event: Queued | Evicting | LeaseLoading) -> LeaseWait:
    if event["type"] == "queued":
        position, why, mentions = event["position"], event["why"], event["mentions"]
        return {"type": "queued", "position": position, "why": why, "mentions": mentions}
    return {"type": event["type"], "position": None, "why": None, "mentions": []}


def _mention(variant: Variant) -> Mention:
    return {"variant_id": variant.pk, "name": variant.name}
