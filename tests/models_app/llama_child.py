"""A child process that loads one GGUF with the real llama.cpp and says what came of it, as one JSON line.

python -m tests.models_app.llama_child PATH '{"no_alloc": false, "n_ctx": 256, ...}'
"""

from __future__ import annotations

import ctypes
import json
import math
import re
import sys
from typing import Any

import llama_cpp

_LINES: list[str] = []


@llama_cpp.llama_log_callback
def _keep(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:
    _LINES.append(text.decode(errors="replace"))


def _mib(pattern: str) -> float:
    return sum(float(found) for found in re.findall(pattern + r"\s*=\s*([\d.]+) MiB", "".join(_LINES)))


def run(path: str, options: dict[str, Any]) -> dict[str, Any]:
    llama_cpp.llama_log_set(_keep, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model_params = llama_cpp.llama_model_default_params()
    model_params.n_gpu_layers = 0
    if options.get("no_alloc"):
        model_params.no_alloc = True
        model_params.load_mode = 0
    model = llama_cpp.llama_model_load_from_file(path.encode(), model_params)
    if not model:
        return {"loaded": False, "log": "".join(_LINES)[-2000:]}
    context_params = llama_cpp.llama_context_default_params()
    for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "type_k", "type_v", "kv_unified", "swa_full"):
        if name in options:
            setattr(context_params, name, options[name])
    context = llama_cpp.llama_init_from_model(model, context_params)
    if not context:
        return {"loaded": True, "context": False, "log": "".join(_LINES)[-2000:]}
    outcome: dict[str, Any] = {
        "loaded": True,
        "context": True,
        "n_params": llama_cpp.llama_model_n_params(model),
        "n_layers": llama_cpp.llama_model_n_layer(model),
        "n_ctx": llama_cpp.llama_n_ctx(context),
        "tensor_bytes": llama_cpp.llama_model_size(model),
        "kv_mib": _mib("KV buffer size"),
        "recurrent_mib": _mib("RS buffer size"),
        "compute_mib": _mib("compute buffer size"),
        "flash_attention": "flash_attn    = enabled" in "".join(_LINES) or None,
    }
    if options.get("log"):
        outcome["log"] = "".join(_LINES)
    if not options.get("no_alloc"):
        vocab = llama_cpp.llama_model_get_vocab(model)
        n_vocab = llama_cpp.llama_vocab_n_tokens(vocab)
        tokens = (llama_cpp.llama_token * 8)(*[(7 * number + 5) % n_vocab for number in range(8)])
        outcome["decoded"] = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, 8)) == 0
        logits = llama_cpp.llama_get_logits_ith(context, -1)
        outcome["finite"] = all(math.isfinite(logits[number]) for number in range(n_vocab))
        outcome["distinct_logits"] = len({logits[number] for number in range(n_vocab)})
    return outcome


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], json.loads(sys.argv[2]))))
