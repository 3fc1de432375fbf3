"""Facts leave the host as JSON and arrive as the very same values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.core.loads.devices import BytesOn
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.monitoring.alarms import Alarm, Remedy
from inference.core.scheduling.decisions import (
    Decision,
    Drained,
    Evicted,
    Failed,
    Loaded,
    LoadingPaused,
    LoadingResumed,
    LoadRefused,
    Restored,
    Spared,
    Stayed,
    Unloaded,
    WentIdle,
)
from inference.core.scheduling.preview import Leaver, Preview
from inference.core.scheduling.reasons import ForEviction, ForLoading, InQueue, Reason, Wait
from inference.core.scheduling.refusals import (
    DoesNotFit,
    FailedToLoad,
    NoStorage,
    NotUnderstood,
    Refusal,
    ShuttingDown,
    UnloadedMeanwhile,
    VariantDisabled,
    VariantUnknown,
)
from inference.engine.protocol import BadMessage
from inference.host.api import wire
from inference.host.api.messages import HostRefused, LoadPreviewed
from inference.host.api.telemetry import Backlog
from tests.web.fake_host import decision, telemetry, variant_telemetry, waiting

HOLDS = (BytesOn("gpu0", "GeForce", 7), BytesOn("ram", "RAM", 2))
OPTIONS = LoadOptions(n_gpu_layers=20, tensor_split=(12, 8))
LOAD = (ResidentId(1), OPTIONS, HOLDS, 1, 2, 0.5, 1.0, "lesser", 3, 4.5)
LEAVE = (
    ResidentId(1),
    "room",
    {"gpu0": 5},
    None,
    2,
    ResidentId(7, "imatrix"),
    3.0,
    0.5,
    1.5,
    (Spared(ResidentId(8), 9.0),),
)
UNFIT = DoesNotFit("gpu0", 9, 5, (ResidentId(1), ResidentId(2)), 4, 3, "GeForce", "clients")

WAITS: list[Wait] = [
    InQueue(2, Reason("foreign", (), 0, "gpu0", "GeForce", 1 << 29)),
    ForEviction((ResidentId(1), ResidentId(2))),
    ForLoading(0.5),
]
REFUSALS: list[Refusal] = [
    UNFIT,
    FailedToLoad("crashed", "It ended.", 3, is_final=True),
    UnloadedMeanwhile(),
    ShuttingDown(),
    VariantUnknown(),
    VariantDisabled(7),
    NoStorage("database", "locked"),
    NotUnderstood("no type"),
]
DECISIONS: list[Decision] = [
    Loaded(*LOAD),  # type: ignore[arg-type]
    Restored(*LOAD, "budget"),  # type: ignore[arg-type]
    Evicted(*LEAVE),  # type: ignore[arg-type]
    Drained(*LEAVE, "gpu0", "GeForce", 12),  # type: ignore[arg-type]
    Stayed(ResidentId(1), "foreign"),
    WentIdle(ResidentId(1), 60.5),
    Unloaded(ResidentId(1), "changed"),
    LoadingPaused("gpu0", "GeForce", 12, "budget"),
    LoadingResumed("gpu0", "GeForce", 12, "foreign"),
    Failed(ResidentId(1), "hung", "It stood still.", 2),
    *(LoadRefused(ResidentId(1), refusal) for refusal in REFUSALS),
]


def travelled(message: Any) -> Any:
    return json.loads(wire.encode(message))


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_arrives_as_it_left(refusal: Refusal) -> None:
    message = travelled({"type": "refused", "refusal": refusal})
    assert message["refusal"]["kind"] == refusal.kind
    assert wire.read_as(HostRefused, message)["refusal"] == refusal


def test_every_kind_of_fact_arrives_in_telemetry() -> None:
    alarm = Alarm(ResidentId(7), "gpu0", "spilling", 1.0, 9.0, None, Remedy(20, 1 << 30))
    sent = telemetry(
        "backlog",
        variants=[variant_telemetry(7, alarm=alarm), variant_telemetry(8)],
        queue=[waiting(number, "1", 7, wait) for number, wait in enumerate(WAITS, 1)],
        decisions=[decision(number, each) for number, each in enumerate(DECISIONS, 1)],
    )
    assert wire.read_as(Backlog, travelled(sent)) == sent


def test_a_preview_arrives_with_its_ways() -> None:
    best = LoadWay(LoadOptions(n_ctx_seq=8192), {"gpu0": 7}, {"gpu0": 1}, 12.5, 10.0)
    taken = LoadWay(OPTIONS, {"ram": 2})
    leavers = (
        Leaver(ResidentId(2), {"gpu0": 7}, None, 1, 2.0, 0.5),
        Leaver(ResidentId(3), {"ram": 1}, 4.0, 0, 1.0, 0.1),
    )
    found = Preview(
        ResidentId(1),
        "waits",
        best,
        taken,
        "spares",
        leavers,
        leavers[:1],
        ForEviction((ResidentId(2),)),
        UNFIT,
        3.5,
        True,
        HOLDS,
    )
    sent = {"type": "preview", "preview": found}
    assert wire.read_as(LoadPreviewed, travelled(sent))["preview"] == found


@pytest.mark.parametrize(
    "refusal", [{"kind": "weather"}, {"kind": "disabled"}, {}, None, {"kind": "does_not_fit", "device": "ram"}]
)
def test_a_fact_that_makes_no_sense_is_a_bad_message(refusal: Any) -> None:
    with pytest.raises(BadMessage):
        wire.read_as(HostRefused, {"type": "refused", "refusal": refusal})
