"""Bounds every number of a whole header before anything is sized by it. A stranger wrote these numbers.

What is possible follows from the tensor table, which the parser has held against the file's length, and from
llama.cpp's own maxima: its load ends with an abort, not with an error, where one of these is passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from models_app.gguf.errors import BadGguf
from models_app.gguf.header import MOST_LAYERS, Header
from models_app.gguf.values import LongArray, Value

MOST_EXPERTS = 1024
"""LLAMA_MAX_EXPERTS (llama-hparams.h)."""
MOST_TOKENS = (1 << 31) - 1
"""llama.cpp's positions are signed and of 32 bits."""
_MOST_WIDTH = 1 << 24
"""Of layers whose tensors need not be there: files of models with experts keep the width of the dense ones."""
_LONGEST_SHOWN = 40


class _Most(Enum):
    """Maxima that follow from the file."""

    LAYERS = "layers"
    DIMENSION = "dimension"
    """The longest side of any tensor: nothing that a layer multiplies with is wider."""


@dataclass(frozen=True, slots=True)
class _Range:
    least: int
    most: int | _Most
    by_layer: bool = False
    """An array with a number for each layer will do as well."""


_WHOLE: Mapping[str, _Range] = MappingProxyType(
    {
        "block_count": _Range(1, MOST_LAYERS),
        "context_length": _Range(1, MOST_TOKENS),
        "embedding_length": _Range(1, _Most.DIMENSION),
        "features_length": _Range(1, _Most.DIMENSION),
        "vocab_size": _Range(1, MOST_TOKENS),
        "feed_forward_length": _Range(0, _MOST_WIDTH, by_layer=True),
        "expert_feed_forward_length": _Range(0, _MOST_WIDTH, by_layer=True),
        "expert_shared_feed_forward_length": _Range(0, _MOST_WIDTH),
        "expert_count": _Range(0, MOST_EXPERTS),
        "expert_used_count": _Range(0, MOST_EXPERTS, by_layer=True),
        "expert_shared_count": _Range(0, MOST_EXPERTS),
        "expert_group_count": _Range(0, MOST_EXPERTS),
        "expert_group_used_count": _Range(0, MOST_EXPERTS),
        "leading_dense_block_count": _Range(0, _Most.LAYERS),
        "nextn_predict_layers": _Range(0, _Most.LAYERS),
        "full_attention_interval": _Range(1, MOST_LAYERS),
        "attention.head_count": _Range(0, _Most.DIMENSION, by_layer=True),
        "attention.head_count_kv": _Range(0, _Most.DIMENSION, by_layer=True),
        "attention.key_length": _Range(1, _Most.DIMENSION),
        "attention.value_length": _Range(1, _Most.DIMENSION),
        "attention.key_length_swa": _Range(0, _Most.DIMENSION),
        "attention.value_length_swa": _Range(0, _Most.DIMENSION),
        "attention.key_length_mla": _Range(0, _Most.DIMENSION),
        "attention.value_length_mla": _Range(0, _Most.DIMENSION),
        "attention.kv_lora_rank": _Range(0, _Most.DIMENSION),
        "attention.q_lora_rank": _Range(0, _Most.DIMENSION),
        "attention.sliding_window": _Range(0, MOST_TOKENS),
        "attention.sliding_window_pattern": _Range(0, MOST_LAYERS, by_layer=True),
        "attention.recurrent_layers": _Range(0, MOST_LAYERS, by_layer=True),
        "attention.shared_kv_layers": _Range(0, _Most.LAYERS),
        "rope.dimension_count": _Range(0, _Most.DIMENSION),
        "rope.dimension_count_swa": _Range(0, _Most.DIMENSION),
        "rope.scaling.original_context_length": _Range(0, MOST_TOKENS),
        "shortconv.l_cache": _Range(1, _Most.DIMENSION),
        "ssm.conv_kernel": _Range(1, _Most.DIMENSION),
        "ssm.inner_size": _Range(1, _Most.DIMENSION),
        "ssm.state_size": _Range(1, _Most.DIMENSION),
        "ssm.time_step_rank": _Range(0, _Most.DIMENSION),
        "ssm.group_count": _Range(0, _Most.DIMENSION),
        "wkv.head_size": _Range(1, _Most.DIMENSION),
    }
)
"""Whole numbers, by what follows the architecture in their key."""

_REAL: Mapping[str, float] = MappingProxyType(
    {
        "attention.layer_norm_epsilon": 0.0,
        "attention.layer_norm_rms_epsilon": 0.0,
        "attention.group_norm_epsilon": 0.0,
        "attention.scale": -math.inf,
        "attn_logit_softcapping": -math.inf,
        "final_logit_softcapping": -math.inf,
        "router_logit_softcapping": -math.inf,
        "expert_weights_scale": -math.inf,
        "logit_scale": -math.inf,
        "residual_scale": -math.inf,
        "embedding_scale": -math.inf,
        "rope.freq_base": 0.0,
        "rope.freq_base_swa": 0.0,
        "rope.scaling.factor": 0.0,
        "rope.scaling.attn_factor": 0.0,
    }
)
"""Finite numbers with fractions, and the least that each may be."""


def check(header: Header) -> None:
    """Raises BadGguf for a number that no file of these tensors can have. `header`: of all shards together."""
    if header.architecture is None:
        return
    longest = min(max((max(tensor.shape, default=1) for tensor in header.tensors), default=MOST_TOKENS), MOST_TOKENS)
    most = {_Most.DIMENSION: longest, _Most.LAYERS: MOST_LAYERS}
    _check_whole(header, "block_count", most)
    most[_Most.LAYERS] = header.n_layers or MOST_LAYERS
    for name in _WHOLE:
        _check_whole(header, name, most)
    for name, least in _REAL.items():
        _check_real(header, name, least)
    prefix = f"{header.architecture}."
    for key, value in header.metadata.items():
        if key.startswith(prefix) and any(math.isnan(each) for each in _numbers(value) if isinstance(each, float)):
            raise BadGguf(f"{_key(key)} is not a number", 0)
    if header.tensors:
        _check_layers(header)
        _check_widths(header, longest)
    _check_experts(header)


def _check_whole(header: Header, name: str, most_by_file: Mapping[_Most, int]) -> None:
    key, bounds = header.key(name), _WHOLE[name]
    if key not in header.metadata:
        return
    value = header.metadata[key]
    most = most_by_file[bounds.most] if isinstance(bounds.most, _Most) else bounds.most
    if isinstance(value, (tuple, LongArray)):
        _check_length(header, key, value, bounds)
    elif isinstance(value, bool) or not isinstance(value, int):
        raise BadGguf(f"{_key(key)} is {_shown(value)}, not a whole number", 0)
    for each in _numbers(value):
        if not isinstance(each, int):
            raise BadGguf(f"{_key(key)} holds {_shown(each)}, not a whole number", 0)
        if not bounds.least <= each <= most:
            raise BadGguf(f"{_key(key)} is {each}, and only {bounds.least} to {most} is possible in this file", 0)


def _check_length(header: Header, key: str, value: Value, bounds: _Range) -> None:
    n_found = header.length(key) or 0
    if not bounds.by_layer:
        raise BadGguf(f"{_key(key)} is an array of {n_found}, not one number", 0)
    n_layers = header.n_layers
    # The layers that only predict further tokens may be left out.
    least = None if n_layers is None else n_layers - (header.integer(header.key("nextn_predict_layers")) or 0)
    if isinstance(value, LongArray) or (n_layers is not None and not (least or 0) <= n_found <= n_layers):
        raise BadGguf(f"{_key(key)} has numbers for {n_found} layers, and there are {n_layers}", 0)


def _check_real(header: Header, name: str, least: float) -> None:
    key = header.key(name)
    if key not in header.metadata:
        return
    value = header.metadata[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadGguf(f"{_key(key)} is {_shown(value)}, not a number", 0)
    if not math.isfinite(value) or value < least:
        raise BadGguf(f"{_key(key)} is {_shown(value)}, which no model can be computed with", 0)


def _check_layers(header: Header) -> None:
    """As many layers are announced as have tensors."""
    n_layers = header.n_layers
    if n_layers is None:
        return
    key = _key(header.key("block_count"))
    if n_layers > len(header.tensors):
        raise BadGguf(f"{key} is {n_layers}, and there are only {len(header.tensors)} tensors", 0)
    n_found = 1 + max((tensor.layer for tensor in header.tensors if tensor.layer is not None), default=-1)
    if not n_found:
        # Named otherwise: encoders with decoders, for one.
        return
    n_spare = header.integer(header.key("nextn_predict_layers")) or 0
    if isinstance(header.metadata.get(header.key("feed_forward_length")), tuple):
        # Layers that differ may be empty.
        n_spare = n_layers
    if not n_layers - n_spare <= n_found <= n_layers:
        raise BadGguf(f"{key} is {n_layers}, and the tensors are those of {n_found} layers", 0)


def _check_widths(header: Header, longest: int) -> None:
    n_embd = header.n_embd
    embedding = next((tensor for tensor in header.tensors if tensor.name == "token_embd.weight"), None)
    if embedding is not None and embedding.shape and n_embd is not None:
        row = embedding.shape[0]
        if row not in (n_embd, header.integer(header.key("features_length"))):
            raise BadGguf(f"{_key(header.key('embedding_length'))} is {n_embd}, and the tokens' embedding has {row}", 0)
    n_vocab = header.integer(header.key("vocab_size"))
    # A list of tokens goes before it, and cannot be longer than the file.
    if n_vocab is not None and n_vocab > longest and not header.length("tokenizer.ggml.tokens"):
        raise BadGguf(f"{_key(header.key('vocab_size'))} is {n_vocab}, and no tensor is that long", 0)
    heads, key_length, value_length = header.n_kv_heads, header.key_length, header.value_length
    for length in (key_length, value_length):
        if heads and length is not None and max(heads) * length > longest:
            raise BadGguf(f"its {max(heads)} heads of {length} numbers are wider than any of its tensors", 0)


def _check_experts(header: Header) -> None:
    """llama.cpp aborts unless some experts are used where there are any, and none where there are none."""
    n_experts = header.n_experts or 0
    used = _numbers(header.metadata.get(header.key("expert_used_count"), 0))
    n_used = max((each for each in used if isinstance(each, int)), default=0)
    if n_used > n_experts or (n_experts > 1 and not n_used):
        raise BadGguf(f"it uses {n_used} experts at a time, and has {n_experts}", 0)
    sizes = [tensor.shape[2] for tensor in header.tensors if "_exps." in tensor.name and len(tensor.shape) > 2]
    if sizes and n_experts > max(sizes):
        raise BadGguf(f"{_key(header.key('expert_count'))} is {n_experts}, and its tensors hold {max(sizes)}", 0)


def _numbers(value: Value) -> Sequence[int | float | str]:
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, (int, float)) else ()


def _key(key: str) -> str:
    return key if len(key) <= 2 * _LONGEST_SHOWN else f"{key[: 2 * _LONGEST_SHOWN]}…"


def _shown(value: Value) -> str:
    if isinstance(value, (tuple, LongArray)):
        return "an array"
    return f"the text {value[:_LONGEST_SHOWN]!r}" if isinstance(value, str) else str(value)
