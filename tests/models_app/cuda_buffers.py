"""What llama.cpp's CUDA backend reserves for computing, shape by shape, as cuda_buffers.json keeps it.

python -m tests.models_app.cuda_buffers    writes the file anew, where llama.cpp can use two of NVIDIA's cards

Sizes depend on the build and hardly on the card: any of compute capability 7.5 and more runs the same kinds of kernels. So machines
without one can check what is told of them. The file's `source` says what it was made on.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.engine.tools.children import dry_run, list_gpus
from inference.host.workers.environment import worker_environment
from models_app.memory import Cells, Work
from tests.gguf_builder import LARGE, TINY, Shape, build
from tests.gguf_shapes_more import MORE
from tests.models_app.conftest import load_in_child
from tests.models_app.test_compute_buffers import FOLLOWED, context_params
from tests.models_app.test_compute_buffers import LAYOUTS as ALL_LAYOUTS

MIB = 1 << 20
PATH = Path(__file__).with_suffix(".json")
CARDS = ("CUDA0", "CUDA1")
LAYOUTS = tuple(layout for layout in ALL_LAYOUTS if layout.get("flash_attention", True))
"""Workers leave it on."""
WITH_EXPERTS = tuple(shape for shape in (*LARGE, *MORE) if getattr(shape, "n_experts", 0))


@dataclass(frozen=True, slots=True)
class Load:
    """Which layers go where."""

    shape: str
    n_layers: int
    by_card: tuple[int, ...]
    """Layers of each card, the last ones; the rest stays in RAM. The output goes to the last card."""
    n_cpu_moe: int = 0

    @property
    def n_gpu_layers(self) -> int:
        return sum(self.by_card) + 1

    @property
    def work(self) -> Work:
        in_ram = self.n_layers - sum(self.by_card)
        devices = [0] * in_ram
        for number, n_layers in enumerate(self.by_card, start=1):
            devices += [number] * n_layers
        cards = len(self.by_card)
        experts = frozenset(range(in_ram, max(in_ram, self.n_cpu_moe)))
        return Work(tuple(devices), cards, cards + 1, experts, frozenset(range(1, cards + 1)))


@dataclass(frozen=True, slots=True)
class Reserved:
    load: Load
    layout: Mapping[str, Any]
    """Of `Cells`."""
    mib: tuple[float, ...]
    """The host first."""


def recorded() -> list[Reserved]:
    rows = json.loads(PATH.read_text())["rows"]
    return [
        Reserved(
            Load(row["load"][0], row["load"][1], tuple(row["load"][2]), row["load"][3]),
            LAYOUTS[row["layout"]],
            tuple(row["mib"]),
        )
        for row in rows
    ]


def _loads(shape: Shape) -> Iterator[Load]:
    n_layers = shape.n_layers
    for on_card in sorted({0, 1, n_layers // 2, n_layers}):
        yield Load(shape.name, n_layers, (on_card,))
    if shape in TINY:
        # Without really allocating, llama.cpp counts some bytes twice on a second card.
        yield Load(shape.name, n_layers, (n_layers // 2, n_layers - n_layers // 2))
        yield Load(shape.name, n_layers, (1, n_layers - 2))


def _measured(shape: Shape, path: Path, load: Load) -> Iterator[list[float] | None]:
    """For each layout; None where llama.cpp refuses."""
    contexts = [context_params(layout) for layout in LAYOUTS]
    _show(len(load.by_card))
    *others, last = load.by_card
    real = load_in_child(
        path,
        **({"no_alloc": True} if len(load.by_card) == 1 else {"unmapped": True}),
        n_gpu_layers=load.n_gpu_layers,
        tensor_split=(*others, last + 1),
        contexts=contexts,
    )
    assert real["loaded"], real["log"]
    for context in real["contexts"]:
        if not context["created"]:
            yield None
            continue
        sizes = context["compute_mib"]
        on_cards = [sizes.get(card, 0) for card in CARDS[: len(load.by_card)]]
        yield [round(sum(sizes.values()) - sum(sizes.get(card, 0) for card in CARDS), 2), *on_cards]


def _show(n_cards: int) -> None:
    """As a worker sees none beyond those that it has layers on."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(number) for number in range(n_cards))


def _with_experts_in_ram(shape: Shape, path: Path) -> Iterator[tuple[Load, int, list[float]]]:
    """By the worker's own dry run: only it leaves experts in RAM."""
    _show(1)
    for n_cpu_moe in (1, shape.n_layers):
        load = Load(shape.name, shape.n_layers, (shape.n_layers,), n_cpu_moe)
        for number, layout in enumerate(LAYOUTS):
            cells = Cells(**layout)
            n_seq_max = cells.n_seq_max - 1
            options = LoadOptions(
                n_ctx_seq=cells.n_ctx // n_seq_max, n_seq_max=n_seq_max, n_ubatch=cells.n_ubatch,
                type_k=cells.type_k, type_v=cells.type_v, n_gpu_layers=load.n_gpu_layers, n_cpu_moe=n_cpu_moe,
            )  # fmt: skip
            engine_devices = EngineDevices(gpus=(("gpu0", CARDS[0]),))
            exact = asyncio.run(
                dry_run(path, options, worker_environment(os.environ), engine_devices=engine_devices)
            ).compute_bytes
            yield load, number, [round(exact["gpu0"] / MIB, 2)]


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for shape in FOLLOWED:
        path = build(folder / "shape.gguf", shape)
        for load in _loads(shape):
            for number, mib in enumerate(_measured(shape, path, load)):
                if mib is not None:
                    yield _row(load, number, mib)
        if shape in WITH_EXPERTS:
            for load, number, mib in _with_experts_in_ram(shape, path):
                yield _row(load, number, mib)
        path.unlink()


def _row(load: Load, number: int, mib: Sequence[float]) -> dict[str, Any]:
    return {"load": list(asdict(load).values()), "layout": number, "mib": mib}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hostui-cuda-") as folder:
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in _rows(Path(folder)))
    card = asyncio.run(list_gpus((), worker_environment(os.environ)))[0].name
    source = f"llama-cpp-python {version('llama-cpp-python')}, its CUDA backend on {card}"
    PATH.write_text(f'{{"source": {json.dumps(source)}, "rows": [\n{rows}\n]}}\n')
    print(f"{PATH}: {len(rows.splitlines())} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
