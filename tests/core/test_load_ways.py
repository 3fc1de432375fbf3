"""Ladders: ways to load from all of a machine down to nothing of its GPUs, corrected by what was measured."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.load_ways import (
    MOST_WAYS,
    LoadKnowledge,
    Measured,
    corrected,
    digest,
    load_ways,
    unknown_way,
)
from inference.core.planning.wishes import Wishes
from models_app.gguf import Header
from models_app.hardware import Device, Profile
from models_app.hardware.profile import GIB, PROCESS_BYTES
from tests.core.test_placement import header, machine
from tests.properties import examples

BASE = LoadOptions(n_ctx_seq=4096, n_seq_max=2)
WISHES = Wishes(4096, n_seq_max=2)


def test_without_a_gpu_the_preferred_context_comes_before_the_least_and_f16_before_q8_0() -> None:
    wishes = replace(WISHES, least_n_ctx_seq=1024)
    ways = load_ways(HeaderEstimates(header("llama-8b")), machine(ram_gib=16), (), wishes, BASE)
    tried = [(way.options.n_ctx_seq, way.options.type_k) for way in ways]
    assert tried == [(4096, "f16"), (4096, "q8_0"), (1024, "f16"), (1024, "q8_0")]
    assert ways[0].options == BASE
    assert all(list(way.devices) == [RAM] for way in ways)


def test_the_last_ways_need_little_or_nothing_of_a_gpu() -> None:
    ways = load_ways(HeaderEstimates(header("llama-8b")), machine("RTX 3060"), ("gpu0",), WISHES, BASE)
    on_gpu = [way.devices["gpu0"].total_bytes if "gpu0" in way.devices else 0 for way in ways]
    assert ways[0].options.n_gpu_layers == 33
    assert max(on_gpu) == on_gpu[0]
    assert min(on_gpu) == 0
    assert sum(0 < size < on_gpu[0] / 2 for size in on_gpu) >= 1
    assert [way.score for way in ways] == sorted((way.score for way in ways), reverse=True)
    assert len({way.options for way in ways}) == len(ways) <= MOST_WAYS


def test_wishes_hold_on_every_rung() -> None:
    stays = replace(WISHES, may_leave_gpu=False, may_quantize_kv=False)
    for way in load_ways(HeaderEstimates(header("llama-8b")), machine("RTX 3060"), ("gpu0",), stays, BASE):
        assert (way.options.n_gpu_layers, way.options.type_k) == (33, "f16")
    fixed = replace(WISHES, n_gpu_layers=10)
    ways = load_ways(
        HeaderEstimates(header("llama-8b")), machine("RTX 3060"), ("gpu0",), fixed, replace(BASE, n_gpu_layers=10)
    )
    assert {way.options.n_gpu_layers for way in ways} == {10}


def test_what_fits_nowhere_says_what_it_would_take() -> None:
    profile = machine("RTX 3060", ram_gib=8)
    (way,) = load_ways(HeaderEstimates(header("llama-70b")), profile, ("gpu0",), WISHES, BASE)
    assert way.devices[RAM].total_bytes > profile.ram.budget_bytes
    stays = replace(WISHES, may_leave_gpu=False)
    (way,) = load_ways(HeaderEstimates(header("llama-70b")), machine("RTX 3060"), ("gpu0",), stays, BASE)
    assert way.options.n_gpu_layers == 81
    assert way.devices["gpu0"].total_bytes > way.devices["gpu0"].budget_bytes


def test_several_gpus_get_their_layers_by_id() -> None:
    ways = load_ways(
        HeaderEstimates(header("llama-70b")), machine("RTX 3090", "RTX 3090"), ("gpu0", "gpu2"), WISHES, BASE
    )
    best = ways[0]
    assert best.options.tensor_split is not None
    assert sum(best.options.tensor_split) == 80
    assert {"gpu0", "gpu2"} <= set(best.devices)


def test_a_model_that_fits_one_gpu_may_be_loaded_on_any_that_has_room_for_it() -> None:
    profile = machine("RTX 3060", "RTX 3090", "RTX 3060")
    ways = load_ways(HeaderEstimates(header("llama-8b")), profile, ("gpu0", "gpu1", "gpu2"), WISHES, BASE)
    whole = [way.options.tensor_split for way in ways if way.options.n_gpu_layers == 33 and way.options.type_k == "f16"]
    assert whole[0] == (0, 32, 0), "the fastest first"
    assert {(32, 0, 0), (0, 0, 32)} <= set(whole), "where that one is occupied"


def test_a_speed_is_not_predicted_where_a_bandwidth_is_not_known() -> None:
    known = machine("RTX 3060")
    unknown = replace(known, gpus=(replace(known.gpus[0], bandwidth_bytes_per_second=None),))
    assert (
        load_ways(HeaderEstimates(header("llama-8b")), known, ("gpu0",), WISHES, BASE)[0].decode_tokens_per_second
        is not None
    )
    assert (
        load_ways(HeaderEstimates(header("llama-8b")), unknown, ("gpu0",), WISHES, BASE)[0].decode_tokens_per_second
        is None
    )


def test_what_was_measured_replaces_the_estimate_and_its_overhead_serves_other_options() -> None:
    first, second, *_ = load_ways(HeaderEstimates(header("llama-8b")), machine("RTX 3060"), ("gpu0",), WISHES, BASE)
    measured = Measured(
        weights_bytes=4 * GIB, kv_bytes=GIB, compute_bytes=7, overhead_bytes=100, decode_tokens_per_second=42
    )
    known = LoadKnowledge({digest(first.options): {"gpu0": measured}}, {"gpu0": 100})
    way = corrected(first, known)
    assert way.bytes_by_device["gpu0"] == 5 * GIB + 7 + 100
    assert way.overhead_by_device == {RAM: PROCESS_BYTES, "gpu0": 100}
    assert way.bytes_by_device[RAM] == first.devices[RAM].total_bytes
    assert way.decode_tokens_per_second == 42
    estimated = second.devices["gpu0"]
    assert corrected(second, known).bytes_by_device["gpu0"] == estimated.total_bytes - estimated.overhead_bytes + 100
    assert corrected(second, LoadKnowledge()).bytes_by_device["gpu0"] == estimated.total_bytes
    assert corrected(second, LoadKnowledge()).overhead_by_device == {
        RAM: PROCESS_BYTES,
        "gpu0": estimated.overhead_bytes,
    }


def test_a_dry_run_tells_the_buffers_exactly() -> None:
    way = load_ways(HeaderEstimates(header("llama-8b")), machine("RTX 3060"), ("gpu0",), WISHES, BASE)[0]
    estimated = way.devices["gpu0"]
    known = LoadKnowledge(dry_runs={digest(way.options): {"gpu0": 5, RAM: 6}})
    assert corrected(way, known).bytes_by_device["gpu0"] == estimated.total_bytes - estimated.compute_bytes + 5


def test_threads_change_no_digest_and_everything_else_does() -> None:
    assert digest(BASE) == digest(replace(BASE, n_threads=3))
    others = [replace(BASE, n_cpu_moe=1), replace(BASE, tensor_split=(1, 2)), replace(BASE, n_ctx_seq=8192)]
    assert len({digest(each) for each in (BASE, *others)}) == 4


def test_a_header_that_does_not_tell_gets_room_and_no_speed() -> None:
    silent = Header(3, 0, {"general.architecture": "from-next-year"}, header("llama-8b").tensors, 32, 0)
    size_bytes = silent.tensor_bytes
    way = unknown_way(HeaderEstimates(silent), size_bytes, machine("RTX 3060"), ("gpu0",), WISHES, BASE)
    assert way.devices["gpu0"].weights_bytes == size_bytes
    assert (way.decode_tokens_per_second, way.buffers_known) == (None, False)
    exact = unknown_way(
        HeaderEstimates(silent), size_bytes, machine("RTX 3060"), ("gpu0",), WISHES, BASE, {"gpu0": 9, RAM: 8}
    )
    assert exact.options == way.options
    assert exact.devices["gpu0"].compute_bytes == 9
    assert exact.buffers_known
    in_ram = unknown_way(HeaderEstimates(silent), 100 * GIB, machine("RTX 3060"), ("gpu0",), WISHES, BASE)
    assert in_ram.options.n_gpu_layers == 0
    assert list(in_ram.devices) == [RAM]


def test_a_ladder_of_an_80_layer_model_takes_less_than_a_second() -> None:
    estimates, wishes = HeaderEstimates(header("llama-70b")), Wishes(32768, 4096, n_seq_max=4)
    started = time.process_time()
    load_ways(estimates, machine("RTX 3090", "RTX 3060"), ("gpu0", "gpu1"), wishes, BASE)
    assert time.process_time() - started < 1


@examples(40)
@given(
    name=st.sampled_from(["llama-8b", "qwen3-30b-a3b", "gemma3-12b", "jamba-52b"]),
    gpus=st.lists(st.integers(1, 48), max_size=3),
    ram_gib=st.integers(1, 128),
    wishes=st.builds(
        Wishes,
        st.sampled_from([512, 4096, 32768]),
        st.sampled_from([None, 256]),
        st.integers(1, 8),
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, None, 0, 5, 100]),
    ),
)
def test_every_rung_keeps_within_the_budgets_or_stands_alone(
    name: str, gpus: list[int], ram_gib: int, wishes: Wishes
) -> None:
    profile = Profile(
        "any",
        Device("RAM", "ram", ram_gib * GIB),
        tuple(Device(f"GPU {number}", "gpu", size * GIB) for number, size in enumerate(gpus)),
    )
    ids = tuple(f"gpu{number}" for number in range(len(gpus)))
    base = LoadOptions(n_ctx_seq=wishes.n_ctx_seq, n_seq_max=wishes.n_seq_max, n_gpu_layers=wishes.n_gpu_layers)
    ways = load_ways(HeaderEstimates(header(name)), profile, ids, wishes, base)
    budgets = {RAM: profile.ram.budget_bytes} | dict(zip(ids, (gpu.budget_bytes for gpu in profile.gpus), strict=True))
    assert 1 <= len(ways) <= MOST_WAYS
    fits = [all(each.total_bytes <= budgets[device] for device, each in way.devices.items()) for way in ways]
    assert all(fits) or len(ways) == 1
    for way in ways:
        assert LoadOptions.from_json(way.options.to_json()) == way.options
        assert way.options.type_k == "f16" or wishes.may_quantize_kv
        assert wishes.least_n_ctx_seq or way.options.n_ctx_seq == wishes.n_ctx_seq
