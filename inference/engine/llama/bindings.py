"""The one importer of llama.cpp's bindings, with the types of what is used of them.

The package's own decorator hides the types of its functions: a call with an argument too few would be noticed by llama.cpp
alone. Here each has the type that llama.h gives it. Handles are addresses; one that may be NULL is None then.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NewType, cast

from inference.engine.llama.llama_package import open_package

open_package()

from llama_cpp import llama_cpp as _c  # noqa: E402  the stub package must be in place first
from llama_cpp.llama_cpp import (  # noqa: E402
    LLAMA_FLASH_ATTN_TYPE_AUTO,
    LLAMA_KV_OVERRIDE_TYPE_INT,
    LLAMA_KV_OVERRIDE_TYPE_STR,
    LLAMA_VOCAB_TYPE_NONE,
    ggml_backend_sched_eval_callback,
    llama_batch,
    llama_context_params,
    llama_log_callback,
    llama_logit_bias,
    llama_model_imatrix_data,
    llama_model_kv_override,
    llama_model_kv_override_value,
    llama_model_params,
    llama_model_quantize_params,
    llama_progress_callback,
    llama_sampler_chain_params,
    llama_token_data,
    llama_token_data_array,
)

__all__ = [
    "LIBRARY",
    "LLAMA_FLASH_ATTN_TYPE_AUTO",
    "LLAMA_KV_OVERRIDE_TYPE_INT",
    "LLAMA_KV_OVERRIDE_TYPE_STR",
    "LLAMA_VOCAB_TYPE_NONE",
    "ContextHandle",
    "MemoryHandle",
    "ModelHandle",
    "SamplerHandle",
    "VocabHandle",
    "ggml_backend_sched_eval_callback",
    "llama_batch",
    "llama_context_params",
    "llama_log_callback",
    "llama_logit_bias",
    "llama_model_imatrix_data",
    "llama_model_kv_override",
    "llama_model_params",
    "llama_model_quantize_params",
    "llama_progress_callback",
    "llama_token_data",
    "llama_token_data_array",
    "override_value",
]

LIBRARY: ctypes.CDLL = _c._lib
"""libllama, through which the symbols of the ggml libraries that it links are found as well."""

ModelHandle = NewType("ModelHandle", int)
VocabHandle = NewType("VocabHandle", int)
ContextHandle = NewType("ContextHandle", int)
MemoryHandle = NewType("MemoryHandle", int)
SamplerHandle = NewType("SamplerHandle", object)
"""A ctypes pointer; one that is NULL is falsy."""

_Ints = ctypes.Array[ctypes.c_int32]
_Text = bytes
_Buffer = ctypes.Array[ctypes.c_char]

# process and log

llama_backend_init: Callable[[], None] = _c.llama_backend_init
llama_log_set: Callable[[object, None], None] = _c.llama_log_set
llama_max_devices: Callable[[], int] = _c.llama_max_devices

# models

llama_model_default_params: Callable[[], llama_model_params] = _c.llama_model_default_params
llama_model_load_from_file: Callable[[_Text, llama_model_params], ModelHandle | None] = _c.llama_model_load_from_file
llama_model_free: Callable[[ModelHandle], None] = _c.llama_model_free
llama_model_n_ctx_train: Callable[[ModelHandle], int] = _c.llama_model_n_ctx_train
llama_model_n_layer: Callable[[ModelHandle], int] = _c.llama_model_n_layer
llama_model_n_swa: Callable[[ModelHandle], int] = _c.llama_model_n_swa
llama_model_is_recurrent: Callable[[ModelHandle], bool] = _c.llama_model_is_recurrent
llama_model_is_hybrid: Callable[[ModelHandle], bool] = _c.llama_model_is_hybrid
llama_model_has_encoder: Callable[[ModelHandle], bool] = _c.llama_model_has_encoder

# vocabularies

llama_model_get_vocab: Callable[[ModelHandle], VocabHandle] = _c.llama_model_get_vocab
llama_vocab_type: Callable[[VocabHandle], int] = _c.llama_vocab_type
llama_vocab_n_tokens: Callable[[VocabHandle], int] = _c.llama_vocab_n_tokens
llama_vocab_get_add_bos: Callable[[VocabHandle], bool] = _c.llama_vocab_get_add_bos
llama_vocab_bos: Callable[[VocabHandle], int] = _c.llama_vocab_bos
llama_vocab_eos: Callable[[VocabHandle], int] = _c.llama_vocab_eos
llama_vocab_is_eog: Callable[[VocabHandle, int], bool] = _c.llama_vocab_is_eog
llama_vocab_is_control: Callable[[VocabHandle, int], bool] = _c.llama_vocab_is_control
llama_tokenize: Callable[[VocabHandle, _Text, int, _Ints, int, bool, bool], int] = _c.llama_tokenize
llama_token_to_piece: Callable[[VocabHandle, int, _Buffer, int, int, bool], int] = _c.llama_token_to_piece

# contexts

llama_context_default_params: Callable[[], llama_context_params] = _c.llama_context_default_params
llama_init_from_model: Callable[[ModelHandle, llama_context_params], ContextHandle | None] = _c.llama_init_from_model
llama_free: Callable[[ContextHandle], None] = _c.llama_free
llama_n_batch: Callable[[ContextHandle], int] = _c.llama_n_batch
llama_n_ctx: Callable[[ContextHandle], int] = _c.llama_n_ctx
llama_set_n_threads: Callable[[ContextHandle, int, int], None] = _c.llama_set_n_threads
llama_decode: Callable[[ContextHandle, llama_batch], int] = _c.llama_decode
llama_get_logits_ith: Callable[[ContextHandle, int], ctypes._Pointer[ctypes.c_float]] = _c.llama_get_logits_ith
llama_get_memory: Callable[[ContextHandle], MemoryHandle | None] = _c.llama_get_memory
llama_memory_seq_rm: Callable[[MemoryHandle | None, int, int, int], bool] = _c.llama_memory_seq_rm
llama_memory_seq_cp: Callable[[MemoryHandle | None, int, int, int, int], None] = _c.llama_memory_seq_cp
llama_memory_seq_pos_min: Callable[[MemoryHandle | None, int], int] = _c.llama_memory_seq_pos_min

# samplers

llama_sampler_chain_default_params: Callable[[], llama_sampler_chain_params] = _c.llama_sampler_chain_default_params
llama_sampler_chain_init: Callable[[llama_sampler_chain_params], SamplerHandle] = _c.llama_sampler_chain_init
llama_sampler_chain_add: Callable[[SamplerHandle, SamplerHandle], None] = _c.llama_sampler_chain_add
llama_sampler_init_logit_bias: Callable[[int, int, ctypes.Array[llama_logit_bias]], SamplerHandle] = (
    _c.llama_sampler_init_logit_bias
)
llama_sampler_init_penalties: Callable[[int, int, float, float, float], SamplerHandle] = _c.llama_sampler_init_penalties
llama_sampler_init_top_k: Callable[[int], SamplerHandle] = _c.llama_sampler_init_top_k
llama_sampler_init_top_p: Callable[[float, int], SamplerHandle] = _c.llama_sampler_init_top_p
llama_sampler_init_min_p: Callable[[float, int], SamplerHandle] = _c.llama_sampler_init_min_p
llama_sampler_init_temp: Callable[[float], SamplerHandle] = _c.llama_sampler_init_temp
llama_sampler_init_dist: Callable[[int], SamplerHandle] = _c.llama_sampler_init_dist
llama_sampler_init_greedy: Callable[[], SamplerHandle] = _c.llama_sampler_init_greedy
llama_sampler_accept: Callable[[SamplerHandle, int], None] = _c.llama_sampler_accept
llama_sampler_sample: Callable[[SamplerHandle, ContextHandle, int], int] = _c.llama_sampler_sample
llama_sampler_apply: Callable[[SamplerHandle, object], None] = _c.llama_sampler_apply
llama_sampler_free: Callable[[SamplerHandle], None] = _c.llama_sampler_free

# quantizing

llama_model_quantize_default_params: Callable[[], llama_model_quantize_params] = _c.llama_model_quantize_default_params
llama_model_quantize: Callable[[_Text, _Text, object], int] = _c.llama_model_quantize


def override_value(override: llama_model_kv_override) -> llama_model_kv_override_value:
    """The union inside `override`, which the package takes for one of its members."""
    return cast(llama_model_kv_override_value, override.value)
