"""Sentences of previews, to the number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.core.loads.devices import BytesOn
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.preview import Leaver, Preview
from inference.wording import previews

GIB = 1 << 30
NAMES = {ResidentId(1): "qwen", ResidentId(2): "llama", ResidentId(3): "phi"}
BEST = LoadWay(LoadOptions(n_ctx_seq=8192, n_seq_max=4, n_gpu_layers=33), {"gpu0": 7 * GIB, "ram": 1 << 28})
TAKES = "takes 7 GiB on GeForce and 256 MiB in RAM and loads in about 7 s"


def leaver(variant_id: int, idle_seconds: float | None, answers: int = 0, reload_seconds: float = 4.2) -> Leaver:
    return Leaver(ResidentId(variant_id), {"gpu0": GIB}, idle_seconds, answers, reload_seconds, 0.5)


def sentence(found: Preview) -> str:
    holds = (BytesOn("gpu0", "GeForce", 7 * GIB), BytesOn("ram", "RAM", 1 << 28))
    return previews.sentence(replace(found, holds=holds), NAMES.__getitem__)


def test_those_that_leave_are_named_with_how_long_they_were_idle_and_what_a_reload_takes() -> None:
    evicts = (leaver(2, 200.0), leaver(3, 0.2, reload_seconds=0.44))
    found = Preview(ResidentId(1), "evicts", BEST, BEST, "best", evicts=evicts, load_seconds=7.4)
    assert sentence(found) == (
        f"qwen {TAKES}, after llama (idle for 3 min, reload about 4 s) and phi (used just now, reload about 0.4 s) have left."
    )


@pytest.mark.parametrize(
    ("busy", "words"),
    [
        ([leaver(2, None, 3)], "llama (busy with 3 answers) to finish; then it {}. Loaded anyway, it waits only for the 3 answers that run now."),
        ([leaver(2, None)], "llama (loading) to finish; then it {}. Loaded anyway, it waits only for the load that is under way."),
        ([leaver(2, 0.1)], "llama (about to be used again) to finish; then it {}. Loaded anyway, it does not wait."),
    ],
)  # fmt: skip
def test_a_wait_says_for_whom_and_what_loading_anyway_would_spare(busy: list[Leaver], words: str) -> None:
    found = Preview(ResidentId(1), "waits", BEST, BEST, "best", waits_for=tuple(busy), load_seconds=7.4)
    assert sentence(found) == f"qwen waits for {words.format(TAKES)}"


def test_what_a_lesser_way_gives_up_is_listed() -> None:
    options = replace(BEST.options, n_gpu_layers=20, n_ctx_seq=4096, n_seq_max=1, type_k="q8_0", type_v="q8_0")
    lesser = LoadWay(options, BEST.bytes_by_device, score=0.5)
    assert sentence(Preview(ResidentId(1), "fits", BEST, lesser, "lesser", load_seconds=7.4)) == (
        f"qwen fits: it {TAKES}. It gets 20 layers on the GPU instead of 33, a context of 4096 tokens instead of 8192, "
        "1 slot instead of 4 and a q8_0 cache instead of f16, because there is no room for more."
    )
