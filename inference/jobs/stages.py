"""What a job that takes leases does now, as facts in its row: words are made for each reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, cast

from inference.core.scheduling.reasons import ForEviction, ForLoading, InQueue, Wait
from inference.engine.protocol import BadMessage
from inference.host.api.messages import Evicting, LeaseLoading, Queued
from inference.host.api.wire import read_as, to_json
from models_app.models import Variant

WAITING = "Waiting"
READING = "Reading"


class NamedVariant(TypedDict):
    """As it was called then: it may be renamed or deleted by the time of reading."""

    variant_id: int
    name: str


class LeaseStage(TypedDict):
    """`waiting` for a lease of the variant, or `reading` with it."""

    kind: Literal["waiting", "reading"]
    variant: NamedVariant
    wait: dict[str, Any] | None
    """A core.scheduling.reasons.Wait as it travels. None: the host has not answered yet, or there is nothing to wait for any more."""


def waiting(variant: Variant, event: Queued | Evicting | LeaseLoading | None = None) -> LeaseStage:
    return {"kind": "waiting", "variant": _named(variant), "wait": None if event is None else _wait(event)}


def reading(variant: Variant) -> LeaseStage:
    return {"kind": "reading", "variant": _named(variant), "wait": None}


def lease_stage(about: Mapping[str, Any] | None) -> LeaseStage | None:
    """The stage that a row keeps; None where it is about no lease."""
    return None if about is None or about.get("kind") not in ("waiting", "reading") else cast(LeaseStage, about)


def wait_of(stage: LeaseStage) -> Wait | None:
    """What it waits for; None where that is not known, or was written by another version."""
    try:
        return None if stage["wait"] is None else read_as(cast(Any, Wait), stage["wait"])
    except BadMessage:
        return None


def _wait(event: Queued | Evicting | LeaseLoading) -> dict[str, Any]:
    match event["type"]:
        case "queued":
            return to_json(InQueue(event["position"], event["reason"]))
        case "evicting":
            return to_json(ForEviction(tuple(event["variants"])))
        case "loading":
            return to_json(ForLoading(event["fraction"]))


def _named(variant: Variant) -> NamedVariant:
    return {"variant_id": variant.pk, "name": variant.name}
