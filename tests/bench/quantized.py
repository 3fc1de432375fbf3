"""Other variants of the starter, made from it by llama.cpp in a child process: `python -m tests.bench.quantized SOURCE TARGET TYPE`."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from models_app.quantization import QUANTIZATION_TYPES_BY_NAME
from tests.bench.engine_worker import starter_model
from tests.stack import BASE_DIR


class QuantizingFailed(Exception):
    """llama.cpp made no file; the message ends with what it said."""


def quantized_starter(folder: Path, quantization: str) -> Path:
    """The starter as another quantization type, worse than one made from the original weights. Takes some seconds."""
    target = folder / f"starter-{quantization}.gguf"
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.quantized", str(starter_model()), str(target), quantization],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise QuantizingFailed(done.stderr[-1000:])
    return target


def main() -> int:
    import llama_cpp

    source, target, quantization = sys.argv[1:]
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = QUANTIZATION_TYPES_BY_NAME[quantization].number
    params.allow_requantize = True
    return int(llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params)))


if __name__ == "__main__":
    sys.exit(main())
