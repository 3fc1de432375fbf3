"""A thin, typed layer over llama.cpp's models, contexts, batches, sampler chains and quantize.

Nothing here decides anything. Every call runs with the GIL released, as ctypes does for shared libraries.
"""

from __future__ import annotations

from inference.engine.llama.bindings import LIBRARY
from inference.engine.llama.context import Batch, Context
from inference.engine.llama.log import LoadFailed, Log
from inference.engine.llama.model import Layout, Model
from inference.engine.llama.quantizer import QuantizeParams, quantize
from inference.engine.llama.samplers import Candidates, Chain, likeliest

__all__ = [
    "LIBRARY",
    "Batch",
    "Candidates",
    "Chain",
    "Context",
    "Layout",
    "LoadFailed",
    "Log",
    "Model",
    "QuantizeParams",
    "likeliest",
    "quantize",
]
