"""A header's answers, remembered."""

from __future__ import annotations

from functools import cached_property

from models_app.gguf import Header
from models_app.memory import (
    Allocation,
    Cells,
    Estimate,
    LayerShapes,
    Work,
    compute_bytes,
    estimate,
    layer_caches,
    shapes_by_layer,
)


class Told:
    """What a header says, asked once: for whoever places the same file again and again."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._estimates: dict[Cells, Estimate | None] = {}
        self._compute: dict[tuple[Cells, Work], tuple[int, ...] | None] = {}

    def estimate(self, cells: Cells) -> Estimate | None:
        if cells not in self._estimates:
            self._estimates[cells] = estimate(self.header, Allocation(cells, n_outputs_max=cells.n_seq_max))
        return self._estimates[cells]

    def compute_bytes(self, cells: Cells, work: Work) -> tuple[int, ...] | None:
        if (cells, work) not in self._compute:
            found = compute_bytes(self.header, cells, cells.n_seq_max, work, shapes=self.shapes)
            self._compute[cells, work] = found
        return self._compute[cells, work]

    @cached_property
    def shapes(self) -> LayerShapes:
        return shapes_by_layer(self.header)

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
