"""The header estimate: weights, cache and output buffer, by layer and by where they go.

Compute buffers are the part of `compute`. Not estimated is what llama.cpp's CPU backend does with weights whose layout it rearranges
for the processor (its CPU_REPACK buffer): with `use_extra_bufts` these stay in anonymous memory as large as the tensors
themselves, while the file's pages that they were read from may be dropped at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

from models_app.gguf import Header, Tensor
from models_app.gguf.header import MOST_LAYERS
from models_app.memory.cache import Cells, layer_caches

_F32_BYTES = 4
_INPUT_TENSORS = ("token_embd.", "token_types.", "position_embd.", "per_layer_token_embd.")


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a load asks llama.cpp for."""

    cells: Cells
    n_gpu_layers: int | None = None
    """Counted from the last layer; the output counts as one more. None: all."""
    n_outputs_max: int | None = None
    """Rows of logits kept; None: one for each sequence."""


@dataclass(frozen=True, slots=True)
class LayerBytes:
    weights_bytes: int
    """All tensors of the layer, experts included."""
    experts_bytes: int
    """Of these, the ones that only chosen experts read."""
    cache_bytes: int | None
    """KV cache and recurrent state; None: not known for this architecture."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes by place. The token embedding always stays in host memory."""

    layers: tuple[LayerBytes, ...]
    input_bytes: int
    output_bytes: int
    """Output norm, and the head if the model has one of its own."""
    tied_bytes: int
    """The embedding that serves as the head of a model without one: copied when the output leaves the host."""
    output_buffer_bytes: int | None
    """Logits, in host memory; None: the size of the vocabulary is not told."""
    n_gpu_layers: int
    """Of `layers`, counted from the last; one more than there are means the output too."""

    @property
    def first_gpu_layer(self) -> int:
        return max(0, len(self.layers) + 1 - self.n_gpu_layers)

    @property
    def gpu_weights_bytes(self) -> int:
        on_gpu = sum(layer.weights_bytes for layer in self.layers[self.first_gpu_layer :])
        return on_gpu + (self.output_bytes + self.tied_bytes if self.n_gpu_layers else 0)

    @property
    def host_weights_bytes(self) -> int:
        on_host = self.input_bytes + sum(layer.weights_bytes for layer in self.layers[: self.first_gpu_layer])
        return on_host + (0 if self.n_gpu_layers else self.output_bytes)

    @property
    def gpu_cache_bytes(self) -> int | None:
        return _total(self.layers[self.first_gpu_layer :])

    @property
    def host_cache_bytes(self) -> int | None:
        return _total(self.layers[: self.first_gpu_layer])


def _total(layers: tuple[LayerBytes, ...]) -> int | None:
    sizes = [layer.cache_bytes for layer in layers]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def estimate(header: Header, allocation: Allocation) -> Estimate | None:
    """What loading the file of `header` allocates, compute buffers apart. None if it does not say how many layers it has."""
    n_layers = header.n_layers
    if n_layers is None or n_layers > MOST_LAYERS:
        return None
    weights, experts = [0] * n_layers, [0] * n_layers
    input_bytes = output_bytes = embedding_bytes = 0
    has_head = False
    for tensor in header.tensors:
        layer = tensor.layer
        if layer is not None and layer < n_layers:
            weights[layer] += tensor.n_bytes
            experts[layer] += tensor.n_bytes if _is_expert(tensor) else 0
        elif tensor.name.startswith(_INPUT_TENSORS):
            input_bytes += tensor.n_bytes
            embedding_bytes += tensor.n_bytes if tensor.name == "token_embd.weight" else 0
        else:
            output_bytes += tensor.n_bytes
            has_head |= tensor.name == "output.weight"
    caches = layer_caches(header)
    cells = allocation.cells
    wanted = n_layers + 1 if allocation.n_gpu_layers is None else allocation.n_gpu_layers
    n_vocab = header.n_vocab
    return Estimate(
        layers=tuple(
            LayerBytes(weights[number], experts[number], None if caches is None else caches[number].n_bytes(cells))
            for number in range(n_layers)
        ),
        input_bytes=input_bytes,
        output_bytes=output_bytes,
        tied_bytes=0 if has_head else embedding_bytes,
        output_buffer_bytes=(
            None if n_vocab is None else n_vocab * max(allocation.n_outputs_max or 0, cells.n_seq_max) * _F32_BYTES
        ),
        n_gpu_layers=min(wanted, n_layers + 1),
    )


def _is_expert(tensor: Tensor) -> bool:
    return "_exps." in tensor.name
