"""What a variant takes in memory, told from its header alone. Standard library only."""

from models_app.memory.cache import Cells, LayerCache, kv_bytes_per_token, layer_caches
from models_app.memory.compute import LayerShapes, Work, compute_bytes, shapes_by_layer, split_work
from models_app.memory.estimate import Allocation, Estimate, LayerBytes, estimate

__all__ = [
    "Allocation",
    "Cells",
    "Estimate",
    "LayerBytes",
    "LayerCache",
    "LayerShapes",
    "Work",
    "compute_bytes",
    "estimate",
    "kv_bytes_per_token",
    "layer_caches",
    "shapes_by_layer",
    "split_work",
]
