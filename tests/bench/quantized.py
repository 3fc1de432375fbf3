"""Other variants of the starter, made from it as the box makes them."""

from __future__ import annotations

import os
from pathlib import Path

from inference.core.planning.recipe import Recipe
from inference.engine.tools.quantize import quantize
from tests.bench.engine_worker import starter_model


def quantized_starter(folder: Path, quantization: str) -> Path:
    """The starter as another quantization type, worse than one made from the original weights. Takes some seconds.

    Raises QuantizeFailed.
    """
    target = folder / f"starter-{quantization}.gguf"
    for _ in quantize(starter_model(), target, Recipe(quantization), os.environ):
        pass
    return target
