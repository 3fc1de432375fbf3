"""A child process that asks llama.cpp's own GGUF reader about files: paths come in, one a line, JSON lines go out.

python -m tests.models_app.gguf_oracle GGML_TYPE_COUNT < paths
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import llama_cpp


class _InitParams(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


def _library() -> ctypes.CDLL:
    (path,) = Path(llama_cpp.__file__).parent.glob("lib/libggml-base.so.0")
    library = ctypes.CDLL(str(path))
    context = ctypes.c_void_p
    for name, result, arguments in (
        ("gguf_init_from_file", context, [ctypes.c_char_p, _InitParams]),
        ("gguf_free", None, [context]),
        ("gguf_get_version", ctypes.c_uint32, [context]),
        ("gguf_get_alignment", ctypes.c_size_t, [context]),
        ("gguf_get_data_offset", ctypes.c_size_t, [context]),
        ("gguf_get_n_kv", ctypes.c_int64, [context]),
        ("gguf_get_key", ctypes.c_char_p, [context, ctypes.c_int64]),
        ("gguf_get_n_tensors", ctypes.c_int64, [context]),
        ("gguf_get_tensor_name", ctypes.c_char_p, [context, ctypes.c_int64]),
        ("gguf_get_tensor_type", ctypes.c_int, [context, ctypes.c_int64]),
        ("gguf_get_tensor_offset", ctypes.c_size_t, [context, ctypes.c_int64]),
        ("gguf_get_tensor_size", ctypes.c_size_t, [context, ctypes.c_int64]),
        ("ggml_type_size", ctypes.c_size_t, [ctypes.c_int]),
        ("ggml_blck_size", ctypes.c_int64, [ctypes.c_int]),
        ("ggml_type_name", ctypes.c_char_p, [ctypes.c_int]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def describe(library: ctypes.CDLL, path: str) -> dict[str, Any] | None:
    """What llama.cpp reads from `path`, None if it refuses."""
    context = library.gguf_init_from_file(path.encode(), _InitParams(no_alloc=True, ctx=None))
    if not context:
        return None
    data_offset = library.gguf_get_data_offset(context)
    found = {
        "version": library.gguf_get_version(context),
        "alignment": library.gguf_get_alignment(context),
        "data_offset": data_offset,
        "keys": [library.gguf_get_key(context, i).decode() for i in range(library.gguf_get_n_kv(context))],
        "tensors": [
            [
                library.gguf_get_tensor_name(context, i).decode(),
                library.gguf_get_tensor_type(context, i),
                data_offset + library.gguf_get_tensor_offset(context, i),
                library.gguf_get_tensor_size(context, i),
            ]
            for i in range(library.gguf_get_n_tensors(context))
        ],
    }
    library.gguf_free(context)
    return found


def tensor_types(library: ctypes.CDLL, count: int) -> list[list[Any]]:
    """Every type ggml can store, of `count` in its enumeration: number, name, block elements, block bytes."""
    return [
        [n, library.ggml_type_name(n).decode(), library.ggml_blck_size(n), library.ggml_type_size(n)]
        for n in range(count)
        if library.ggml_blck_size(n)
    ]


if __name__ == "__main__":
    loaded = _library()
    print(json.dumps(tensor_types(loaded, int(sys.argv[1]))))
    for line in sys.stdin:
        print(json.dumps(describe(loaded, line.rstrip("\n"))))
