"""Compute buffers, told from the header: llama.cpp reserves its largest graph when a context is made.

`compute_bytes` builds that graph by sizes alone (`layers`) and lets ggml's own allocation run over it (`graph`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models_app.gguf import Header
from models_app.gguf.header import MOST_LAYERS
from models_app.memory.cache import Cells, LayerCache, layer_caches
from models_app.memory.graph import HOST, Graph
from models_app.memory.layers import LEAST_HELPED_ROWS, NUMBER_BYTES, LayerGraph, LayerTensors, Mask, Unknown

_FOLLOWED = frozenset("deepseek2 gemma2 gemma3 gpt-oss llama mamba phi3 qwen2 qwen3 qwen3moe qwen3next".split())  # noqa: SIM905
"""Architectures whose graphs `layers` follows and whose buffers were compared with llama.cpp's."""
_INDEX_BYTES = 8
_F16_BYTES = 2
_REPEATS = 3
"""Of equal layers in a row, as many say all: each writes where the one before the last did."""
_SCATTERED_SLACK = 1.25
"""Where experts stay on the host, work goes to and fro in every layer; llama.cpp's buffers were up to 24 % larger."""
_SLACK_BYTES = 1 << 20
_SLACK = 1.01


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
    """Devices of llama.cpp's CUDA backend. The first of them runs large batches for the host (`op_offload`)."""

    @property
    def helper(self) -> int | None:
        return min(self.cuda, default=None) if self.experts_on_host or HOST in self.devices else None

    def joined_on(self, number: int) -> int:
        """Where layer `number` hands over: from the host, llama.cpp's scheduler lets the next device take the sum."""
        own = self.devices[number]
        following = self.devices[number + 1] if number + 1 < len(self.devices) else self.output_device
        return following if own == HOST else own


def split_work(n_layers: int, n_gpu_layers: int | None, *, cuda: bool = False) -> Work:
    """Layers counted from the last go to device 1; the output counts as one more. None: all."""
    wanted = n_layers + 1 if n_gpu_layers is None else min(n_gpu_layers, n_layers + 1)
    first = max(0, n_layers + 1 - wanted)
    return Work(tuple(int(number >= first) for number in range(n_layers)), int(wanted > 0), 2, cuda=frozenset({1} if cuda and wanted else ()))


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
    n_tokens = min(cells.per_stream * cells.n_streams, cells.n_ubatch)
    n_tokens = -(-n_tokens // cells.n_seq_max) * cells.n_seq_max
    tensors = tensors_by_layer(header) if tensors is None else tensors

    def reserved(n_tokens: int, helper: int | None) -> list[int]:
        n_outputs = max(min(n_tokens, n_outputs_max or n_tokens), 1)
        builder = _Builder(header, cells, n_tokens, n_outputs, caches, tensors, every_layer)
        return builder.build(n_embd, n_vocab, work, helper).buffer_bytes(work.n_devices)

    try:
        if work.helper is None or n_tokens < LEAST_HELPED_ROWS:
            sizes = reserved(n_tokens, None)
        else:
            # The host runs smaller batches itself.
            helped, unhelped = reserved(n_tokens, work.helper), reserved(LEAST_HELPED_ROWS - 1, None)
            sizes = [max(pair) for pair in zip(helped, unhelped, strict=True)]
    except Unknown:
        return None
    slack = _SCATTERED_SLACK if work.experts_on_host else _SLACK
    return tuple(int(n_bytes * slack) + _SLACK_BYTES if n_bytes else 0 for n_bytes in sizes)


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
                self.n_outputs if is_last and not late else None, work.cuda,
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
            )
        return masks


def tensors_by_layer(header: Header) -> Sequence[LayerTensors]:
    layers: list[tuple[dict[str, tuple[int, ...]], dict[str, int]]] = [({}, {}) for _ in range(header.n_layers or 0)]
    for tensor in header.tensors:
        number = tensor.layer
        if number is not None and number < len(layers):
            name = tensor.name.split(".", 2)[2]
            layers[number][0][name], layers[number][1][name] = tensor.shape, tensor.n_bytes
    return [LayerTensors(*layer) for layer in layers]


def _telling(tensors: Sequence[LayerTensors], caches: Sequence[LayerCache], work: Work) -> list[int]:
    """The layers without those that repeat what came before them. First and last always count."""
    telling: list[int] = []
    n_alike = 0
    for number, layer in enumerate(tensors):
        alike = (
            number > 0
            and layer.shapes == tensors[number - 1].shapes
            and (work.helper is None or layer.sizes == tensors[number - 1].sizes)
            and caches[number] == caches[number - 1]
            and work.devices[number] == work.devices[number - 1]
            and work.joined_on(number) == work.joined_on(number - 1)
            and (number in work.experts_on_host) == (number - 1 in work.experts_on_host)
        )
        n_alike = n_alike + 1 if alike else 1
        if n_alike <= _REPEATS or number == len(tensors) - 1:
            telling.append(number)
    return telling
