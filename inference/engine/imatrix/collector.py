"""What an importance matrix is made of: which columns of each weight a text really uses, as llama.cpp's llama-imatrix finds out.

The sums are those of tools/imatrix/imatrix.cpp: for each matrix product, the squares of what goes into it, by column; for
experts, by expert. Wherever the product is computed, its input is read there.
"""

from __future__ import annotations

import ctypes
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.engine.llama import ggml

_FEWEST_ROWS = 16
_F32 = 0
_Kind = TypeVar("_Kind", bound=np.generic)


class Collector:
    """Sums up what goes into the weights of a graph. `error` is the first thing that went wrong: nothing may be raised into C."""

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

    def observe(self, address: int, ask: bool) -> bool:
        """Whether the node's result is wanted (`ask`), or whether to go on; see llama.Context. `address`: of a ggml_tensor."""
        if self.error is not None:
            return False
        try:
            node = ggml.GgmlTensor.from_address(address)
            op = ggml.op_name(node.op)
            if op not in (b"MUL_MAT", b"MUL_MAT_ID"):
                return not ask
            weight, inputs = (
                ggml.GgmlTensor.from_address(_source(node, 0)),
                ggml.GgmlTensor.from_address(_source(node, 1)),
            )
            name = _own_name(weight.name)
            if ask:
                return (
                    name.startswith("blk.")
                    and inputs.type == _F32
                    and (op == b"MUL_MAT_ID" or inputs.ne[1] >= _FEWEST_ROWS)
                )
            if op == b"MUL_MAT_ID":
                chosen = _numbers(_source(node, 2), np.int32)
                self._add_experts(name, weight.ne[2], _numbers(_source(node, 1), np.float32), chosen)
            else:
                self._add(name, weight.ne[2] * weight.ne[3], _numbers(_source(node, 1), np.float32))
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


def _source(node: ggml.GgmlTensor, number: int) -> int:
    """The address of a tensor that goes into `node`. Raises ValueError where there is none."""
    address = node.src[number]
    if address is None:
        raise ValueError("a product has nothing to work on")
    return address


def _numbers(address: int, kind: type[_Kind]) -> NDArray[_Kind]:
    """The numbers of the tensor at `address`, axes from last to first: where they lie, or a copy of what only a device can read."""
    tensor = ggml.GgmlTensor.from_address(address)
    buffer = ggml.GgmlTensor.from_address(tensor.view_src).buffer if tensor.view_src else tensor.buffer
    if not buffer:
        raise ValueError("what goes into a product lies nowhere")
    # Strides and all: what is between the rows of a tensor that is not contiguous comes along.
    n_bytes = ggml.tensor_bytes(address)
    if ggml.buffer_is_host(buffer):
        memory = (ctypes.c_char * n_bytes).from_address(tensor.data)
    else:
        memory = (ctypes.c_char * n_bytes)()
        ggml.copy_tensor(address, memory, 0, n_bytes)
    shape, strides = tuple(tensor.ne)[::-1], tuple(tensor.nb)[::-1]
    numbers: NDArray[_Kind] = np.ndarray(shape, dtype=kind, buffer=memoryview(memory), strides=strides)
    return numbers
