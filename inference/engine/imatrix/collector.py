"""What an importance matrix is made of: which columns of each weight a text really uses, as llama.cpp's llama-imatrix finds out.

The sums are those of tools/imatrix/imatrix.cpp: for each matrix product, the squares of what goes into it, by column; for
experts, by expert. Wherever the product is computed, its input is read there.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from inference.engine.imatrix.file import COUNTS, SUMS, BadImatrix
from inference.engine.llama import LIBRARY

_FEWEST_ROWS = 16
_F32 = 0
_ALIGNMENT = 32
_op_name = LIBRARY.ggml_op_name
_op_name.restype, _op_name.argtypes = ctypes.c_char_p, (ctypes.c_int,)
_is_host = LIBRARY.ggml_backend_buffer_is_host
_is_host.restype, _is_host.argtypes = ctypes.c_bool, (ctypes.c_void_p,)
_n_bytes = LIBRARY.ggml_nbytes
_n_bytes.restype, _n_bytes.argtypes = ctypes.c_size_t, (ctypes.c_void_p,)
_get = LIBRARY.ggml_backend_tensor_get
_get.restype, _get.argtypes = None, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)


class _Tensor(ctypes.Structure):
    """ggml.h's ggml_tensor."""

    _fields_: ClassVar = [
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    ]


class Collector:
    """Hears a graph's nodes. `error` is the first thing that went wrong: nothing may be raised into C."""

    def __init__(
        self,
        sums: dict[str, NDArray[np.float32]] | None = None,
        counts: dict[str, NDArray[np.float32]] | None = None,
    ) -> None:
        """Goes on from `sums` and `counts`, which it changes."""
        self.sums = sums or {}
        """By weight: one row a matrix, one column an input."""
        self.counts = counts or {}
        self.error: Exception | None = None

    def hear(self, address: int, ask: bool) -> bool:
        if self.error is not None:
            return False
        try:
            node = _Tensor.from_address(address)
            op = _op_name(node.op)
            if op not in (b"MUL_MAT", b"MUL_MAT_ID"):
                return not ask
            weight, inputs = _Tensor.from_address(node.src[0]), _Tensor.from_address(node.src[1])
            name = _own_name(weight.name)
            if ask:
                return (
                    name.startswith("blk.")
                    and inputs.type == _F32
                    and (op == b"MUL_MAT_ID" or inputs.ne[1] >= _FEWEST_ROWS)
                )
            if op == b"MUL_MAT_ID":
                chosen = _numbers(node.src[2], np.int32)
                self._add_experts(name, weight.ne[2], _numbers(node.src[1], np.float32), chosen)
            else:
                self._add(name, weight.ne[2] * weight.ne[3], _numbers(node.src[1], np.float32))
        except Exception as error:
            self.error = error
            return False
        return True

    def _add(self, name: str, n_matrices: int, inputs: NDArray[np.float32]) -> None:
        by_matrix = np.square(inputs).sum(axis=2)
        sums = self._row(name, n_matrices, inputs.shape[3], 1)
        # An input with more matrices than its weight is used for all of them.
        for number, row in enumerate(by_matrix.reshape(-1, inputs.shape[3])):
            sums[number % n_matrices] += row
        self.counts[name] += np.prod(inputs.shape[:3]) / n_matrices

    def _add_experts(self, name: str, n_experts: int, inputs: NDArray[np.float32], chosen: NDArray[np.int32]) -> None:
        sums = self._row(name, n_experts, inputs.shape[3], n_experts)
        ids = chosen[0, 0]
        rows = np.square(inputs[0])
        for place in range(ids.shape[1]):
            given = rows[:, place % rows.shape[1]]
            for expert in np.unique(ids[:, place]):
                if not 0 <= expert < n_experts:
                    raise ValueError("an expert that is not there was chosen")
                is_asked = ids[:, place] == expert
                sums[expert] += given[is_asked].sum(axis=0)
                self.counts[name][expert] += int(is_asked.sum())

    def _row(self, name: str, n_matrices: int, n_columns: int, n_counts: int) -> NDArray[np.float32]:
        if name not in self.sums:
            self.sums[name] = np.zeros((n_matrices, n_columns), dtype=np.float32)
            self.counts[name] = np.zeros(n_counts, dtype=np.float32)
        if self.sums[name].shape != (n_matrices, n_columns):
            raise ValueError(f"{name} has changed its size")
        return self.sums[name]


def _own_name(name: bytes) -> str:
    """`blk.0.attn_k.weight` of `CPU#blk.0.attn_k.weight#0`."""
    parts = name.decode("utf-8", "replace").split("#")
    return parts[1] if len(parts) > 1 else parts[0]


def _numbers(address: int, kind: Any) -> NDArray[Any]:
    """The numbers of the tensor at `address`, axes from last to first: where they lie, or a copy of what only a device can read."""
    tensor = _Tensor.from_address(address)
    buffer = _Tensor.from_address(tensor.view_src).buffer if tensor.view_src else tensor.buffer
    if not buffer:
        raise ValueError("what goes into a product lies nowhere")
    # Strides and all: what is between the rows of a tensor that is not contiguous comes along.
    n_bytes = _n_bytes(address)
    if _is_host(buffer):
        memory = (ctypes.c_char * n_bytes).from_address(tensor.data)
    else:
        memory = (ctypes.c_char * n_bytes)()
        _get(address, memory, 0, n_bytes)
    return np.ndarray(shape=list(tensor.ne)[::-1], dtype=kind, buffer=memory, strides=list(tensor.nb)[::-1])


# writing ------------------------------------------------------------------------------------------------------


def encoded(collector: Collector, dataset: str, n_chunks: int, chunk_tokens: int) -> bytes:
    """The file, as llama-imatrix writes it: GGUF. Raises BadImatrix for sums that are no numbers, or for none."""
    if not collector.sums:
        raise BadImatrix("this model has no weights of the kind that an importance matrix is about")
    entries = [
        _string("general.type") + struct.pack("<I", 8) + _string("imatrix"),
        _string("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + _string(dataset),
        _string("imatrix.chunk_count") + struct.pack("<II", 4, n_chunks),
        _string("imatrix.chunk_size") + struct.pack("<II", 4, chunk_tokens),
    ]
    rows: list[bytes] = []
    bodies: list[bytes] = []
    offset = 0
    for name in sorted(collector.sums):
        sums, counts = collector.sums[name], collector.counts[name]
        if not np.isfinite(sums).all():
            raise BadImatrix(f"{name} is fed with numbers that are none: the file is damaged")
        for suffix, values, dims in (
            (SUMS, sums, (sums.shape[1], sums.shape[0])),
            (COUNTS, counts, (1, len(counts))),
        ):
            rows.append(_string(name + suffix) + struct.pack("<IQQIQ", 2, *dims, _F32, offset))
            raw = values.astype("<f4").tobytes()
            bodies.append(raw + bytes(-len(raw) % _ALIGNMENT))
            offset += len(bodies[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(entries)) + b"".join(entries) + b"".join(rows)
    return b"".join([head, bytes(-len(head) % _ALIGNMENT), *bodies])


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
