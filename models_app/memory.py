"""What a variant takes in memory, told from its header alone. Standard library only.

The KV cache follows llama.cpp's `llama_kv_cache`: per layer, K holds key_length × n_kv_heads numbers a token and V holds
value_length × n_kv_heads; with multi-head latent attention only K exists.
"""

from __future__ import annotations

from models_app.gguf import Header

_F16_BYTES = 2

_PLAIN_ATTENTION = frozenset(
    """
    afmoe apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell cogvlm cohere2
    cohere2moe command-r dbrx deci deepseek deepseek2 dots1 ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon gemma
    gemma2 gemma3 gemma4 glm4 glm4moe gpt-oss gpt2 gptneox granite granite_swa granitemoe grok grovemoe hunyuan-dense
    hunyuan-moe hunyuan_vl internlm2 jais jais2 laguna llama llama4 maincoder mellum mimo2 minicpm minimax-m2 mistral3
    mpt nanbeige nemotron olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo3 qwen
    qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe refact seed_oss smallthinker smollm3 stablelm starcoder
    starcoder2 step35 xverse
    """.split()  # noqa: SIM905
)
"""Architectures whose memory is nothing but llama.cpp's ordinary KV cache (llama-model.cpp, `create_memory`), with or
without sliding windows. Recurrent, hybrid, sparse-indexer and encoder architectures are not among them."""


def kv_bytes_per_token(header: Header) -> int | None:
    """Bytes of f16 KV cache that one token takes over all layers.

    An upper bound: layers with a sliding window stop growing at their window, and are counted as if they did not. None
    where the architecture keeps other state as well, is not known here, or the header lacks what it takes.
    """
    if header.architecture not in _PLAIN_ATTENTION:
        return None
    n_kv_heads = header.n_kv_heads
    key_length = _longest(header, header.key_length, "attention.key_length_swa")
    value_length = _longest(header, header.value_length, "attention.value_length_swa")
    if not n_kv_heads or key_length is None or value_length is None:
        return None
    caching = n_kv_heads[: len(n_kv_heads) - (header.integer(header.key("attention.shared_kv_layers")) or 0)]
    if _is_mla(header):
        return sum(caching) * key_length * _F16_BYTES
    # Without flash attention llama.cpp pads V to the widest layer's where layers differ.
    return (sum(caching) * key_length + len(caching) * max(caching, default=0) * value_length) * _F16_BYTES


def _longest(header: Header, length: int | None, swa_name: str) -> int | None:
    """llama.cpp lets sliding-window layers have heads of another length."""
    if length is None:
        return None
    return max(length, header.integer(header.key(swa_name)) or 0)


def _is_mla(header: Header) -> bool:
    names = ("attention.key_length_mla", "attention.value_length_mla")
    return all(header.integer(header.key(name)) for name in names)
