"""Compute buffers, told from the header: llama.cpp reserves its largest graph when a context is made.

`compute_bytes` builds that graph by sizes alone (`layers`) and lets ggml's own allocation run over it (`graph`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from models_app.gguf import Header
from models_app.gguf.header import MOST_LAYERS
from models_app.memory.cache import Cells, LayerCache, layer_caches
from models_app.memory.graph import HOST, Graph, GraphNode
from models_app.memory.layers import LEAST_HELPED_ROWS, NUMBER_BYTES, LayerGraph, LayerTensors, Mask, Unknown
from models_app.memory.work import Work

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
_MOST_SMALL_BATCHES = 64
_MOST_NODES = 4096
"""About, of one graph. The largest of released models that differ by layer takes half as many; a stranger's may have no end."""
_LAYER_NODES = 25
_REPEATS = 3
"""Of equal layers in a row, as many say all: each writes where the one before the last did."""
_SCATTERED_SLACK = 1.25
"""Where experts stay on the host, work goes to and fro in every layer; llama.cpp's buffers were up to 24 % larger."""
_MIXED_SLACK = 1.08
"""Where a card helps with layers of several kinds; llama.cpp's buffers were up to 6 % larger."""
_SHORT_SLACK = 1.1
"""Where part of a recurrent layer's work is brought over and part is not."""
_SLACK_BYTES = 1 << 20
_HELPED_SLACK_BYTES = 4 << 20
"""Where the many small copies fall between the large ones is not followed to the last."""
_SLACK = 1.01


class ComputeBuffers:
    """What the loads of one file reserve for computing. Safe to ask from several threads."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._tensors = tensors_by_layer(header)
        self._caches = layer_caches(header)
        self._of_small_batches = lru_cache(_MOST_SMALL_BATCHES)(self._host_bytes_of_small_batches)

    def sizes(
        self, cells: Cells, n_outputs_max: int | None, work: Work, *, every_layer: bool = False
    ) -> tuple[int, ...] | None:
        """Bytes of each device's compute buffer, host first. `every_layer`: slower, and the same.

        None where the architecture's graph is not followed here or its header lacks what it takes.
        """
        header, caches, n_layers = self.header, self._caches, self.header.n_layers
        if header.architecture not in _FOLLOWED or caches is None or n_layers is None or n_layers > MOST_LAYERS:
            return None
        if not header.n_embd or not header.n_vocab or len(work.devices) != n_layers:
            return None
        if header.architecture == "mamba" and len({*work.devices} - {HOST}) > 1:
            # Part of a layer's work is done where the next one is.
            return None
        if (
            work.helper is not None
            and not work.used & work.cuda & {*work.devices}
            and not _attends_on_cuda(header, caches)
        ):
            # Attention alone stays with the host.
            return None
        if cells.flash_attention and not _keeps_flash_attention(header, cells, work, caches):
            if cells.type_v != "f16":
                # Which needs it.
                return None
            cells = replace(cells, flash_attention=False)
        n_tokens = min(cells.per_stream * cells.n_streams, cells.n_ubatch)
        n_tokens = -(-n_tokens // cells.n_seq_max) * cells.n_seq_max
        try:
            if work.helper is None or n_tokens < LEAST_HELPED_ROWS:
                sizes = self._reserved(cells, n_tokens, n_outputs_max, work, None, every_layer)
            else:
                sizes = self._helped(cells, n_tokens, n_outputs_max, work, every_layer)
        except (Unknown, LookupError, ZeroDivisionError):
            # A tensor is missing, or of another shape than the architecture's: llama.cpp refuses such a file.
            return None
        slack_bytes = _SLACK_BYTES if work.helper is None else _HELPED_SLACK_BYTES
        return tuple(n_bytes + slack_bytes if n_bytes else 0 for n_bytes in sizes)

    def _reserved(
        self,
        cells: Cells,
        n_tokens: int,
        n_outputs_max: int | None,
        work: Work,
        helper: int | None,
        every_layer: bool = False,
    ) -> list[int]:
        assert self._caches is not None
        n_outputs = max(min(n_tokens, n_outputs_max or n_tokens), 1)
        builder = _Builder(self.header, cells, n_tokens, n_outputs, self._caches, self._tensors, every_layer)
        slack = _SLACK
        if helper is None and work.experts_on_host:
            slack = _SCATTERED_SLACK
        elif helper is not None and any(cache.window or cache.state_bytes for cache in self._caches):
            slack = _MIXED_SLACK
        sizes = builder.build(work, helper).buffer_bytes(work.n_devices, work.n_copies)
        return [int(n_bytes * slack) for n_bytes in sizes]

    def _helped(
        self, cells: Cells, n_tokens: int, n_outputs_max: int | None, work: Work, every_layer: bool
    ) -> list[int]:
        """A card runs the host's large batches. Small ones stay with the host and take less than these of the cards."""
        assert self._caches is not None
        sizes = self._reserved(cells, n_tokens, n_outputs_max, work, work.helper, every_layer)
        if n_tokens < LEAST_HELPED_ROWS * cells.n_seq_max and any(cache.state_bytes for cache in self._caches):
            # Recurrent layers count the tokens of each sequence: part of their work is brought over, part is not.
            unhelped = self._reserved(cells, n_tokens, n_outputs_max, work, None, every_layer)
            sizes = [int(max(pair) * _SHORT_SLACK) for pair in zip(sizes, unhelped, strict=True)]
        elif n_tokens < 4 * LEAST_HELPED_ROWS:
            unhelped = self._reserved(cells, LEAST_HELPED_ROWS - 1, n_outputs_max, work, None, every_layer)
            sizes = [max(pair) for pair in zip(sizes, unhelped, strict=True)]
        small_bytes = self._of_small_batches(cells, n_outputs_max, HOST not in work.devices)
        return [max(sizes[HOST], small_bytes), *sizes[1:]]

    def _host_bytes_of_small_batches(self, cells: Cells, n_outputs_max: int | None, only_experts: bool) -> int:
        """The host's buffer where all layers, or all experts, are on it: which of them does not matter."""
        n_layers = self.header.n_layers or 0
        if only_experts:
            work = Work((1,) * n_layers, 1, 2, frozenset(range(n_layers)))
        else:
            work = Work((HOST,) * n_layers, 1, 2)
        return self._reserved(cells, LEAST_HELPED_ROWS - 1, n_outputs_max, work, None)[HOST]


def compute_bytes(
    header: Header, cells: Cells, n_outputs_max: int | None, work: Work, *, every_layer: bool = False
) -> tuple[int, ...] | None:
    """ComputeBuffers.sizes, asked once."""
    return ComputeBuffers(header).sizes(cells, n_outputs_max, work, every_layer=every_layer)


@dataclass(frozen=True, slots=True)
class _Builder:
    header: Header
    cells: Cells
    n_tokens: int
    n_outputs: int
    caches: tuple[LayerCache, ...]
    tensors: Sequence[LayerTensors]
    every_layer: bool

    def build(self, work: Work, helper: int | None) -> Graph:
        """`header` tells the width of a token and the size of the vocabulary. Raises Unknown."""
        tensors = self.tensors
        telling = range(len(tensors)) if self.every_layer else _telling(tensors, self.caches, work)
        if len(telling) * (_LAYER_NODES + 2 * (self.header.n_experts_used or 0)) > _MOST_NODES:
            raise Unknown("a graph as large as that")
        graph = Graph()
        n_vocab, row = self.header.n_vocab or 0, (self.header.n_embd or 0) * NUMBER_BYTES
        graph.input(row * self.n_tokens, HOST)
        tokens = graph.input(self.n_tokens * NUMBER_BYTES, HOST)
        positions = graph.input(self.n_tokens * NUMBER_BYTES, HOST)
        hidden = graph.expand(graph.result(row * self.n_tokens, tokens))
        masks = self.masks(graph)
        output_rows = graph.input(self.n_outputs * NUMBER_BYTES, HOST)
        recurs = any(cache.state_bytes for cache in self.caches)
        states = graph.input(self.cells.n_seq_max * NUMBER_BYTES, HOST) if recurs else None
        graph.helper = helper
        if self.header.architecture in _SCALES_EMBEDDING:
            graph.device = work.devices[0]
            hidden = graph.result(hidden.n_bytes, hidden, in_place=True)
        late = self.header.architecture in ("qwen3next", "gpt-oss")
        for number in telling:
            graph.device = work.devices[number]
            is_last = number == len(self.caches) - 1
            cache = self.caches[number]
            hidden = LayerGraph(
                graph, self.header, self.cells, self.n_tokens, self.cells.n_seq_max, number, tensors[number], cache,
                masks.get(cache.window) if cache.k_numbers else None, positions, states,
                work.joined_on(number), HOST if number in work.experts_on_host else work.devices[number],
                output_rows if is_last and not late else None, HOST not in work.devices, work.cuda,
            ).build(hidden)  # fmt: skip
        graph.device, graph.helper = work.output_device, None
        normed = graph.result(hidden.n_bytes, hidden, in_place=True)
        normed = graph.result(normed.n_bytes, normed, in_place=True)
        if late:
            normed.is_output = True
            normed = graph.result(row * self.n_outputs, normed, output_rows)
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

    def rotation(self, graph: Graph, type_name: str, head: int | None, *, largest: bool) -> GraphNode | None:
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
    """The tensors that stand for each layer's: the largest of one name and shape, for some layers get more bits."""
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
