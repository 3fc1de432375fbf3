"""A child process that loads one GGUF with the real llama.cpp and says what came of it, as one JSON line.

python -m tests.models_app.llama_child PATH '{"contexts": [{"n_ctx": 256}], "no_alloc": false, ...}'
"""

from __future__ import annotations

import ctypes
import json
import math
import re
import sys
from typing import Any

import llama_cpp

from tests.models_app.rpc_device import register

_LINES: list[str] = []


@llama_cpp.llama_log_callback
def _keep(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    _LINES.append(text.decode(errors="replace"))


def _mib(what: str) -> dict[str, float]:
    """MiB by device, of the lines that say `DEVICE what = N MiB`."""
    sizes: dict[str, float] = {}
    for device, size in re.findall(rf"(\S+)\s+{what}\s*=\s*([\d.]+) MiB", "".join(_LINES)):
        sizes[device] = sizes.get(device, 0) + float(size)
    return sizes


def run(path: str, options: dict[str, Any]) -> dict[str, Any]:
    llama_cpp.llama_log_set(_keep, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    if "rpc" in options:
        register(options["rpc"])
    model_params = llama_cpp.llama_model_default_params()
    model_params.n_gpu_layers = options.get("n_gpu_layers", 0)
    if not model_params.n_gpu_layers:
        # Else a card would still help with large batches.
        model_params.devices = ctypes.cast((ctypes.c_void_p * 1)(), ctypes.c_void_p)
    shares = (ctypes.c_float * llama_cpp.llama_max_devices())(*options.get("tensor_split", ()))
    if options.get("tensor_split"):
        model_params.tensor_split = shares
    if options.get("no_alloc"):
        model_params.no_alloc = True
    if options.get("no_alloc") or options.get("unmapped"):
        model_params.load_mode = 0
    model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
    if not model:
        return {"loaded": False, "log": "".join(_LINES)[-2000:]}
    return {
        "loaded": True,
        "n_params": llama_cpp.llama_model_n_params(model),
        "n_layers": llama_cpp.llama_model_n_layer(model),
        "tensor_bytes": llama_cpp.llama_model_size(model),
        "weights_mib": _mib("model buffer size"),
        "contexts": [_context(model, context, options) for context in options["contexts"]],
    }


def _context(model: Any, wishes: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    _LINES.clear()
    params = llama_cpp.llama_context_default_params()
    for name, value in wishes.items():
        setattr(params, name, value)
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        return {"created": False, "log": "".join(_LINES)[-2000:]}
    outcome: dict[str, Any] = {
        "created": True,
        "n_ctx": llama_cpp.llama_n_ctx(context),
        "kv_mib": _mib("KV buffer size"),
        "recurrent_mib": _mib("RS buffer size"),
        "compute_mib": _mib("compute buffer size"),
        "output_mib": _mib("output buffer size"),
    }
    if options.get("decode"):
        outcome |= _decode(model, context)
    llama_cpp.llama_free(context)
    return outcome


def _decode(model: Any, context: Any) -> dict[str, Any]:
    n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    tokens = (llama_cpp.llama_token * 8)(*[(7 * number + 5) % n_vocab for number in range(8)])
    code = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, 8))
    logits = llama_cpp.llama_get_logits_ith(context, -1)
    values = [logits[number] for number in range(n_vocab)]
    return {
        "decoded": code == 0,
        "finite": all(math.isfinite(value) for value in values),
        "distinct_logits": len(set(values)),
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], json.loads(sys.argv[2]))))
