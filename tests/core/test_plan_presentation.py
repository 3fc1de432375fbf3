"""A placement as people see it: titles, rates, and bars in which every byte has its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.core.planning.cautions import ShorterContext
from inference.core.planning.footprint import DeviceBytes
from inference.core.planning.placement import PlacedWay
from inference.core.planning.roofline import Speed
from inference.web.plans.rows import bar_view, rate, way_as_json, way_view
from models_app.hardware.pools import DevicePool

MIB = 1 << 20
GIB = 1 << 30
RAM = DevicePool("ram", "RAM", 64 * GIB, 56 * GIB, 8 * GIB)
CARD = DevicePool("gpu0", "Card", 10 * GIB, 8 * GIB, GIB)
ON_CARD = DeviceBytes("Card", 4 * GIB, GIB, GIB // 2, GIB // 2, 8 * GIB)
WAY = PlacedWay(
    n_gpu_layers=20,
    n_layers=32,
    n_cpu_moe=0,
    tensor_split=(20,),
    n_ctx_seq=4096,
    n_seq_max=4,
    n_ubatch=512,
    type_k="f16",
    type_v="f16",
    devices=(DeviceBytes("RAM", 2 * GIB, GIB, 64 * MIB, 0, 56 * GIB), ON_CARD),
    speed=Speed(12.3456, 345.678, "RAM"),
    buffers_known=True,
)


def test_a_bar_shows_what_is_used_what_is_free_and_what_is_kept() -> None:
    bar = bar_view(CARD, ON_CARD)
    assert [(each["kind"], each["x"], each["width"]) for each in bar["segments"]] == [
        ("weights", 0, 400),
        ("kv", 400, 100),
        ("compute", 500, 50),
        ("overhead", 550, 50),
        ("free", 600, 200),
        ("outside", 800, 100),
        ("reserve", 900, 100),
    ]
    assert (bar["total"], bar["spendable"], bar["capacity"], bar["budget_x"]) == ("6 GiB", "8 GiB", "10.0 GiB", 800)
    assert bar["sentence"] == (
        "Card, 10.0 GiB: Weights 4 GiB, KV cache 1 GiB, Compute buffers 512 MiB, Overhead 512 MiB, Free to spend 2 GiB, "
        "Not to spend 1 GiB, Kept free 1 GiB."
    )


def test_nothing_of_no_size_is_read_out() -> None:
    empty = bar_view(RAM, DeviceBytes("RAM", GIB, 0, 0, 0, 56 * GIB))
    assert empty["sentence"] == "RAM, 64.0 GiB: Weights 1 GiB, Free to spend 55.0 GiB, Kept free 8 GiB."


@pytest.mark.parametrize(
    ("changed", "n_gpus", "title"),
    [
        ({}, 1, "20 of 33 layers on the GPU"),
        ({"n_gpu_layers": 33}, 1, "All 33 layers on the GPU"),
        ({"n_gpu_layers": 33, "n_cpu_moe": 7}, 1, "All 33 layers on the GPU, experts of 7 in RAM"),
        ({"n_gpu_layers": 33, "tensor_split": (16, 17)}, 2, "All 33 layers on 2 GPUs"),
        ({"tensor_split": (0, 20)}, 2, "20 of 33 layers on 1 of 2 GPUs"),
        ({"n_gpu_layers": 0, "tensor_split": (0,)}, 1, "All in RAM"),
        ({"n_gpu_layers": 0, "tensor_split": ()}, 0, "All in RAM"),
        ({"n_ubatch": 128}, 1, "20 of 33 layers on the GPU, small batches"),
    ],
)
def test_a_title_says_where_the_layers_are(changed: dict[str, object], n_gpus: int, title: str) -> None:
    pools = (RAM, CARD, CARD)[: n_gpus + 1]
    way = replace(WAY, **changed, devices=WAY.devices[: n_gpus + 1])  # type: ignore[arg-type]
    assert way_view(pools, way, ())["title"] == title


def test_a_way_is_told_in_words_and_in_numbers() -> None:
    said = (ShorterContext(4096, 8192),)
    words = "Each slot gets 4096 tokens of context instead of the preferred 8192."
    view = way_view((RAM, CARD), WAY, said)
    assert (view["context"], view["cache"], view["decode"], view["prefill"]) == ("4 × 4,096", "f16", "12", "346")
    assert (view["memory"], view["cautions"]) == ("3.06 GiB RAM, 6 GiB Card", [words])
    told = way_as_json(WAY, said)
    assert (told["decode_tokens_per_second"], told["prefill_tokens_per_second"]) == (12.346, 345.7)
    assert told["devices"][1]["total_bytes"] == 6 * GIB
    assert told["warnings"] == [{"code": "shorter_context", "sentence": words}]
    assert (told["limited_by"], view["limited_by"]) == ("RAM bandwidth", "RAM bandwidth")


@pytest.mark.parametrize(
    ("per_second", "text"), [(1234.5, "1,234"), (42.4, "42"), (9.96, "10.0"), (3.14, "3.1"), (0.046, "0.05")]
)
def test_rates_have_the_digits_that_mean_something(per_second: float, text: str) -> None:
    assert rate(per_second) == text
