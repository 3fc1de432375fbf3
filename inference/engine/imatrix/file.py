"""Importance matrices in llama.cpp's GGUF form (tools/imatrix/imatrix.cpp): written by a worker, read for quantizing.

For each weight there are two tensors: `NAME.in_sum2`, the sums of squared inputs by column, and `NAME.counts`, the rows that
went into them; experts have one row each.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference.core.planning.header import BadGguf, Header, read_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_BYTES = 4 << 30
_SUMS, _COUNTS = ".in_sum2", ".counts"
_F32 = 0
_ALIGNMENT = 32

Sums = dict[str, "NDArray[np.float32]"]
"""By weight: one row a matrix, one column an input. Of counts: one number a matrix."""


class BadImatrix(ValueError):
    """The message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Importance:
    """What a file says about the weights of one model."""

    values: Mapping[str, array[float]]
    """Mean squares by tensor name, as llama_model_quantize wants them."""
    dataset: str
    """The name of the text it was made from, as its maker spelled it."""
    n_chunks: int | None


def read_importance(path: Path, model: Header) -> Importance:
    """What `path` says about the weights of `model`. Blocks on the disk. Raises BadImatrix."""
    header, tensors = _read(path)
    values = _means(path, tensors)
    sizes = {
        tensor.name: tensor.shape[0] * (tensor.shape[2] if len(tensor.shape) > 2 else 1) for tensor in model.tensors
    }
    known = {name: each for name, each in values.items() if name in sizes}
    wrong = [name for name, each in known.items() if len(each) != sizes[name]]
    if wrong or not known:
        what = f"{wrong[0]} has another size there" if wrong else "it names none of its weights"
        raise BadImatrix(f"{path.name} was made for another model: {what}.")
    datasets = header.metadata.get("imatrix.datasets")
    first = datasets[0] if isinstance(datasets, tuple) and datasets else ""
    return Importance(known, str(first).rpartition("/")[2], header.integer("imatrix.chunk_count"))


def read_sums(path: Path) -> tuple[Sums, Sums]:
    """Sums and counts by weight, to go on from: one row a matrix. Blocks on the disk. Raises BadImatrix."""
    _, tensors = _read(path)
    return {name: sums for name, (sums, _) in tensors.items()}, {name: counts for name, (_, counts) in tensors.items()}


_Tensors = dict[str, "tuple[NDArray[np.float32], NDArray[np.float32]]"]


def _read(path: Path) -> tuple[Header, _Tensors]:
    """The header, and by weight its sums, one row a matrix, with the counts. Raises BadImatrix."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MOST_BYTES:
            raise BadImatrix(f"{path.name} is too large for an importance matrix.")
        header = read_files(path)
        if header.type != "imatrix":
            raise BadImatrix(f"{path.name} is a GGUF, but no importance matrix.")
        return header, _tensors(path, header)
    except BadGguf as bad:
        raise BadImatrix(
            f"{path.name} is no importance matrix in GGUF form: {bad}. Older .dat files can be converted with llama-imatrix."
        ) from None
    except OSError as error:
        raise BadImatrix(f"{path.name} cannot be read: {error.strerror or error}.") from None


def _tensors(path: Path, header: Header) -> _Tensors:
    """Raises BadImatrix, OSError."""
    import numpy as np

    tensors = {tensor.name: tensor for tensor in header.tensors}
    found: _Tensors = {}
    with path.open("rb") as file:

        def read(name: str) -> NDArray[np.float32]:
            tensor = tensors.get(name)
            if tensor is None or tensor.type.name != "f32":
                raise BadImatrix(f"{path.name} is damaged: {name} is missing or of the wrong type.")
            file.seek(tensor.offset)
            # A copy: whoever goes on from it adds to it.
            return np.frombuffer(file.read(tensor.n_bytes), dtype="<f4").reshape(-1, tensor.shape[0]).astype(np.float32)

        for name in (each.removesuffix(_SUMS) for each in tensors if each.endswith(_SUMS)):
            found[name] = read(name + _SUMS), read(name + _COUNTS).reshape(-1)
    return found


def _means(path: Path, tensors: _Tensors) -> dict[str, array[float]]:
    """Raises BadImatrix."""
    import numpy as np

    values: dict[str, array[float]] = {}
    for name, (sums, counts) in tensors.items():
        if not len(counts) or sums.size % len(counts):
            raise BadImatrix(f"{path.name} is damaged: {name} has {sums.size} sums for {len(counts)} counts.")
        rows = sums.reshape(len(counts), -1)
        # An expert that was never asked has no say: all its columns count alike.
        means = np.where(counts[:, None] > 0, rows / np.maximum(counts, 1)[:, None], np.float32(1))
        if not np.isfinite(means).all():
            raise BadImatrix(f"{path.name} is damaged: {name} holds numbers that are none.")
        values[name] = array("f", means.astype("<f4").tobytes())
    return values


# writing ------------------------------------------------------------------------------------------------------


def encoded(sums_by_weight: Sums, counts_by_weight: Sums, dataset: str, n_chunks: int, chunk_tokens: int) -> bytes:
    """The bytes of the file, as llama-imatrix writes it. Raises BadImatrix for sums that are no numbers, or for none."""
    import numpy as np

    if not sums_by_weight:
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
    for name in sorted(sums_by_weight):
        sums, counts = sums_by_weight[name], counts_by_weight[name]
        if not np.isfinite(sums).all():
            raise BadImatrix(f"{name} is fed with numbers that are none: the file is damaged")
        for suffix, values, dims in (
            (_SUMS, sums, (sums.shape[1], sums.shape[0])),
            (_COUNTS, counts, (1, len(counts))),
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
