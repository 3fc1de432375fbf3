"""What a header says, by llama.cpp's names. Whatever it does not say, or says in a wrong type, is None."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from models_app.gguf import quantization
from models_app.gguf.values import LongArray, Value

MOST_LAYERS = 512
"""LLAMA_MAX_LAYERS: llama.cpp refuses more."""


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    """ggml's order: the first dimension is the row."""
    type: quantization.TensorType
    offset: int
    """Of its first byte, from the beginning of its file."""
    n_bytes: int
    shard: int = 0
    """`split.no` of the file that holds it."""

    @property
    def n_elements(self) -> int:
        return prod(self.shape)

    @property
    def layer(self) -> int | None:
        """The block it belongs to, None for embeddings, output and the like."""
        prefix, _, rest = self.name.partition(".")
        number = rest.partition(".")[0]
        return int(number) if prefix == "blk" and number.isascii() and number.isdigit() and len(number) < 5 else None


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one file, or of a whole split file after `combine`."""

    version: int
    size_bytes: int
    """Of the file, or of all shards together."""
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    alignment: int
    data_offset: int

    # reading by type --------------------------------------------------------------------------------------------

    def text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    def flag(self, key: str) -> bool | None:
        value = self.metadata.get(key)
        return value if isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        value = self.metadata.get(key)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def integers(self, key: str) -> tuple[int, ...] | None:
        """An array of whole numbers or booleans, as whole numbers."""
        value = self.metadata.get(key)
        if not isinstance(value, tuple) or not all(isinstance(item, int) for item in value):
            return None
        return tuple(int(item) for item in value)

    def length(self, key: str) -> int | None:
        """How many elements the array `key` has."""
        value = self.metadata.get(key)
        if isinstance(value, LongArray):
            return value.n_elements
        return len(value) if isinstance(value, tuple) else None

    def per_layer(self, name: str) -> tuple[int, ...] | None:
        """`{architecture}.{name}` for each layer, whether the header gives one number for all or one each."""
        n_layers = self.n_layers
        if n_layers is None or n_layers > MOST_LAYERS:
            return None
        each = self.integers(self.key(name))
        if each is not None:
            return each if len(each) == n_layers and all(item >= 0 for item in each) else None
        value = self.integer(self.key(name))
        return None if value is None else (value,) * n_layers

    def key(self, name: str) -> str:
        """The architecture's own spelling: `llama.block_count` for `block_count`."""
        return f"{self.architecture}.{name}"

    # identity ---------------------------------------------------------------------------------------------------

    @property
    def architecture(self) -> str | None:
        return self.text("general.architecture")

    @property
    def name(self) -> str | None:
        return self.text("general.name")

    @property
    def size_label(self) -> str | None:
        return self.text("general.size_label")

    @property
    def licence(self) -> str | None:
        return self.text("general.license")

    @property
    def tags(self) -> tuple[str, ...]:
        value = self.metadata.get("general.tags")
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, tuple) else ()

    @property
    def type(self) -> str | None:
        """`model`, or `adapter`, `mmproj`, `imatrix` … for files that cannot be loaded on their own."""
        return self.text("general.type")

    @property
    def file_type(self) -> int | None:
        return self.integer("general.file_type")

    @property
    def quantization(self) -> str | None:
        """The file type's name, such as Q4_K_M; where the header has none, that of the type most weights are in."""
        named = quantization.by_file_type(self.file_type)
        if named is not None:
            return named.name
        bytes_by_type: Counter[int] = Counter()
        for tensor in self.tensors:
            bytes_by_type[tensor.type.number] += tensor.n_bytes
        main = quantization.main_tensor_type(bytes_by_type)
        return None if main is None else main.name.upper()

    @property
    def n_params(self) -> int | None:
        """Weights in the tensor table; None for a file without tensors, such as a bare vocabulary."""
        return sum(tensor.n_elements for tensor in self.tensors) or None

    @property
    def tensor_bytes(self) -> int:
        return sum(tensor.n_bytes for tensor in self.tensors)

    @property
    def chat_template(self) -> str | None:
        return self.text("tokenizer.chat_template")

    # shape ------------------------------------------------------------------------------------------------------

    @property
    def n_layers(self) -> int | None:
        return self.integer(self.key("block_count"))

    @property
    def n_ctx_train(self) -> int | None:
        return self.integer(self.key("context_length"))

    @property
    def n_embd(self) -> int | None:
        return self.integer(self.key("embedding_length"))

    @property
    def n_heads(self) -> tuple[int, ...] | None:
        """Per layer."""
        return self.per_layer("attention.head_count")

    @property
    def n_kv_heads(self) -> tuple[int, ...] | None:
        """Per layer. llama.cpp takes the number of heads where the header has none."""
        if self.key("attention.head_count_kv") in self.metadata:
            return self.per_layer("attention.head_count_kv")
        return self.n_heads

    @property
    def key_length(self) -> int | None:
        """Values in a key of one head. llama.cpp takes embedding_length / head_count of the first layer where the header has none."""
        return self._head_length("attention.key_length")

    @property
    def value_length(self) -> int | None:
        return self._head_length("attention.value_length")

    def _head_length(self, name: str) -> int | None:
        if self.key(name) in self.metadata:
            return self.integer(self.key(name))
        heads, n_embd = self.n_heads, self.n_embd
        return n_embd // heads[0] if heads and heads[0] and n_embd is not None else None

    @property
    def sliding_window(self) -> int | None:
        return self.integer(self.key("attention.sliding_window"))

    @property
    def n_experts(self) -> int | None:
        return self.integer(self.key("expert_count"))

    @property
    def n_experts_used(self) -> int | None:
        return self.integer(self.key("expert_used_count"))

    @property
    def n_vocab(self) -> int | None:
        return self.length("tokenizer.ggml.tokens") or self.integer(self.key("vocab_size"))

    # split files ------------------------------------------------------------------------------------------------

    @property
    def split_no(self) -> int | None:
        """The shard's number, from 0."""
        return self.integer("split.no")

    @property
    def split_count(self) -> int | None:
        return self.integer("split.count")

    @property
    def split_tensors_count(self) -> int | None:
        return self.integer("split.tensors.count")
