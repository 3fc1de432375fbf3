"""Writes synthetic GGUF files: a true header and tensor table of any shape, over a sparse or a random body.

A sparse body is a hole in the file: an 80-layer model takes a few KB on disk and plans like the original. A random body
consists of valid blocks and decodes in llama.cpp. `broken()` gives files that a reader must refuse.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from models_app.gguf import LongArray, read_files
from models_app.gguf.quantization import QUANTIZATION_TYPES_BY_NAME, TENSOR_TYPES_BY_NAME, TensorType
from tests.gguf_blocks import contents
from tests.gguf_shapes import LARGE, SHAPES, TINY, Shape, TensorPlan

__all__ = ["LARGE", "SHAPES", "TINY", "Raw", "Shape", "broken", "build"]

ALIGNMENT = 32
CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)

# writing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raw:
    """A metadata value that is already encoded: its GGUF type and its bytes."""

    value_type: int
    payload: bytes


def _string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def _array(items: Sequence[Any]) -> bytes:
    head = struct.pack("<Q", len(items))
    if all(isinstance(item, bool) for item in items):
        return struct.pack("<I", 7) + head + struct.pack(f"<{len(items)}?", *items)
    if all(isinstance(item, int) for item in items):
        return struct.pack("<I", 5) + head + struct.pack(f"<{len(items)}i", *items)
    if all(isinstance(item, float) for item in items):
        return struct.pack("<I", 6) + head + struct.pack(f"<{len(items)}f", *items)
    return struct.pack("<I", 8) + head + b"".join(_string(item) for item in items)


def key_value(key: str | bytes, value: Any) -> bytes:
    """One metadata entry: bool, int as u32, float as f32, str, a tuple as an array, or Raw."""
    if isinstance(value, Raw):
        return _string(key) + struct.pack("<I", value.value_type) + value.payload
    if isinstance(value, bool):
        return _string(key) + struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return _string(key) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return _string(key) + struct.pack("<If", 6, value)
    if isinstance(value, str):
        return _string(key) + struct.pack("<I", 8) + _string(value)
    return _string(key) + struct.pack("<I", 9) + _array(value)


def tensor_row(name: str | bytes, dims: Sequence[int], type_number: int, offset: int) -> bytes:
    return _string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, type_number, offset)


def header(
    entries: Sequence[bytes] = (),
    rows: Sequence[bytes] = (),
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    n_tensors: int | None = None,
    n_keys: int | None = None,
    order: Literal["<", ">"] = "<",
) -> bytes:
    """Magic, counts, metadata and tensor table. The counts are true unless told otherwise."""
    counts = (len(rows) if n_tensors is None else n_tensors, len(entries) if n_keys is None else n_keys)
    return magic + struct.pack(f"{order}IQQ", version, *counts) + b"".join(entries) + b"".join(rows)


def _padding(n_bytes: int, alignment: int = ALIGNMENT) -> bytes:
    return b"\0" * (-n_bytes % alignment)


# vocabularies -------------------------------------------------------------------------------------------------

Vocabulary = Literal["none", "synthetic"] | Path
"""`none`: llama.cpp takes the number of tokens from the shape; files stay tiny. `synthetic`: a SentencePiece-like
vocabulary with a chat template. A path: the vocabulary of that GGUF, as far as the shape has room for it."""


def _synthetic_vocabulary(n_vocab: int) -> dict[str, Any]:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces += letters + [a + b for a in letters for b in "aeiou"] + ["▁" + letter for letter in letters]
    pieces = pieces[:n_vocab] + [f"▁word{number}" for number in range(max(0, n_vocab - len(pieces)))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * n_vocab][:n_vocab]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tuple(pieces),
        "tokenizer.ggml.scores": tuple(-float(number) for number in range(n_vocab)),
        "tokenizer.ggml.token_type": tuple(kinds),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def _copied_vocabulary(path: Path) -> tuple[dict[str, Any], int]:
    """The `tokenizer.*` entries of the GGUF at `path`, arrays as they lie there, and the number of tokens."""
    source = read_files(path)
    entries: dict[str, Any] = {}
    with path.open("rb") as file:
        for key, value in source.metadata.items():
            if not key.startswith("tokenizer."):
                continue
            if isinstance(value, LongArray):
                file.seek(value.offset)
                payload = struct.pack("<IQ", value.element_type, value.n_elements) + file.read(value.n_bytes)
                entries[key] = Raw(9, payload)
            else:
                entries[key] = value
    assert source.n_vocab is not None
    return entries, source.n_vocab


# types --------------------------------------------------------------------------------------------------------


def _tensor_type(plan: TensorPlan, shape: Shape, quantization: str) -> TensorType:
    """The type llama.cpp's quantize would give, near enough to make files of the right size."""
    if plan.content in ("norm", "small", "negative"):
        return TENSOR_TYPES_BY_NAME["f32"]
    name = QUANTIZATION_TYPES_BY_NAME[quantization].tensor_type.name
    if quantization in ("Q4_K_M", "Q5_K_M"):
        layer = int(plan.name.split(".")[1]) if plan.name.startswith("blk.") else 0
        eighth = shape.n_layers // 8
        more_bits = layer < eighth or layer >= 7 * eighth or (layer - eighth) % 3 == 2
        is_output = plan.content == "output" or (plan.content == "embedding" and shape.tied)
        if is_output or (plan.content in ("value", "down") and more_bits):
            name = "q6_K"
    elif plan.content in ("embedding", "output") and name not in ("f32", "f16", "bf16"):
        name = "q8_0" if name in ("q8_0", "mxfp4", "nvfp4", "tq1_0", "tq2_0") else "q6_K"
    for candidate in (name, "q8_0"):
        if plan.dims[0] % TENSOR_TYPES_BY_NAME[candidate].block_elements == 0:
            return TENSOR_TYPES_BY_NAME[candidate]
    return TENSOR_TYPES_BY_NAME["f16"]


def _body(plan: TensorPlan, tensor_type: TensorType, random: Any) -> bytes:
    import numpy as np

    n_elements = prod(plan.dims)
    if plan.content == "norm":
        return np.ones(n_elements, dtype="<f4").tobytes()
    if plan.content == "negative":
        return (-1.0 - random.random(n_elements, dtype=np.float32)).astype("<f4").tobytes()
    return contents(random, tensor_type, n_elements, deviation=plan.dims[0] ** -0.5)


# files --------------------------------------------------------------------------------------------------------


def build(
    path: Path,
    shape: Shape,
    *,
    quantization: str = "Q4_0",
    body: Literal["sparse", "random"] = "sparse",
    split: int = 1,
    vocabulary: Vocabulary | None = None,
    metadata: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Writes a GGUF of `shape` and returns its path: `path`, or the first of `split` shards named after it.

    `vocabulary` is `none` by default for sparse bodies and `synthetic` for random ones. `metadata` overrides entries
    (None removes one). The same arguments make the same bytes.
    """
    chosen: Vocabulary = vocabulary or ("none" if body == "sparse" else "synthetic")
    entries: dict[str, Any] = {
        "general.architecture": shape.architecture,
        "general.type": "model",
        "general.name": shape.name,
        "general.file_type": QUANTIZATION_TYPES_BY_NAME[quantization].number,
        **shape.metadata(),
    }
    n_vocab = shape.n_vocab
    if chosen == "none":
        entries["tokenizer.ggml.model"] = "no_vocab"
    elif chosen == "synthetic":
        entries |= _synthetic_vocabulary(n_vocab)
    else:
        copied, n_vocab = _copied_vocabulary(Path(chosen))
        entries |= copied
        entries[f"{shape.architecture}.vocab_size"] = n_vocab
    entries = {key: value for key, value in (entries | dict(metadata or {})).items() if value is not None}

    plans = [
        (
            TensorPlan(plan.name, (plan.dims[0], n_vocab), plan.content)
            if plan.content in ("embedding", "output")
            else plan
        )
        for plan in shape.tensors()
    ]
    per_shard = -(-len(plans) // split)
    paths = [path] if split == 1 else _shard_paths(path, split)
    for number, shard in enumerate(paths):
        mine = plans[number * per_shard : (number + 1) * per_shard]
        splitting = {
            "split.no": Raw(2, struct.pack("<H", number)),
            "split.count": Raw(2, struct.pack("<H", split)),
            "split.tensors.count": Raw(5, struct.pack("<i", len(plans))),
        }
        shard_entries = dict(entries) if number == 0 else {}
        if split > 1:
            shard_entries |= splitting
        _write(shard, shard_entries, mine, shape, quantization, body, seed + number)
    return paths[0]


def _shard_paths(path: Path, split: int) -> list[Path]:
    stem = path.name.removesuffix(".gguf")
    return [path.with_name(f"{stem}-{number:05d}-of-{split:05d}.gguf") for number in range(1, split + 1)]


def _write(
    path: Path,
    entries: Mapping[str, Any],
    plans: Sequence[TensorPlan],
    shape: Shape,
    quantization: str,
    body: Literal["sparse", "random"],
    seed: int,
) -> None:
    offset = 0
    rows, sized = [], []
    for plan in plans:
        tensor_type = _tensor_type(plan, shape, quantization)
        n_bytes = prod(plan.dims) // tensor_type.block_elements * tensor_type.block_bytes
        rows.append(tensor_row(plan.name, plan.dims, tensor_type.number, offset))
        sized.append((plan, tensor_type))
        offset += n_bytes + len(_padding(n_bytes))
    head = header([key_value(key, value) for key, value in entries.items()], rows)
    with path.open("wb") as file:
        file.write(head + _padding(len(head)))
        if body == "sparse":
            file.truncate(file.tell() + offset)
            return
        import numpy as np

        random = np.random.default_rng(seed)
        for plan, tensor_type in sized:
            raw = _body(plan, tensor_type, random)
            file.write(raw + _padding(len(raw)))


# broken files -------------------------------------------------------------------------------------------------


def broken() -> dict[str, bytes]:
    """Files that a reader must refuse, by what is wrong with them."""
    name = key_value("general.architecture", "llama")

    def one_tensor(dims: Sequence[int] = (32,), type_number: int = 0, offset: int = 0, body: int = 128) -> bytes:
        head = header([name], [tensor_row("a.weight", dims, type_number, offset)])
        return head + _padding(len(head)) + b"\0" * body

    def two_tensors(second_name: str, second_offset: int) -> bytes:
        head = header([name], [tensor_row("a", (32,), 0, 0), tensor_row(second_name, (32,), 0, second_offset)])
        return head + _padding(len(head)) + b"\0" * 1024

    whole = one_tensor()
    return {
        "empty": b"",
        "a few bytes": b"GGUF",
        "bad magic": b"GGML" + whole[4:],
        "an html page": b"<!doctype html><title>Sign in</title>" * 4,
        "version 1": header([name], version=1),
        "version 4": header([name], version=4),
        "version 0": header([name], version=0),
        "big endian": header([name], order=">"),
        "huge tensor count": header([name], n_tensors=1 << 62),
        "huge key count": header([name], n_keys=1 << 62),
        "more keys than there are": header([name], n_keys=2),
        "more tensors than there are": header([name], n_tensors=3),
        "negative counts": header([name], n_tensors=(1 << 64) - 1, n_keys=(1 << 64) - 1),
        "key longer than the file": header([struct.pack("<Q", 1 << 40) + b"general"], n_keys=1),
        "key of 2^64-1 bytes": header([struct.pack("<Q", (1 << 64) - 1) + b"general"], n_keys=1),
        "key that is not UTF-8": header([key_value(b"gen\xff\xfe", 1)]),
        "empty key": header([key_value("", 1)]),
        "duplicate key": header([name, name]),
        "unknown value type": header([key_value("a", Raw(99, b"\0" * 8))]),
        "string longer than the file": header([key_value("a", Raw(8, struct.pack("<Q", 1 << 50)))]),
        "array longer than the file": header([key_value("a", Raw(9, struct.pack("<IQ", 4, 1 << 40)))]),
        "array of 2^64-1 strings": header([key_value("a", Raw(9, struct.pack("<IQ", 8, (1 << 64) - 1)))]),
        "array with a string of 2^64-1 bytes": header(
            [key_value("a", Raw(9, struct.pack("<IQ", 8, 2000) + struct.pack("<Q", (1 << 64) - 1) * 2000))]
        ),
        "array of arrays": header([key_value("a", Raw(9, struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 4, 0)))]),
        "array of an unknown type": header([key_value("a", Raw(9, struct.pack("<IQ", 77, 0)))]),
        "alignment 0": header([key_value("general.alignment", 0)]),
        "alignment 24": header([key_value("general.alignment", 24)]),
        "alignment 2^31": header([key_value("general.alignment", 1 << 31)]),
        "alignment as text": header([key_value("general.alignment", "32")]),
        "alignment as u64": header([key_value("general.alignment", Raw(10, struct.pack("<Q", 32)))]),
        "five dimensions": one_tensor(dims=(1, 1, 1, 1, 1)),
        "2^32-1 dimensions": header([name], [_string("a") + struct.pack("<I", (1 << 32) - 1)], n_tensors=1),
        "zero dimension": one_tensor(dims=(32, 0)),
        "negative dimension": one_tensor(dims=(1 << 63,)),
        "overflowing shape": one_tensor(dims=(1 << 32, 1 << 32)),
        "shape whose product wraps to little": one_tensor(dims=(1 << 62, 4, 1 << 62, 4)),
        "row not a whole number of blocks": one_tensor(dims=(33,), type_number=2),
        "unknown tensor type": one_tensor(type_number=200),
        "withdrawn tensor type": one_tensor(type_number=4),
        "unaligned offset": one_tensor(offset=7),
        "offset past the end": one_tensor(offset=1 << 40),
        "offset that wraps": one_tensor(offset=(1 << 64) - 32),
        "tensor past the end": one_tensor(dims=(1 << 20,)),
        "truncated body": whole[:-1],
        "duplicate tensor": two_tensors("a", 128),
        "overlapping tensors": two_tensors("b", 96),
        "gap between tensors": two_tensors("b", 160),
        "tensor name of 64 bytes": header([name], [tensor_row("x" * 64, (32,), 0, 0)]) + b"\0" * 256,
        "tensor name that is not UTF-8": header([name], [tensor_row(b"\xff", (32,), 0, 0)]) + b"\0" * 256,
    }
