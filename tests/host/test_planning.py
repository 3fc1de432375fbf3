"""The ladder of a variant as the host reads it, and how loads and dry runs change it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from inference.core.loads.devices import RAM
from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.resident_id import ResidentId
from inference.core.planning.load_ways import Measured, digest
from inference.host.planning.database import DjangoInventory
from inference.host.planning.device_detection import detect_devices
from inference.host.planning.dry_runs import DryRuns
from inference.host.planning.load_record import LoadMeasured
from inference.host.planning.ways import Planning
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB, PROCESS_BYTES
from models_app.machines.this_machine_row import this_machine
from models_app.models import DryRunResult, HardwareProfile, Measurement, Variant
from tests.gguf_builder import SHAPES, build
from tests.models_app.conftest import rpc_device

__all__ = ["rpc_device"]
pytestmark = pytest.mark.django_db(transaction=True)
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def machine() -> HardwareProfile:
    return HardwareProfile.objects.create(
        name="here",
        is_this_machine=True,
        gpus=[{"name": "Card", "memory_bytes": 12 * GIB, "bandwidth_bytes_per_second": 360 * 10**9}],
        ram_bytes=64 * GIB,
        ram_bandwidth_bytes_per_second=60 * 10**9,
        n_cores=8,
    )


def inventory(*gpus: tuple[str, str], ram_budget_bytes: int | None = None) -> DjangoInventory:
    return DjangoInventory(900.0, Planning(EngineDevices((), gpus), ram_budget_bytes))


@pytest.fixture
def variant(tmp_path: Path, machine: HardwareProfile) -> Variant:
    return add_model(build(tmp_path / "model.gguf", SHAPES["llama-8b"], quantization="Q4_K_M")).variant


async def test_a_variant_comes_with_its_ways_best_first(variant: Variant) -> None:
    facts = await inventory(("gpu0", "CUDA0")).facts(ResidentId(variant.pk))
    assert facts.load_ways[0].options.n_gpu_layers == 33
    assert facts.load_ways[0].bytes_by_device["gpu0"] > 4 * GIB
    assert any(set(way.bytes_by_device) == {RAM} for way in facts.load_ways)


async def test_a_card_that_the_engine_cannot_use_gets_nothing(variant: Variant) -> None:
    facts = await inventory().facts(ResidentId(variant.pk))
    assert facts.load_ways[0].options == facts.options
    assert all(set(way.bytes_by_device) == {RAM} for way in facts.load_ways)


async def test_a_variant_that_reads_a_text_has_ways_of_its_own(variant: Variant) -> None:
    await Variant.objects.filter(pk=variant.pk).aupdate(pinned=True, n_ctx_seq=32768, n_seq_max=8, may_leave_gpu=False)
    box = inventory(("gpu0", "CUDA0"))
    usual, reading = await box.facts(ResidentId(variant.pk)), await box.facts(ResidentId(variant.pk, "imatrix"))
    assert (usual.resident_id, reading.resident_id) == (ResidentId(variant.pk), ResidentId(variant.pk, "imatrix"))
    assert reading.name == f"{usual.name} (importance matrix)"
    assert (reading.transient, reading.pinned) == (True, False)
    assert {way.options.n_ctx for way in reading.load_ways} == {512}
    assert {way.options.n_outputs for way in reading.load_ways} == {128}
    assert reading.load_ways[0].options.n_gpu_layers == 33
    assert any(set(way.bytes_by_device) == {RAM} for way in reading.load_ways), "it may be computed anywhere"
    kinds = {digest(way.options) for way in usual.load_ways} & {digest(way.options) for way in reading.load_ways}
    assert kinds == set(), "what one of them took says nothing of the other"


async def test_the_hosts_own_budget_goes_before_the_profiles(variant: Variant) -> None:
    (way,) = (await inventory(ram_budget_bytes=GIB).facts(ResidentId(variant.pk))).load_ways
    assert way.bytes_by_device[RAM] > GIB


async def test_a_wish_or_a_budget_that_changes_makes_another_ladder(variant: Variant, machine: HardwareProfile) -> None:
    box = inventory(("gpu0", "CUDA0"))
    await Variant.objects.filter(pk=variant.pk).aupdate(may_quantize_kv=False)
    assert {way.options.type_k for way in (await box.facts(ResidentId(variant.pk))).load_ways} == {"f16"}
    machine.gpus = [{**machine.gpus[0], "budget": "2GiB"}]
    await machine.asave()
    ways = (await box.facts(ResidentId(variant.pk))).load_ways
    assert max(way.bytes_by_device.get("gpu0", 0) for way in ways) <= 2 * GIB


async def test_what_a_load_took_is_what_the_next_one_is_planned_with(variant: Variant) -> None:
    box = inventory(("gpu0", "CUDA0"))
    facts = await box.facts(ResidentId(variant.pk))
    first, second, *_ = facts.load_ways
    held = {RAM: Measured(1, 2, 3), "gpu0": Measured(5 * GIB, 6, 7, overhead_bytes=300)}
    await box.record(LoadMeasured(variant.pk, first.options, facts.fingerprint, held, 1.5))
    again = (await box.facts(ResidentId(variant.pk))).load_ways
    # What the worker takes besides its buffers in RAM was not told.
    assert again[0].bytes_by_device == {RAM: 6 + PROCESS_BYTES, "gpu0": 5 * GIB + 313}
    assert again[1].options == second.options
    assert again[1].bytes_by_device["gpu0"] < second.bytes_by_device["gpu0"], "a context costs 300 bytes, not 320 MiB"
    row = await Measurement.objects.aget(device="gpu0")
    assert row.measured_bytes == {"weights": 5 * GIB, "kv": 6, "compute": 7}
    assert row.estimated_total_bytes is not None
    assert (row.overhead_bytes, row.load_seconds) == (300, 1.5)
    await box.record(LoadMeasured(variant.pk, first.options, facts.fingerprint, held, 2.5))
    assert await Measurement.objects.acount() == 2


async def test_a_worker_that_has_just_begun_makes_no_plan_smaller(variant: Variant) -> None:
    """It holds less of a card than it will after its first long prompt, and at its very first nothing is told of it."""
    box = inventory(("gpu0", "CUDA0"))
    facts = await box.facts(ResidentId(variant.pk))
    options = facts.load_ways[0].options

    async def planned_after(overhead_bytes: int | None) -> dict[str, int]:
        held = {each: Measured(1, 2, 3, overhead_bytes=overhead_bytes) for each in (RAM, "gpu0")}
        await box.record(LoadMeasured(variant.pk, options, facts.fingerprint, held, 1.5))
        return dict((await box.facts(ResidentId(variant.pk))).load_ways[0].bytes_by_device)

    assert await planned_after(500) == {RAM: 506, "gpu0": 506}
    assert await planned_after(700) == {RAM: 706, "gpu0": 706}
    assert await planned_after(None) == {RAM: 706, "gpu0": 706}
    assert await planned_after(500) == {RAM: 506, "gpu0": 706}, "what was said comes and goes in RAM"


async def test_a_repeated_plan_is_remembered(variant: Variant) -> None:
    planning = Planning(EngineDevices((), (("gpu0", "CUDA0"),)))

    def timed() -> tuple[float, float]:
        row = Variant.objects.get(pk=variant.pk)
        shards = list(row.shards.all())
        seconds = []
        for _ in range(20):
            started = time.process_time()
            planning.plan(row, shards, "same", 10)
            seconds.append(time.process_time() - started)
        return seconds[0], min(seconds[1:])

    first, repeated = await sync_to_async(timed)()
    assert first < 1
    assert repeated < 0.002


@pytest.mark.live
async def test_a_header_that_does_not_tell_is_asked_about_by_a_dry_run(
    tmp_path: Path, machine: HardwareProfile
) -> None:
    path = build(tmp_path / "jamba.gguf", SHAPES["tiny-jamba"], body="random")
    row = (await sync_to_async(add_model)(path)).variant
    engine_devices = EngineDevices((), ())
    planning, dry_runs = Planning(engine_devices), DryRuns(engine_devices, ENVIRONMENT)
    box = DjangoInventory(900.0, planning, dry_runs)
    allowed = await box.facts(ResidentId(row.pk))
    while not await DryRunResult.objects.aexists():
        (run,) = dry_runs.running
        assert await run
    exact = await box.facts(ResidentId(row.pk))
    assert exact.load_ways[0].bytes_by_device[RAM] < allowed.load_ways[0].bytes_by_device[RAM]


@pytest.mark.live
async def test_devices_of_other_machines_join_the_profile(machine: HardwareProfile, rpc_device: str) -> None:
    engine_devices = await detect_devices([rpc_device, "127.0.0.1:1"], ENVIRONMENT)
    assert engine_devices == EngineDevices((rpc_device,), (("gpu1", f"RPC0[{rpc_device}]"),))
    await machine.arefresh_from_db()
    assert [gpu["name"] for gpu in machine.gpus] == ["Card", f"RPC0[{rpc_device}]"]
    assert await detect_devices([rpc_device], ENVIRONMENT) == engine_devices
    again = await sync_to_async(this_machine)(again=True)
    assert f"RPC0[{rpc_device}]" in [gpu["name"] for gpu in again.gpus]
    assert await detect_devices([], ENVIRONMENT) == EngineDevices((), ())
    await machine.arefresh_from_db()
    assert not [gpu for gpu in machine.gpus if "engine_key" in gpu]
