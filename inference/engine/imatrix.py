"""Importance matrices in llama.cpp's GGUF form (tools/imatrix/imatrix.cpp): read for quantizing.

For each weight there are two tensors: `NAME.in_sum2`, the sums of squared inputs by column, and `NAME.counts`, the rows that
went into them; experts have one row each.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.core.header import BadGguf, Header, read_files

MOST_BYTES = 4 << 30
SUMS, COUNTS = ".in_sum2", ".counts"


class BadImatrix(ValueError):
    """The message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Importance:
    values: Mapping[str, array[float]]
    """Mean squares by tensor name, as llama_model_quantize wants them."""
    dataset: str
    """The name of the text it was made from, as its maker spelled it."""
    n_chunks: int | None


def read_importance(path: Path, model: Header) -> Importance:
    """What `path` says about the weights of `model`. Blocks on the disk. Raises BadImatrix."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MOST_BYTES:
            raise BadImatrix(f"{path.name} is too large for an importance matrix.")
        header = read_files(path)
        if header.type != "imatrix":
            raise BadImatrix(f"{path.name} is a GGUF, but no importance matrix.")
        values = _values(path, header)
    except BadGguf as bad:
        raise BadImatrix(
            f"{path.name} is no importance matrix in GGUF form: {bad}. Older .dat files can be converted with llama-imatrix."
        ) from None
    except OSError as error:
        raise BadImatrix(f"{path.name} cannot be read: {error.strerror or error}.") from None
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


def _values(path: Path, header: Header) -> dict[str, array[float]]:
    """Raises BadImatrix, OSError."""
    import numpy as np

    tensors = {tensor.name: tensor for tensor in header.tensors}
    values: dict[str, array[float]] = {}
    with path.open("rb") as file:

        def read(name: str) -> np.ndarray:
            tensor = tensors.get(name)
            if tensor is None or tensor.type.name != "f32":
                raise BadImatrix(f"{path.name} is damaged: {name} is missing or of the wrong type.")
            file.seek(tensor.offset)
            return np.frombuffer(file.read(tensor.n_bytes), dtype="<f4")

        for name in (each.removesuffix(SUMS) for each in tensors if each.endswith(SUMS)):
            sums, counts = read(name + SUMS), read(name + COUNTS)
            if not len(counts) or len(sums) % len(counts):
                raise BadImatrix(f"{path.name} is damaged: {name} has {len(sums)} sums for {len(counts)} counts.")
            rows = sums.reshape(len(counts), -1)
            # An expert that was never asked has no say: all its columns count alike.
            means = np.where(counts[:, None] > 0, rows / np.maximum(counts, 1)[:, None], np.float32(1))
            if not np.isfinite(means).all():
                raise BadImatrix(f"{path.name} is damaged: {name} holds numbers that are none.")
            values[name] = array("f", means.astype("<f4").tobytes())
    return values
