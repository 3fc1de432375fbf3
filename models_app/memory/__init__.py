"""What a variant takes in memory, told from its header alone. Standard library only."""

from models_app.memory.cache import Cells, LayerCache, kv_bytes_per_token, layer_caches
from models_app.memory.compute import Work, compute_bytes, split_work, tensors_by_layer
from models_app.memory.estimate import Allocation, Estimate, LayerBytes, estimate

__all__ = [
    "Allocation",
    "Cells",
    "Estimate",
    "LayerBytes",
    "LayerCache",
    "Work",
    "compute_bytes",
    "estimate",
    "kv_bytes_per_token",
    "layer_caches",
    "split_work",
    "tensors_by_layer",
]
