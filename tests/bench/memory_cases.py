"""What a load takes, told and really allocated, device by device: every shape at several splits, contexts, caches and batches."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.engine.tools.children import dry_run, list_gpus
from inference.host.workers.environment import worker_environment
from models_app.gguf import Header, read_files
from models_app.gguf.quantization import TENSOR_TYPES_BY_NAME
from models_app.memory import Allocation, Cells, compute_bytes, estimate, split_work
from tests.bench.engine_worker import gemma_model, starter_model
from tests.engine.test_dry_run import worker_params
from tests.gguf_builder import LARGE, TINY, Shape, build
from tests.gguf_shapes_more import MORE
from tests.models_app.conftest import load_in_child, serving_device

MIB = 1 << 20
MOST_SHARE_ABOVE = 0.03
MOST_BYTES_ABOVE = 64 * MIB
_LARGE_BYTES = 400 * MIB
_LAST_DIGIT_MIB = 0.01

_SCALED: Mapping[str, Mapping[str, int]] = {
    "llama-7b": {"n_layers": 3},
    "llama-8b": {"n_layers": 3},
    "llama-70b": {"n_layers": 1},
    "mixtral-8x7b": {"n_layers": 3, "n_experts": 4},
    "qwen3-30b-a3b": {"n_layers": 3, "n_experts": 64},
    "gemma3-12b": {"n_layers": 6},
    "deepseek-v2-lite": {"n_experts": 8},
    "deepseek-v3": {"n_layers": 4, "n_experts": 16},
    "mamba-2.8b": {"n_layers": 8},
    "qwen3-next-80b-a3b": {"n_layers": 8, "n_experts": 64},
    "qwen2.5-7b": {"n_layers": 3},
    "qwen3-8b": {"n_layers": 3},
    "gemma2-9b": {"n_layers": 4},
    "phi3-mini": {"n_layers": 4},
    "gpt-oss-20b": {"n_layers": 4, "n_experts": 8},
}
"""Released models as wide as they are, with fewer layers and experts, so that they are really allocated on any machine."""

OPTIONS: tuple[LoadOptions, ...] = (
    LoadOptions(n_ctx_seq=4096, n_seq_max=1),
    LoadOptions(n_ctx_seq=4096, n_seq_max=4),
    LoadOptions(n_ctx_seq=1000, n_seq_max=3),
    LoadOptions(n_ctx_seq=8192, n_seq_max=2, type_k="q8_0", type_v="q8_0"),
    LoadOptions(n_ctx_seq=1024, n_seq_max=16, n_ubatch=1024),
    LoadOptions(n_ctx_seq=4096, n_seq_max=1, n_ubatch=2048),
    LoadOptions(n_ctx_seq=8192, n_seq_max=8, n_ubatch=64, type_k="q4_0", type_v="q4_0"),
    LoadOptions(n_ctx_seq=32768, n_seq_max=1, n_ubatch=128, type_k="q8_0", type_v="q8_0"),
)


@dataclass(frozen=True, slots=True)
class Accelerator:
    """Where layers go that leave the RAM."""

    name: str
    """For a person."""
    key: str
    """llama.cpp's name of its buffers there, or how it begins."""
    endpoint: str | None = None
    """`host:port` of an RPC server."""

    def holds(self, buffer: str) -> bool:
        # What a card's driver pins for it lies in RAM: `CUDA_Host`.
        return buffer.startswith(self.key)

    def engine_devices(self) -> EngineDevices:
        return EngineDevices(gpus=(("gpu0", self.key),)) if self.endpoint is None else EngineDevices((self.endpoint,))


@contextmanager
def accelerator(log: IO[bytes]) -> Iterator[Accelerator]:
    """The first card that llama.cpp can use; without one, a GPU-type device of its RPC backend, served by a process on this machine."""
    listed = asyncio.run(list_gpus((), worker_environment(os.environ)))
    if listed:
        yield Accelerator(listed[0].name, listed[0].key)
        return
    with serving_device(log) as endpoint:
        yield Accelerator("a GPU-type device of llama.cpp's RPC backend", "RPC", endpoint)


@dataclass(frozen=True, slots=True)
class Case:
    """One device of one load."""

    variant: str
    n_gpu_layers: int
    options: LoadOptions
    device: str
    told_bytes: int | None
    """By the header alone; None: its architecture's graph is not followed."""
    dry_run_bytes: int | None
    """Weights and cache by the header, buffers by a dry run; None: not asked here."""
    real_bytes: int
    rounding_bytes: int
    """llama.cpp's log gives hundredths of a MiB of each buffer: what is real may be that much more or less."""

    @property
    def above_bytes(self) -> int:
        return 0 if self.told_bytes is None else self.told_bytes - self.real_bytes

    @property
    def share_of_allowance(self) -> float:
        return self.above_bytes / max(MOST_SHARE_ABOVE * self.real_bytes, MOST_BYTES_ABOVE)

    @property
    def dry_run_error(self) -> float:
        """As a share of what is there; what the log's rounding explains is none."""
        if self.dry_run_bytes is None or not self.real_bytes:
            return 0.0
        return max(0, abs(self.dry_run_bytes - self.real_bytes) - self.rounding_bytes) / self.real_bytes

    def __str__(self) -> str:
        options = self.options
        return (
            f"{self.variant}, {self.n_gpu_layers} layers on the GPU, {options.n_seq_max} x {options.n_ctx_seq},"
            f" {options.type_k}, batches of {options.n_ubatch}: {self.device}"
        )


def variants(folder: Path, *, few: bool) -> Iterator[tuple[str, Path]]:
    """Real files, then synthetic ones, each written to `folder` when its turn comes and removed after it."""
    yield "starter", starter_model()
    if not few:
        gemma = gemma_model(folder)
        yield "gemma-3-270m", gemma
        gemma.unlink()
    scaled = [replace(shape, **_SCALED[shape.name]) for shape in (*LARGE, *MORE) if shape.name in _SCALED]
    shapes: Sequence[Shape] = TINY[:3] if few else (*TINY, *scaled)
    for shape in shapes:
        path = build(folder / f"{shape.name}.gguf", shape)
        yield shape.name, path
        path.unlink()


def measure_variant(name: str, path: Path, gpu: Accelerator) -> Iterator[Case]:
    """Blocks while llama.cpp really allocates, in this machine's RAM and on `gpu`."""
    header = read_files(path)
    assert header.n_layers is not None
    partly, wholly = header.n_layers // 2 + 1, header.n_layers + 1
    # What stays in RAM altogether is looked at where that takes no minutes.
    for n_gpu_layers in (partly, wholly) if header.tensor_bytes > _LARGE_BYTES else (0, partly, wholly):
        served = {"rpc": gpu.endpoint} if n_gpu_layers and gpu.endpoint else {}
        contexts = [_context_params(options) for options in OPTIONS]
        real = load_in_child(path, unmapped=True, n_gpu_layers=n_gpu_layers, contexts=contexts, **served)
        assert real["loaded"], real["log"]
        for number, (options, context) in enumerate(zip(OPTIONS, real["contexts"], strict=True)):
            assert context["created"], context["log"]
            asked = replace(options, n_gpu_layers=n_gpu_layers)
            # A dry run takes as long as a worker's start: one of each split does.
            exact = asyncio.run(_dry_run(path, asked, gpu)) if number == 3 else None
            yield from _cases(name, header, gpu, asked, {**context, "weights_mib": real["weights_mib"]}, exact)


async def _dry_run(path: Path, options: LoadOptions, gpu: Accelerator) -> Mapping[str, int]:
    engine_devices = gpu.engine_devices() if options.n_gpu_layers else EngineDevices(gpus=())
    return (await dry_run(path, options, worker_environment(os.environ), engine_devices=engine_devices)).compute_bytes


def _context_params(options: LoadOptions) -> dict[str, Any]:
    """As inference.engine.llama.Context asks for them."""
    return {
        **worker_params(options),
        "flash_attn_type": -1,
        "type_k": TENSOR_TYPES_BY_NAME[options.type_k].number,
        "type_v": TENSOR_TYPES_BY_NAME[options.type_v].number,
    }


def _cases(
    name: str,
    header: Header,
    gpu: Accelerator,
    options: LoadOptions,
    real: Mapping[str, Any],
    exact: Mapping[str, int] | None,
) -> Iterator[Case]:
    n_seq_max, n_layers = options.n_seq_max + 1, header.n_layers
    assert n_layers is not None
    assert options.n_gpu_layers is not None
    cells = Cells(options.n_ctx, n_seq_max, options.n_ubatch, options.type_k, options.type_v)
    told = estimate(header, Allocation(cells, options.n_gpu_layers, n_seq_max))
    assert told is not None
    assert told.host_cache_bytes is not None
    assert told.gpu_cache_bytes is not None
    assert told.output_buffer_bytes is not None
    buffers = compute_bytes(
        header, cells, n_seq_max, split_work(n_layers, options.n_gpu_layers, cuda=gpu.endpoint is None)
    )
    held = (told.host_weights_bytes + told.host_cache_bytes, told.gpu_weights_bytes + told.gpu_cache_bytes)
    outputs = (told.output_buffer_bytes, 0)
    for number, device in enumerate(("ram", "gpu0") if options.n_gpu_layers else ("ram",)):
        buffers_mib = [
            size
            for kind in ("weights_mib", "kv_mib", "recurrent_mib", "compute_mib", "output_mib")
            for buffer, size in real[kind].items()
            if gpu.holds(buffer) == (device != "ram")
        ]
        yield Case(
            variant=name,
            n_gpu_layers=options.n_gpu_layers,
            options=options,
            device=device,
            told_bytes=None if buffers is None else held[number] + outputs[number] + buffers[number],
            dry_run_bytes=None if exact is None else held[number] + exact.get(device, 0),
            real_bytes=round(sum(buffers_mib) * MIB),
            rounding_bytes=round(_LAST_DIGIT_MIB / 2 * len(buffers_mib) * MIB),
        )
