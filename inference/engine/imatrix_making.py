"""Makes an importance matrix: which columns of each weight a text really uses, as llama.cpp's llama-imatrix finds out.

Runs in the child process of `inference.engine.quantize`, on the processor, with the weights left in their file: the matrix is
the same wherever it is made, and no GPU's memory is touched. The sums are those of tools/imatrix/imatrix.cpp: for each matrix
product, the squares of what goes into it, by column; for experts, by expert.
"""

from __future__ import annotations

import ctypes
import struct
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from inference.core.options import LoadOptions
from inference.engine.imatrix import COUNTS, SUMS, BadImatrix
from inference.engine.llama import LIBRARY, Batch, Context, Layout, Log, Model

CHUNK_TOKENS = 512
_BATCH_TOKENS = 128
"""All tokens of a batch need their row of logits, or the last layer would pass over them: a large vocabulary makes them megabytes."""
_FEWEST_ROWS = 16
_F32 = 0
_ALIGNMENT = 32
_op_name = LIBRARY.ggml_op_name
_op_name.restype, _op_name.argtypes = ctypes.c_char_p, (ctypes.c_int,)


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

    def __init__(self) -> None:
        self.sums: dict[str, NDArray[np.float32]] = {}
        """By weight: one row a matrix, one column an input."""
        self.counts: dict[str, NDArray[np.float32]] = {}
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
                self._add_experts(name, weight, inputs, _Tensor.from_address(node.src[2]))
            else:
                self._add(name, weight, inputs)
        except Exception as error:
            self.error = error
            return False
        return True

    def _add(self, name: str, weight: _Tensor, inputs: _Tensor) -> None:
        n_matrices = weight.ne[2] * weight.ne[3]
        squares = np.square(_view(inputs, np.float32), dtype=np.float32)
        # Axes are ggml's from last to first. An input with more matrices than its weight is used for all of them.
        by_matrix = squares.sum(axis=2).reshape(inputs.ne[3] * inputs.ne[2], inputs.ne[0])
        sums = self._row(name, n_matrices, inputs.ne[0], 1)
        for number, row in enumerate(by_matrix):
            sums[number % n_matrices] += row
        self.counts[name] += inputs.ne[1] * inputs.ne[2] * inputs.ne[3] / n_matrices

    def _add_experts(self, name: str, weight: _Tensor, inputs: _Tensor, chosen: _Tensor) -> None:
        n_experts = weight.ne[2]
        sums = self._row(name, n_experts, inputs.ne[0], n_experts)
        ids = _view(chosen, np.int32)[0, 0]
        rows = np.square(_view(inputs, np.float32)[0])
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


def _view(tensor: _Tensor, kind: Any) -> NDArray[Any]:
    """The tensor's numbers where they lie, axes from last to first."""
    ne, nb = list(tensor.ne), list(tensor.nb)
    n_bytes = sum((length - 1) * stride for length, stride in zip(ne, nb, strict=True)) + np.dtype(kind).itemsize
    memory = (ctypes.c_char * n_bytes).from_address(tensor.data)
    return np.ndarray(shape=ne[::-1], dtype=kind, buffer=memory, strides=nb[::-1])


def make(
    path: Path,
    target: Path,
    text: str,
    dataset: str,
    n_threads: int,
    most_chunks: int,
    on_chunk: Callable[[int, int], None],
) -> None:
    """Reads `text` with the model at `path` and writes its matrix to `target`. Blocks. Raises LoadFailed, BadImatrix, OSError."""
    log = Log()
    model = Model.load(path, log, layout=Layout(n_gpu_layers=0, gpus=()), mapped=True)
    tokens = model.tokenize(text, add_special=False, parse_special=False)
    chunks = [tokens[start : start + CHUNK_TOKENS] for start in range(0, len(tokens) - CHUNK_TOKENS + 1, CHUNK_TOKENS)]
    chunks = chunks[:most_chunks]
    if not chunks:
        raise BadImatrix(f"The text has {len(tokens)} tokens; at least {CHUNK_TOKENS} are needed.")
    collector = Collector()
    options = LoadOptions(n_ctx_seq=CHUNK_TOKENS, n_seq_max=1, n_batch=_BATCH_TOKENS, n_ubatch=_BATCH_TOKENS)
    context = Context(model, options, n_threads, log, n_outputs=_BATCH_TOKENS, on_node=collector.hear)
    batch = Batch(context.n_batch)
    for number, chunk in enumerate(chunks):
        _read(context, batch, chunk)
        if collector.error is not None:
            raise BadImatrix(f"What goes on inside this model could not be followed: {collector.error}.")
        context.clear(0)
        on_chunk(number + 1, len(chunks))
    if not collector.sums:
        raise BadImatrix("This model has no weights of the kind that an importance matrix is about.")
    write(target, collector, dataset, len(chunks))


def _read(context: Context, batch: Batch, chunk: array[int]) -> None:
    for start in range(0, len(chunk), _BATCH_TOKENS):
        batch.clear()
        for offset, token in enumerate(chunk[start : start + _BATCH_TOKENS]):
            batch.add(token, start + offset, 0, True)
        code = context.decode(batch)
        if code != 0:
            raise BadImatrix(f"llama.cpp could not read the text with this model (code {code}).")


# writing ------------------------------------------------------------------------------------------------------


def write(target: Path, collector: Collector, dataset: str, n_chunks: int) -> None:
    """GGUF, as llama-imatrix writes it. Raises BadImatrix for sums that are no numbers, and OSError."""
    entries = [
        _string("general.type") + struct.pack("<I", 8) + _string("imatrix"),
        _string("imatrix.datasets") + struct.pack("<IIQ", 9, 8, 1) + _string(dataset),
        _string("imatrix.chunk_count") + struct.pack("<II", 4, n_chunks),
        _string("imatrix.chunk_size") + struct.pack("<II", 4, CHUNK_TOKENS),
    ]
    rows: list[bytes] = []
    bodies: list[bytes] = []
    offset = 0
    for name in sorted(collector.sums):
        sums, counts = collector.sums[name], collector.counts[name]
        if not np.isfinite(sums).all():
            raise BadImatrix(f"{name} is fed with numbers that are none: the file is damaged.")
        for suffix, values, dims in (
            (SUMS, sums, (sums.shape[1], sums.shape[0])),
            (COUNTS, counts, (1, len(counts))),
        ):
            rows.append(_string(name + suffix) + struct.pack("<IQQIQ", 2, *dims, _F32, offset))
            raw = values.astype("<f4").tobytes()
            bodies.append(raw + bytes(-len(raw) % _ALIGNMENT))
            offset += len(bodies[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(entries)) + b"".join(entries) + b"".join(rows)
    with target.open("wb") as file:
        file.write(head + bytes(-len(head) % _ALIGNMENT))
        file.writelines(bodies)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
