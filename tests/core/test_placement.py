"""Placement: never above a budget, best first, and the cases that people found out by hand."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.planning.cautions import BandwidthNotKnown, SilentSpill, cautions
from inference.core.planning.footprint import CannotTell
from inference.core.planning.placement import Placement, place
from inference.core.planning.wishes import Wishes
from inference.wording.placements import reason_of, sentence
from models_app.gguf import Header, read_files
from models_app.hardware import Budget, Device, Profile
from models_app.hardware.cards import card
from models_app.hardware.profile import GIB, MIB
from tests.gguf_builder import LARGE, SHAPES, build
from tests.gguf_shapes_more import MORE
from tests.properties import examples

BY_NAME = {**SHAPES, **{shape.name: shape for shape in MORE}}


@cache
def header(name: str, quantization: str = "Q4_K_M") -> Header:
    with TemporaryDirectory() as folder:
        return read_files(build(Path(folder) / "model.gguf", BY_NAME[name], quantization=quantization))


def machine(*cards: str, ram_gib: int = 64, ram_bandwidth: int = 60 * 10**9) -> Profile:
    gpus = []
    for name in cards:
        found = card(name)
        assert found is not None
        gpus.append(found)
    return Profile("test", Device("RAM", "ram", ram_gib * GIB, ram_bandwidth), tuple(gpus), 8)


def codes(placement: Placement, name: str, profile: Profile, wishes: Wishes) -> set[str]:
    return {each.code for each in cautions(placement.ways[0], placement, header(name), profile, wishes)}


def test_llama_3_8b_on_a_4_gb_laptop_card_leaves_its_buffers_room() -> None:
    profile, wishes = machine("RTX 3050 Ti Laptop GPU", ram_gib=16, ram_bandwidth=50 * 10**9), Wishes(4096)
    placement = place(header("llama-8b"), profile, wishes)
    best = placement.ways[0]
    assert 17 <= best.n_gpu_layers <= 23
    gpu = best.devices[1]
    assert 4 * GIB - (gpu.weights_bytes + gpu.kv_bytes) > 0.7 * GIB
    assert placement.all_on_gpu[1].total_bytes > 4 * GIB
    assert {"silent_spill", "smaller_quantization", "smaller_model"} <= codes(placement, "llama-8b", profile, wishes)
    spill = cautions(best, placement, header("llama-8b"), profile, wishes)[0]
    assert isinstance(spill, SilentSpill)
    assert spill.n_most_layers == 33
    assert "33 layers" in sentence(spill)


def test_a_speed_that_rests_on_an_assumption_says_so() -> None:
    known, wishes = machine("RTX 3060"), Wishes(4096)
    unknown = replace(known, gpus=(replace(known.gpus[0], bandwidth_bytes_per_second=None),))
    assert "bandwidth_not_known" not in codes(place(header("llama-8b"), known, wishes), "llama-8b", known, wishes)
    placement = place(header("llama-8b"), unknown, wishes)
    said = cautions(placement.ways[0], placement, header("llama-8b"), unknown, wishes)
    (assumption,) = (each for each in said if isinstance(each, BandwidthNotKnown))
    assert "RTX 3060" in assumption.device_name
    assert "300 GB/s is assumed" in sentence(assumption)


@pytest.mark.parametrize("ram_bandwidth", [60, 90, 120])
def test_a_70b_on_a_12_gb_card_runs_mostly_in_ram_and_is_said_to_be_slow(ram_bandwidth: int) -> None:
    profile, wishes = machine("RTX 3060", ram_bandwidth=ram_bandwidth * 10**9), Wishes(4096)
    placement = place(header("llama-70b"), profile, wishes)
    best = placement.ways[0]
    assert best.n_gpu_layers < best.n_layers / 2
    assert best.devices[0].weights_bytes > 2 * best.devices[1].weights_bytes
    assert 0.5 <= best.speed.decode_tokens_per_second <= 2
    assert best.speed.limited_by == "RAM"
    assert {"slow", "smaller_model"} <= codes(placement, "llama-70b", profile, wishes)


def test_what_fits_whole_stays_on_the_gpu_with_an_f16_cache() -> None:
    best = place(header("llama-8b"), machine("RTX 3060"), Wishes(8192)).ways[0]
    assert (best.n_gpu_layers, best.type_k, best.n_ubatch) == (33, "f16", 512)
    assert best.devices[0].weights_bytes < GIB


def test_a_quantized_cache_comes_before_layers_in_ram() -> None:
    profile = machine("RTX 3060")
    allowed = place(header("llama-8b"), profile, Wishes(16384, n_seq_max=4)).ways[0]
    assert (allowed.n_gpu_layers, allowed.type_k) == (33, "q8_0")
    refused = place(header("llama-8b"), profile, Wishes(16384, n_seq_max=4, may_quantize_kv=False)).ways
    assert refused[0].n_gpu_layers < 33
    assert {each.type_k for each in refused} == {"f16"}


def test_experts_leave_the_gpu_before_layers_do() -> None:
    best = place(header("qwen3-30b-a3b"), machine("RTX 3060"), Wishes(8192)).ways[0]
    assert best.n_gpu_layers == best.n_layers + 1
    assert 0 < best.n_cpu_moe < best.n_layers


def test_several_cards_share_the_layers() -> None:
    best = place(header("llama-70b"), machine("RTX 3090", "RTX 3090"), Wishes(4096)).ways[0]
    assert best.n_gpu_layers == 81
    assert sum(best.tensor_split) == 80
    assert min(best.tensor_split) > 20


def test_the_preferred_context_yields_only_for_twice_the_speed() -> None:
    profile = machine("RTX 3060", ram_bandwidth=30 * 10**9)
    best = place(header("llama-8b"), profile, Wishes(131072, 8192, may_quantize_kv=False)).ways[0]
    assert best.n_ctx_seq == 8192
    assert best.n_gpu_layers == 33


def test_without_a_gpu_ram_is_the_device() -> None:
    best = place(header("llama-8b"), machine(ram_gib=16), Wishes(4096)).ways[0]
    assert [each.name for each in best.devices] == ["RAM"]
    assert best.n_gpu_layers == 0


def test_the_wish_that_stands_in_the_way_is_named() -> None:
    placement = place(header("llama-70b"), machine("RTX 3060"), Wishes(4096, may_leave_gpu=False))
    assert placement.ways == ()
    assert placement.shortfall is not None
    assert placement.shortfall.wish == "may_leave_gpu"
    assert "stay in RAM" in reason_of(placement.shortfall)
    long = place(header("llama-8b"), machine(ram_gib=8), Wishes(1_000_000))
    assert long.shortfall is not None
    assert long.shortfall.wish == "n_ctx_seq"
    small = place(header("llama-70b"), machine(ram_gib=16), Wishes(4096))
    assert small.shortfall is not None
    assert small.shortfall.wish is None
    assert " GiB in RAM, where " in reason_of(small.shortfall)


def test_a_file_that_does_not_tell_gets_no_guess() -> None:
    told = header("llama-8b")
    silent = Header(3, 0, {"general.architecture": "from-next-year"}, told.tensors, 32, 0)
    with pytest.raises(CannotTell):
        place(silent, machine("RTX 3060"), Wishes())


def test_buffers_that_are_not_known_are_allowed_for_and_said_to_be() -> None:
    placement = place(header("jamba-52b"), machine("RTX 3090"), Wishes())
    assert not placement.ways[0].buffers_known
    assert "buffers_not_known" in codes(placement, "jamba-52b", machine("RTX 3090"), Wishes())


def test_an_80_layer_model_is_placed_within_a_second() -> None:
    told, wishes = header("llama-70b"), Wishes(32768, 4096, n_seq_max=4)
    started = time.process_time()
    place(told, machine("RTX 3090", "RTX 3060"), wishes)
    assert time.process_time() - started < 1


@examples(60)
@given(
    name=st.sampled_from([*(shape.name for shape in LARGE), *(shape.name for shape in MORE)]),
    gpus=st.lists(st.integers(256, 96 * 1024), max_size=3),
    budget=st.sampled_from([None, "11.5GiB", "50%", "100%"]),
    ram_mib=st.integers(256, 512 * 1024),
    n_ctx_seq=st.sampled_from([256, 4096, 20000, 131072]),
    n_seq_max=st.integers(1, 16),
    may_quantize_kv=st.booleans(),
    may_leave_gpu=st.booleans(),
)
def test_no_plan_ever_exceeds_a_budget(
    name: str,
    gpus: list[int],
    budget: str | None,
    ram_mib: int,
    n_ctx_seq: int,
    n_seq_max: int,
    may_quantize_kv: bool,
    may_leave_gpu: bool,
) -> None:
    limit = None if budget is None else Budget.parse(budget)
    profile = Profile(
        "any",
        Device("RAM", "ram", ram_mib * MIB, 60 * 10**9),
        tuple(
            Device(f"GPU {number}", "gpu", size * MIB, 300 * 10**9, budget=limit) for number, size in enumerate(gpus)
        ),
    )
    wishes = Wishes(n_ctx_seq, 256, n_seq_max, may_quantize_kv, may_leave_gpu)
    placement = place(header(name), profile, wishes)
    assert bool(placement.ways) != bool(placement.shortfall)
    for each in placement.ways:
        assert all(0 <= device.total_bytes <= device.budget_bytes for device in each.devices)
        assert all(
            device.budget_bytes <= own.memory_bytes
            for device, own in zip(each.devices, (profile.ram, *profile.gpus), strict=False)
        )
        assert 0 <= each.n_gpu_layers <= each.n_layers + 1
        assert sum(each.tensor_split) in (each.n_gpu_layers, max(0, each.n_gpu_layers - 1))
        assert each.speed.decode_tokens_per_second > 0
        assert may_quantize_kv or each.type_k == "f16"
        assert may_leave_gpu or not gpus or (each.n_gpu_layers == each.n_layers + 1 and each.n_cpu_moe == 0)
        weights = sum(device.weights_bytes for device in each.devices)
        assert weights >= header(name).tensor_bytes
        assert cautions(each, placement, header(name), profile, wishes) is not None
    if placement.shortfall is not None:
        assert reason_of(placement.shortfall)
