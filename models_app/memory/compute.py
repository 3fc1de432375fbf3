"""Compute buffers, told from the header: llama.cpp reserves its largest graph when a context is made.

`compute_bytes` builds that graph by sizes alone (`layers`) and lets ggml's own allocation run over it (`graph`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from models_app.gguf import Header
from models_app.gguf.header import MOST_LAYERS
from models_app.memory.cache import Cells, LayerCache, layer_caches
from models_app.memory.graph import HOST, Graph, Node
from models_app.memory.layers import LEAST_HELPED_ROWS, NUMBER_BYTES, LayerGraph, LayerTensors, Mask, Unknown

_FOLLOWED = frozenset("deepseek2 gemma2 gemma3 gpt-oss llama mamba phi3 qwen2 qwen3 qwen3moe qwen3next".split())  # noqa: SIM905
"""Architectures whose graphs `layers` follows and whose buffers were compared with llama.cpp's."""
_INDEX_BYTES = 8
_F16_BYTES = 2
_SCALES_EMBEDDING = frozenset({"gemma2", "gemma3"})
_PLAIN_HEADS = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
_SHARED_HEADS = {(192, 128): 8, (320, 256): 32, (512, 512): 1, (576, 512): 1}
"""Numbers in a head of K and of V that CUDA's flash attention knows; these only where so many heads share one, or a multiple."""
_TURNED = frozenset({"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"})
_LEAST_ROTATION = 64
_REPEATS = 3
"""Of equal layers in a row, as many say all: each writes where the one before the last did."""
_SCATTERED_SLACK = 1.25
"""Where experts stay on the host, work goes to and fro in every layer; llama.cpp's buffers were up to 24 % larger."""
_SLACK_BYTES = 1 << 20
_SLACK = 1.01
_HELPED_SLACK = 1.03
"""Where the many small copies fall between the large ones is not followed to the last."""
_PIPELINED_COPIES = 4
"""ggml-backend.cpp's GGML_SCHED_MAX_COPIES."""


@dataclass(frozen=True, slots=True)
class Work:
    """Which layers a device computes. The host is device 0; it also embeds the tokens."""

    devices: tuple[int, ...]
    """By layer."""
    output_device: int
    n_devices: int
    experts_on_host: frozenset[int] = frozenset()
    """Layers whose experts the host computes."""
    cuda: frozenset[int] = frozenset()
    """Devices of llama.cpp's CUDA backend. The first used one runs large batches for the host (`op_offload`)."""

    @property
    def used(self) -> frozenset[int]:
        """Devices with layers, or the output: a worker asks for no others."""
        return frozenset({*self.devices, self.output_device})

    @property
    def helper(self) -> int | None:
        """Runs large batches for the host."""
        host_works = HOST in self.devices or bool(self.experts_on_host)
        return min(self.used & self.cuda, default=None) if host_works else None

    @property
    def n_copies(self) -> int:
        """Batches that llama.cpp keeps under way at once: where several cards share all the layers, they work as a pipeline."""
        pipelined = len(self.used) > 1 and self.used <= self.cuda and not self.experts_on_host
        return _PIPELINED_COPIES if pipelined else 1

    def joined_on(self, number: int) -> int:
        """Where layer `number` hands over: from the host, llama.cpp's scheduler lets the next device take the sum."""
        own = self.devices[number]
        following = self.devices[number + 1] if number + 1 < len(self.devices) else self.output_device
        return following if own == HOST else own


def split_work(n_layers: int, n_gpu_layers: int | None, *, cuda: bool = False) -> Work:
    """Layers counted from the last go to device 1; the output counts as one more. None: all."""
    wanted = n_layers + 1 if n_gpu_layers is None else min(n_gpu_layers, n_layers + 1)
    first = max(0, n_layers + 1 - wanted)
    return Work(
        tuple(int(number >= first) for number in range(n_layers)),
        int(wanted > 0),
        2,
        cuda=frozenset({1} if cuda and wanted else ()),
    )


def compute_bytes(
    header: Header,
    cells: Cells,
    n_outputs_max: int | None,
    work: Work,
    *,
    every_layer: bool = False,
    tensors: Sequence[LayerTensors] | None = None,
) -> tuple[int, ...] | None:
    """Bytes of each device's compute buffer, host first. `every_layer`: slower, and the same.

    `tensors`: `tensors_by_layer(header)`, for whoever asks more than once.

    None where the architecture's graph is not followed here or its header lacks what it takes.
    """
    n_embd, n_vocab, n_layers, caches = header.n_embd, header.n_vocab, header.n_layers, layer_caches(header)
    if header.architecture not in _FOLLOWED or caches is None or n_layers is None or n_layers > MOST_LAYERS:
        return None
    if not n_embd or not n_vocab or len(work.devices) != n_layers:
        return None
    if header.architecture == "mamba" and len({*work.devices} - {HOST}) > 1:
        # Part of a layer's work is done where the next one is.
        return None
    if cells.flash_attention and not _keeps_flash_attention(header, cells, work, caches):
        if cells.type_v != "f16":
            # Which needs it.
            return None
        cells = replace(cells, flash_attention=False)
    n_tokens = min(cells.per_stream * cells.n_streams, cells.n_ubatch)
    n_tokens = -(-n_tokens // cells.n_seq_max) * cells.n_seq_max
    tensors = tensors_by_layer(header) if tensors is None else tensors

    def reserved(n_tokens: int, helper: int | None) -> list[int]:
        n_outputs = max(min(n_tokens, n_outputs_max or n_tokens), 1)
        builder = _Builder(header, cells, n_tokens, n_outputs, caches, tensors, every_layer)
        scattered = work.experts_on_host if helper is None else len({*work.devices} - {HOST}) > 1
        slack = _SCATTERED_SLACK if scattered else _SLACK if helper is None else _HELPED_SLACK
        graph = builder.build(n_embd, n_vocab, work, helper)
        return [int(n * slack) for n in graph.buffer_bytes(work.n_devices, work.n_copies)]

    try:
        if work.helper is None or n_tokens < LEAST_HELPED_ROWS:
            sizes = reserved(n_tokens, None)
        else:
            # The host runs smaller batches itself.
            graphs = [reserved(n_tokens, work.helper), reserved(LEAST_HELPED_ROWS - 1, None)]
            if n_tokens < LEAST_HELPED_ROWS * cells.n_seq_max and any(cache.state_bytes for cache in caches):
                # Recurrent layers count the tokens of each sequence: part of their work is brought over, part is not.
                graphs += [
                    [int(n * _SCATTERED_SLACK) for n in graph] for graph in (graphs[0], reserved(n_tokens, None))
                ]
            sizes = [max(each) for each in zip(*graphs, strict=True)]
    except Unknown:
        return None
    return tuple(n_bytes + _SLACK_BYTES if n_bytes else 0 for n_bytes in sizes)


@dataclass(frozen=True, slots=True)
class _Builder:
    header: Header
    cells: Cells
    n_tokens: int
    n_outputs: int
    caches: tuple[LayerCache, ...]
    tensors: Sequence[LayerTensors]
    every_layer: bool

    def build(self, n_embd: int, n_vocab: int, work: Work, helper: int | None) -> Graph:
        graph = Graph()
        row = n_embd * NUMBER_BYTES
        graph.input(row * self.n_tokens, HOST)
        tokens = graph.input(self.n_tokens * NUMBER_BYTES, HOST)
        positions = graph.input(self.n_tokens * NUMBER_BYTES, HOST)
        hidden = graph.expand(graph.result(row * self.n_tokens, tokens))
        masks = self.masks(graph)
        recurs = any(cache.state_bytes for cache in self.caches)
        states = graph.input(self.cells.n_seq_max * NUMBER_BYTES, HOST) if recurs else None
        graph.helper = helper
        if self.header.architecture in _SCALES_EMBEDDING:
            graph.device = work.devices[0]
            hidden = graph.result(hidden.n_bytes, hidden, in_place=True)
        tensors = self.tensors
        late = self.header.architecture in ("qwen3next", "gpt-oss")
        for number in range(len(tensors)) if self.every_layer else _telling(tensors, self.caches, work):
            graph.device = work.devices[number]
            is_last = number == len(self.caches) - 1
            cache = self.caches[number]
            hidden = LayerGraph(
                graph, self.header, self.cells, self.n_tokens, self.cells.n_seq_max, number, tensors[number], cache,
                masks.get(cache.window) if cache.k_numbers else None, positions, states,
                work.joined_on(number), HOST if number in work.experts_on_host else work.devices[number],
                self.n_outputs if is_last and not late else None, HOST not in work.devices, work.cuda,
            ).build(hidden)  # fmt: skip
        graph.device, graph.helper = work.output_device, None
        normed = graph.result(hidden.n_bytes, hidden, in_place=True)
        normed = graph.result(normed.n_bytes, normed, in_place=True)
        if late:
            normed.is_output = True
            normed = graph.result(row * self.n_outputs, normed)
        normed.is_output = True
        logits = graph.result(n_vocab * self.n_outputs * NUMBER_BYTES, normed)
        logits.is_output = True
        graph.expand(logits)
        return graph

    def masks(self, graph: Graph) -> dict[int | None, Mask]:
        masks: dict[int | None, Mask] = {}
        attending = [cache for cache in self.caches if cache.k_numbers]
        flash = self.cells.flash_attention
        widest_v = max((cache.padded_v_numbers for cache in attending), default=0)
        for window in {cache.window: None for cache in attending}:
            n_cells = self.cells.per_stream if window is None else self.cells.in_window(window)
            masks[window] = Mask(
                n_cells,
                graph.input(n_cells * self.n_tokens * (_F16_BYTES if flash else NUMBER_BYTES), HOST),
                graph.input(self.n_tokens * _INDEX_BYTES, HOST),
                graph.input(self.n_tokens * _INDEX_BYTES * (1 if flash else widest_v), HOST),
                self.rotation(graph, self.cells.type_k, self.header.key_length, largest=True),
                self.rotation(graph, self.cells.type_v, self.header.value_length, largest=False),
            )
        return masks

    def rotation(self, graph: Graph, type_name: str, head: int | None, *, largest: bool) -> Node | None:
        """llama_kv_cache::build_input_k_rot and _v_rot: the largest power of two in a head of K, 64 for V."""
        # Latent attention keeps its compressed rows unturned.
        if (
            type_name not in _TURNED
            or not head
            or head % _LEAST_ROTATION
            or self.header.integer(self.header.key("attention.kv_lora_rank"))
        ):
            return None
        width = math.gcd(head, 1 << head.bit_length()) if largest else _LEAST_ROTATION
        return graph.input(width * width * NUMBER_BYTES, HOST)


def _keeps_flash_attention(header: Header, cells: Cells, work: Work, caches: Sequence[LayerCache]) -> bool:
    """llama.cpp turns it off for all layers where one's would run elsewhere than the layer, tried with a token a sequence."""
    if work.helper is not None and cells.n_seq_max >= LEAST_HELPED_ROWS:
        return False
    return not work.used & work.cuda or _attends_on_cuda(header, caches)


def _attends_on_cuda(header: Header, caches: Sequence[LayerCache]) -> bool:
    """Whether every layer's heads are among those of ggml_cuda_get_best_fattn_kernel (fattn.cu)."""
    heads, kv_heads = header.n_heads, header.n_kv_heads
    if heads is None or kv_heads is None:
        return False
    rank = header.integer(header.key("attention.kv_lora_rank"))
    for cache, n_heads, n_kv_heads in zip(caches, heads, kv_heads, strict=True):
        if not cache.k_numbers or not n_kv_heads:
            continue
        k_head, n_shared = cache.k_numbers // n_kv_heads, n_heads // n_kv_heads
        v_head = cache.v_numbers // n_kv_heads or rank or 0
        if (k_head, v_head) in _SHARED_HEADS:
            if n_shared < 2 or n_shared % _SHARED_HEADS[k_head, v_head]:
                return False
        elif k_head != v_head or k_head not in _PLAIN_HEADS:
            return False
    return True


def tensors_by_layer(header: Header) -> Sequence[LayerTensors]:
    """Of tensors with one name and shape, the largest tells for all: quantizations give some layers more bits."""
    shapes: list[dict[str, tuple[int, ...]]] = [{} for _ in range(header.n_layers or 0)]
    largest: dict[tuple[str, tuple[int, ...]], int] = {}
    for tensor in header.tensors:
        number = tensor.layer
        if number is not None and number < len(shapes):
            name = tensor.name.split(".", 2)[2]
            shapes[number][name] = tensor.shape
            largest[name, tensor.shape] = max(tensor.n_bytes, largest.get((name, tensor.shape), 0))
    return [LayerTensors(layer, {name: largest[name, shape] for name, shape in layer.items()}) for layer in shapes]


def _telling(tensors: Sequence[LayerTensors], caches: Sequence[LayerCache], work: Work) -> list[int]:
    """The layers without those that repeat what came before them. First and last always count."""
    telling: list[int] = []
    n_alike = 0
    for number, layer in enumerate(tensors):
        alike = (
            number > 0
            and layer.shapes == tensors[number - 1].shapes
            and caches[number] == caches[number - 1]
            and work.devices[number] == work.devices[number - 1]
            and work.joined_on(number) == work.joined_on(number - 1)
            and (number in work.experts_on_host) == (number - 1 in work.experts_on_host)
        )
        n_alike = n_alike + 1 if alike else 1
        if n_alike <= _REPEATS or number == len(tensors) - 1:
            telling.append(number)
    return telling
