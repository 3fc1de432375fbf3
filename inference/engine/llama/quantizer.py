"""Calls llama.cpp's quantize."""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.engine.llama import bindings as c


@dataclass(frozen=True, slots=True)
class QuantizeParams:
    """llama_model_quantize_params, with ggml's and llama.cpp's own numbers."""

    file_type: int
    output_type: int | None
    embedding_type: int | None
    pure: bool
    keep_split: bool
    n_threads: int
    dry_run: bool
    max_buffer_bytes: int
    importance: Mapping[str, array[float]]
    """By tensor name. Empty: no importance matrix."""
    importance_name: str
    """Of the text that it was made from, kept in the result's metadata."""


def quantize(source: Path, target: Path, wanted: QuantizeParams) -> bool:
    """Quantizes `source` into `target`; blocks. False where llama.cpp gave up: the log has its reason.

    With `keep_split`, `target` is what the names of the shards begin with.
    """
    c.llama_backend_init()
    params = c.llama_model_quantize_default_params()
    params.ftype = wanted.file_type
    params.nthread = wanted.n_threads
    params.allow_requantize = True
    params.pure = wanted.pure
    params.keep_split = wanted.keep_split
    params.dry_run = wanted.dry_run
    params.max_buf_size = wanted.max_buffer_bytes
    if wanted.output_type is not None:
        params.output_tensor_type = wanted.output_type
    if wanted.embedding_type is not None:
        params.token_embedding_type = wanted.embedding_type
    kept = _set_importance(params, wanted) if wanted.importance else ()
    code = c.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    del kept
    return code == 0


def _set_importance(params: c.llama_model_quantize_params, wanted: QuantizeParams) -> tuple[object, ...]:
    """Fills `params`, with what llama.cpp's own program writes into the result. They point into what comes back."""
    rows = (c.llama_model_imatrix_data * (len(wanted.importance) + 1))()
    for row, (name, values) in zip(rows, wanted.importance.items(), strict=False):
        address, n_values = values.buffer_info()
        row.name, row.size = name.encode(), n_values
        row.data = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
    params.imatrix = ctypes.cast(rows, ctypes.POINTER(c.llama_model_imatrix_data))
    overrides = (c.llama_model_kv_override * 3)()
    overrides[0].tag, overrides[0].key = c.LLAMA_KV_OVERRIDE_TYPE_STR, b"quantize.imatrix.dataset"
    c.override_value(overrides[0]).val_str = wanted.importance_name.encode()[:127]
    overrides[1].tag, overrides[1].key = c.LLAMA_KV_OVERRIDE_TYPE_INT, b"quantize.imatrix.entries_count"
    c.override_value(overrides[1]).val_i64 = len(wanted.importance)
    params.kv_overrides = ctypes.cast(overrides, ctypes.POINTER(c.llama_model_kv_override))
    return rows, overrides
