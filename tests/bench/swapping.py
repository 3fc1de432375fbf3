"""Two variants of which only one fits, behind our host or llama-server's router: somebody asks, and how long the words take to come."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.options import LoadOptions
from inference.host.api.client import HostClient
from models_app.gguf import read_files
from models_app.memory import Allocation, Cells, compute_bytes, estimate, split_work
from tests.bench import prompts
from tests.bench.bare_load import bare_load
from tests.bench.engine_worker import starter_model
from tests.bench.host_box import HostBox, running_host, variant_row
from tests.bench.quantized import quantized_starter
from tests.bench.router import Router

OTHER_TYPE = "Q8_0"
ROOM_FOR = 1.3
"""The budget, in sizes of the larger variant: one fits, both do not."""


class Side(Protocol):
    def stream(self, person: str, model: Path, prompt: str, options: GenerationOptions) -> AsyncIterator[None]:
        """One item for each piece of an answer."""


@dataclass(frozen=True, slots=True)
class OurSide:
    client: HostClient
    variants: Mapping[Path, int]

    async def stream(self, person: str, model: Path, prompt: str, options: GenerationOptions) -> AsyncIterator[None]:
        variant_id = self.variants[model]
        async with self.client.lease(variant_id=variant_id, user=person, request_id=person) as lease:
            async for _ in lease.waiting():
                pass
            async for event in lease.generate(request_id=person, owner=person, options=options, prompt=prompt):
                if event["type"] == "token":
                    yield


@dataclass(frozen=True, slots=True)
class TheirSide:
    router: Router

    async def stream(self, person: str, model: Path, prompt: str, options: GenerationOptions) -> AsyncIterator[None]:
        async for message in self.router.stream(model, prompt, options):
            if message.get("content"):
                yield


@dataclass(frozen=True, slots=True)
class Answered:
    """Seconds since the request."""

    first_token_seconds: float
    last_token_seconds: float


class Asking:
    """Requests of which no prompt was ever sent before."""

    def __init__(self, bans: Mapping[Path, Mapping[int, float]]) -> None:
        """`bans`: each model's logit bias with which no answer ends early."""
        self._numbers = count()
        self._bans = bans

    async def ask(
        self, side: Side, person: str, model: Path, n_tokens: int, began: asyncio.Event | None = None
    ) -> Answered:
        """`began` is set at the first word. Raises what the side raises."""
        options = GenerationOptions(temperature=0.0, max_tokens=n_tokens, logit_bias=self._bans[model])
        asked = time.perf_counter()
        first: float | None = None
        async for _ in side.stream(person, model, prompts.story(next(self._numbers)), options):
            if first is None:
                first = time.perf_counter() - asked
                if began is not None:
                    began.set()
        if first is None:
            raise RuntimeError(f"no word from {model.name}")
        return Answered(first, time.perf_counter() - asked)


def needed_bytes(model: Path, load: LoadOptions) -> int:
    """In RAM, all of it."""
    header, n_seq_max = read_files(model), load.n_seq_max + 1
    cells = Cells(load.n_ctx, n_seq_max, load.n_ubatch, load.type_k, load.type_v)
    told = estimate(header, Allocation(cells, 0, n_seq_max))
    buffers = compute_bytes(header, cells, n_seq_max, split_work(header.n_layers or 0, 0))
    assert told is not None
    assert buffers is not None
    return told.host_weights_bytes + (told.host_cache_bytes or 0) + (told.output_buffer_bytes or 0) + buffers[0]


def other_quantization(folder: Path) -> Path:
    """The starter, quantized otherwise."""
    return quantized_starter(folder, OTHER_TYPE)


@contextmanager
def two_models(other: Callable[[Path], Path] = other_quantization) -> Iterator[tuple[Path, Path]]:
    """The starter and another, both in the page cache."""
    with tempfile.TemporaryDirectory(prefix="hostui-bench-") as folder:
        models = (starter_model(), other(Path(folder)))
        for model in models:
            model.read_bytes()
        yield models


def bans(program: Path, models: Sequence[Path], load: LoadOptions, n_threads: int) -> dict[Path, dict[int, float]]:
    """What Asking wants to know of each model. `program` is the bare loader."""
    return {model: bare_load(program, model, load, n_threads).ban for model in models}


@contextmanager
def our_side(models: Sequence[Path], load: LoadOptions, **variables: str) -> Iterator[tuple[OurSide, HostBox]]:
    """A host with room for one of them."""
    budget_bytes = int(ROOM_FOR * max(needed_bytes(model, load) for model in models))
    rows = [variant_row(model.stem, model, load) for model in models]
    with running_host(rows, HOSTUI_BUDGET=str(budget_bytes), **variables) as box:
        yield OurSide(box.client, {model: box.variants[model.stem] for model in models}), box
