"""What commands print with --json of the host's facts: names and sentences for whoever runs the box. A stable interface."""

from __future__ import annotations

from typing import Any

from inference.core.scheduling.preview import Leaver, Preview
from inference.core.scheduling.refusals import DoesNotFit
from inference.host.api.messages import HostStatus
from inference.wording import previews, waits
from inference.wording.names import Name


def preview_row(found: Preview, name: Name) -> dict[str, Any]:
    return {
        "type": "preview",
        "variant_id": found.resident_id.variant_id,
        "purpose": found.resident_id.purpose,
        "name": name(found.resident_id),
        "outcome": found.outcome,
        "sentence": previews.sentence(found, name),
        "options": found.way.options.to_json() if found.way else None,
        "bytes_by_device": dict(found.way.bytes_by_device) if found.way else None,
        "is_degraded": found.is_degraded,
        "best_options": found.best.options.to_json(),
        "evicts": [_leaver(each, name) for each in found.evicts],
        "waits_for": [_leaver(each, name) for each in found.waits_for],
        "load_seconds": found.load_seconds,
        "unfit": None if found.unfit is None else _unfit(found.unfit),
    }


def _leaver(leaver: Leaver, name: Name) -> dict[str, Any]:
    return {
        "variant_id": leaver.resident_id.variant_id,
        "purpose": leaver.resident_id.purpose,
        "name": name(leaver.resident_id),
        "bytes_by_device": dict(leaver.bytes_by_device),
        "idle_seconds": leaver.idle_seconds,
        "answers": leaver.answers,
        "reload_seconds": leaver.reload_seconds,
        "likelihood": leaver.likelihood,
    }


def _unfit(unfit: DoesNotFit) -> dict[str, Any]:
    return {
        "device": unfit.device_name,
        "needed_bytes": unfit.needed_bytes,
        "budget_bytes": unfit.budget_bytes,
        "pinned_bytes": unfit.pinned_bytes,
        "pinned": [each.variant_id for each in unfit.pinned],
        "foreign_bytes": unfit.foreign_bytes,
    }


def status_row(status: HostStatus, name: Name) -> dict[str, Any]:
    """The host's status with a sentence for each wait."""
    queue = [
        {
            "request_id": each["request_id"],
            "user": each["user"],
            "variant_id": each["variant_id"],
            "purpose": each["purpose"],
            "variant": each["variant"],
            "kind": each["kind"],
            "position": each["position"],
            "reason": waits.of(each["wait"], name),
            "waiting_seconds": each["waiting_seconds"],
        }
        for each in status["queue"]
    ]
    return {**status, "queue": queue}
