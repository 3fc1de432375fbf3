"""A header's answers, remembered."""

from __future__ import annotations

from functools import cached_property, lru_cache

from models_app.gguf import Header
from models_app.memory import (
    Allocation,
    Cells,
    ComputeBuffers,
    Estimate,
    Work,
    estimate,
    layer_caches,
)

_MOST_ESTIMATES = 128
_MOST_BUFFERS = 1024
"""The ways of an occupied machine take some hundred."""


class HeaderEstimates:
    """What a header says, asked once: for whoever places the same file again and again. Safe to use from several threads."""

    def __init__(self, header: Header) -> None:
        self.header = header
        buffers = ComputeBuffers(header)

        def estimated(cells: Cells, n_outputs: int | None = None) -> Estimate | None:
            return estimate(header, Allocation(cells, n_outputs_max=n_outputs or cells.n_seq_max))

        def computed(cells: Cells, work: Work, n_outputs: int | None = None) -> tuple[int, ...] | None:
            return buffers.sizes(cells, n_outputs or cells.n_seq_max, work)

        self.estimate = lru_cache(_MOST_ESTIMATES)(estimated)
        self.compute_bytes = lru_cache(_MOST_BUFFERS)(computed)

    @cached_property
    def largest(self) -> tuple[tuple[int, int], ...]:
        """Per layer, its largest tensor and its largest tensor of experts."""
        n_layers = self.header.n_layers or 0
        own, experts = [0] * n_layers, [0] * n_layers
        for tensor in self.header.tensors:
            layer = tensor.layer
            if layer is not None and layer < n_layers:
                sizes = experts if "_exps." in tensor.name else own
                sizes[layer] = max(sizes[layer], tensor.n_bytes)
        return tuple(zip(own, experts, strict=True))

    @cached_property
    def quantizes_kv(self) -> bool:
        """Whether its cache can be kept in blocks of 32: llama.cpp refuses heads that are no multiple of that."""
        caches = layer_caches(self.header) or ()
        heads = (self.header.key_length, self.header.value_length)
        return any(each.k_numbers for each in caches) and all(length and length % 32 == 0 for length in heads)
