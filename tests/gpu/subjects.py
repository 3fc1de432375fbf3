"""What is loaded: models as wide as released ones and cut in depth, one of each kind of memory, in the ways that placement finds.

Bodies are sparse: zeros take as many bytes on a card as anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.load_ways import EstimatedWay, load_ways
from inference.core.planning.wishes import Wishes
from models_app.gguf import read_files
from models_app.hardware import Budget, Device, Profile
from tests.gguf_builder import SHAPES, Shape, build
from tests.gguf_shapes_more import MORE

_MEMORY = Device("RAM", "ram", 1 << 42)
_SHAPES = {**SHAPES, **{shape.name: shape for shape in MORE}}


def _cut(name: str, **depth: int) -> Shape:
    return replace(_SHAPES[name], **depth)


SUBJECTS: dict[str, Shape] = {
    "multi-head": _cut("llama-7b", n_layers=8),
    "grouped-query": _cut("llama-8b", n_layers=8),
    "experts": _cut("qwen3-30b-a3b", n_layers=8, n_experts=64),
    "sliding windows": _cut("gemma3-12b", n_layers=12),
    "latent attention": _cut("deepseek-v2-lite", n_experts=8),
    "recurrent": _cut("mamba-2.8b", n_layers=16),
    "hybrid": _cut("qwen3-next-80b-a3b", n_layers=8, n_experts=64),
    "windows, experts and sinks": _cut("gpt-oss-20b", n_layers=8, n_experts=8),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a subject is to be loaded; placement finds the rest."""

    wishes: Wishes
    share_of_layers: float | None = None
    """Of the layers, on the cards. None: as many as fit."""
    share_of_room: float | None = None
    """Of what the whole would take, for each card's budget: two cards share the layers then. None: the whole cards."""
    type_k: str | None = None
    """Of the ways found, one with this where there is any."""


WANTED: dict[str, Wanted] = {
    "whole": Wanted(Wishes(n_ctx_seq=4096, n_seq_max=1)),
    "whole, four people, quantized cache": Wanted(Wishes(n_ctx_seq=8192, n_seq_max=4), type_k="q8_0"),
    "whole, long context, small batches": Wanted(Wishes(n_ctx_seq=32768, n_seq_max=1, n_ubatches=(128,))),
    "whole, large batches": Wanted(Wishes(n_ctx_seq=4096, n_seq_max=2, n_ubatches=(2048,))),
    "half of its layers": Wanted(Wishes(n_ctx_seq=4096, n_seq_max=2), share_of_layers=0.5),
    "one layer": Wanted(Wishes(n_ctx_seq=2048, n_seq_max=1), share_of_layers=0.0),
    "two thirds of the room": Wanted(Wishes(n_ctx_seq=4096, n_seq_max=2), share_of_room=0.67),
}


def written(shape: Shape, folder: Path) -> Path:
    """The file, which is written when it is first asked for."""
    path = folder / f"{shape.name}.gguf"
    return path if path.exists() else build(path, shape, quantization="Q4_K_M", vocabulary="synthetic")


def way(path: Path, wanted: Wanted, gpus: Sequence[Device]) -> EstimatedWay:
    """What the host would choose, with what each device would hold by the header."""
    estimates, wishes = HeaderEstimates(read_files(path)), wanted.wishes
    assert estimates.header.n_layers is not None
    if wanted.share_of_layers is not None:
        wishes = replace(wishes, n_gpu_layers=1 + int(wanted.share_of_layers * estimates.header.n_layers))
    if wanted.share_of_room is not None:
        (whole, *_) = _ways(estimates, wishes, gpus)
        whole_bytes = sum(held.total_bytes for device, held in whole.devices.items() if device != RAM)
        gpus = [replace(gpu, budget=Budget(n_bytes=int(wanted.share_of_room * whole_bytes))) for gpu in gpus]
    found = _ways(estimates, wishes, gpus)
    return next((each for each in found if each.options.type_k == wanted.type_k), found[0])


def _ways(estimates: HeaderEstimates, wishes: Wishes, gpus: Sequence[Device]) -> tuple[EstimatedWay, ...]:
    ids = [f"gpu{number}" for number in range(len(gpus))]
    base = LoadOptions(n_batch=max(2048, *wishes.n_ubatches))
    return load_ways(estimates, Profile("this machine", _MEMORY, gpus=tuple(gpus)), ids, wishes, base)
