"""What `/ws/host/` says: the host's telemetry in figures and in sentences, worded for whoever looks. Pure.

First one BrowserBacklog, then a BrowserDelta a second. Each carries the whole present state, which is small, and what only grows
(samples, decisions) as far as it is new. Nothing here names a request or shows what anybody wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict, overload

from inference.core.loads.purposes import Purpose
from inference.core.scheduling.decisions import DecisionKind, Failed, LoadRefused
from inference.core.scheduling.reasons import mentioned
from inference.host.api.messages import LoggedDecision, resident_id_of
from inference.host.api.telemetry import (
    Backlog,
    BacklogFigures,
    Delta,
    QueueEntry,
    QueuePlace,
    Sample,
    Step,
    VariantState,
    VariantTelemetry,
)
from inference.web.visibility.visibility import Visibility
from inference.wording import alarms, decisions, waits
from inference.wording.translation import gettext as _


class VariantRow(VariantState):
    alarm: str | None
    """What is wrong and how to cure it; None while nothing is."""


class QueueRow(QueuePlace):
    reason: str


class LogLine(TypedDict):
    number: int
    """Counts up from 1 for as long as the host lives."""
    at: float
    """Seconds since 1970."""
    kind: DecisionKind
    variant_id: int | None
    purpose: Purpose | None
    variant: str | None
    """Its name."""
    sentence: str
    details: str
    """The figures behind it; may be empty."""


class BrowserBacklog(BacklogFigures):
    variants: list[VariantRow]
    queue: list[QueueRow]
    decisions: list[LogLine]


class BrowserDelta(Step):
    variants: list[VariantRow]
    queue: list[QueueRow]
    decisions: list[LogLine]
    """Those since the last frame."""


class HostAway(TypedDict):
    """No host answers at the moment. A BrowserBacklog follows when one does."""

    type: Literal["away"]


BrowserFrame = BrowserBacklog | BrowserDelta | HostAway


@overload
def worded(frame: Backlog, visibility: Visibility) -> BrowserBacklog: ...


@overload
def worded(frame: Delta, visibility: Visibility) -> BrowserDelta: ...


def worded(frame: Backlog | Delta, visibility: Visibility) -> BrowserBacklog | BrowserDelta:
    """The frame as everybody with this `visibility` may read it."""
    device_names = {each["device"]: each["name"] for each in frame["devices"]}
    variants = [_variant(each, device_names, visibility) for each in frame["variants"]]
    queue = [_place(each, visibility) for each in frame["queue"]]
    lines = [log_line(each, visibility) for each in frame["decisions"]]
    if frame["type"] == "backlog":
        return {
            "type": "backlog",
            **_sample(frame),
            "at": frame["at"],
            "series": frame["series"],
            "variants": variants,
            "queue": queue,
            "decisions": lines,
        }
    return {
        "type": "delta",
        **_sample(frame),
        "at": frame["at"],
        "figures": frame["figures"],
        "variants": variants,
        "queue": queue,
        "decisions": lines,
    }


def named_in(frame: Backlog | Delta) -> set[int]:
    """Ids of all variants that the frame names."""
    waited_for = (each.variant_id for entry in frame["queue"] for each in mentioned(entry["wait"]))
    mentions = (each["variant_id"] for line in frame["decisions"] for each in line["mentions"])
    present = (each["variant_id"] for each in frame["variants"])
    queued = (each["variant_id"] for each in frame["queue"])
    return {*waited_for, *mentions, *present, *queued}


def _sample(frame: Sample) -> Sample:
    return {
        "number": frame["number"],
        "pid": frame["pid"],
        "uptime_seconds": frame["uptime_seconds"],
        "devices": frame["devices"],
    }


def _variant(variant: VariantTelemetry, device_names: Mapping[str, str], visibility: Visibility) -> VariantRow:
    alarm, failure = variant["alarm"], variant["failure_detail"]
    if failure is not None and not visibility.may_name((variant["variant_id"],)):
        # It may name files.
        failure = _("It failed to load.")
    return {
        **variant,
        "name": visibility.name(resident_id_of(variant), variant["name"]),
        "failure_detail": failure,
        "alarm": None if alarm is None else alarms.sentence(alarm, device_names.get(alarm.device, alarm.device)),
    }


def _place(entry: QueueEntry, visibility: Visibility) -> QueueRow:
    return {
        "position": entry["position"],
        "user": entry["user"],
        "variant_id": entry["variant_id"],
        "purpose": entry["purpose"],
        "variant": visibility.name(resident_id_of(entry), entry["variant"]),
        "kind": entry["kind"],
        "reason": waits.of(entry["wait"], visibility.name),
        "waiting_seconds": entry["waiting_seconds"],
    }


def log_line(line: LoggedDecision, visibility: Visibility) -> LogLine:
    decision, name = line["decision"], visibility.remembering(line["mentions"])
    resident_id = decision.resident_id
    if isinstance(decision, Failed | LoadRefused) and not visibility.may_name((decision.resident_id.variant_id,)):
        sentence = decisions.without_quotes(decision, name)
    else:
        sentence = decisions.sentence(decision, name)
    return {
        "number": line["number"],
        "at": round(line["at"], 3),
        "kind": decision.kind,
        "variant_id": None if resident_id is None else resident_id.variant_id,
        "purpose": None if resident_id is None else resident_id.purpose,
        "variant": None if resident_id is None else name(resident_id),
        "sentence": sentence,
        "details": decisions.details(decision, name),
    }
