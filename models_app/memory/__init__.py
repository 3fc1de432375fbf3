"""What a variant takes in memory, told from its header alone. Standard library only."""

from models_app.memory.cache import Cells, LayerCache, kv_bytes_per_token, layer_caches
from models_app.memory.compute import ComputeBuffers, compute_bytes
from models_app.memory.estimate import Allocation, Estimate, LayerBytes, estimate
from models_app.memory.work import Work, split_work

__all__ = [
    "Allocation",
    "Cells",
    "ComputeBuffers",
    "Estimate",
    "LayerBytes",
    "LayerCache",
    "Work",
    "compute_bytes",
    "estimate",
    "kv_bytes_per_token",
    "layer_caches",
    "split_work",
]
