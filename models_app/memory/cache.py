"""KV caches and recurrent states, layer by layer, as llama.cpp allocates them.

Sources: `llama_kv_cache`, `llama_kv_cache_iswa` and `llama_memory_recurrent` for the bytes, `llama_hparams` for their
factors, `load_arch_hparams` of each architecture for which layers slide or recur, `create_memory` for what each keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models_app.gguf import Header
from models_app.gguf.quantization import TENSOR_TYPES_BY_NAME

_F16_BYTES = 2
_F32_BYTES = 4
_CELLS_PAD = 256

_PLAIN_ATTENTION = frozenset(
    """
    afmoe apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell cogvlm cohere2
    cohere2moe command-r dbrx deci deepseek deepseek2 dots1 ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon gemma
    gemma2 gemma3 gemma4 glm4 glm4moe gpt-oss gpt2 gptneox granite granite_swa granitemoe grok grovemoe hunyuan-dense
    hunyuan-moe hunyuan_vl internlm2 jais jais2 laguna llama llama4 maincoder mellum mimo2 minicpm minimax-m2 mistral3
    mpt nemotron olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo3 qwen qwen2
    qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe refact seed_oss smallthinker smollm3 stablelm starcoder
    starcoder2 step35 xverse
    """.split()  # noqa: SIM905
)
"""Nothing but the ordinary KV cache, with or without sliding windows."""

_RECURRENT = frozenset({"mamba", "mamba2"})
_RECURS_WITHOUT_KV_HEADS = frozenset({"jamba", "granitehybrid", "lfm2", "lfm2moe"})
_RECURS_BETWEEN_FULL_ATTENTION = frozenset({"qwen3next", "qwen35", "qwen35moe"})
_RECURS_EVERYWHERE = frozenset({"falcon-h1"})


@dataclass(frozen=True, slots=True)
class _Sliding:
    """Every `interval`th layer attends fully: the last of each group, or the first."""

    interval: int | None
    """None: the header must tell by layer."""
    full_first: bool = False
    default_window: int | None = None
    """None: without a window in the header no layer slides."""
    fixed_window: int | None = None
    """llama.cpp ignores the header's."""
    only_n_layers: int | None = None


_SLIDING: Mapping[str, _Sliding] = MappingProxyType(
    {
        "afmoe": _Sliding(4),
        "cohere2": _Sliding(4),
        "cohere2moe": _Sliding(4, full_first=True),
        "exaone-moe": _Sliding(4, default_window=128),
        "exaone4": _Sliding(4, default_window=4096, only_n_layers=64),
        "gemma2": _Sliding(2, default_window=4096),
        "gemma3": _Sliding(6),
        "gemma4": _Sliding(None),
        "gpt-oss": _Sliding(2),
        "granite_swa": _Sliding(None),
        "laguna": _Sliding(4, full_first=True),
        "llama4": _Sliding(4, default_window=8192, fixed_window=8192),
        "mellum": _Sliding(4),
        "mimo2": _Sliding(None),
        "olmo2": _Sliding(4),
        "plamo3": _Sliding(8),
        "smallthinker": _Sliding(4, full_first=True, fixed_window=4096),
        "step35": _Sliding(None),
    }
)
"""Other architectures attend fully in llama.cpp, whatever window their header names."""


@dataclass(frozen=True, slots=True)
class Cells:
    """How the cache is laid out: llama.cpp's context parameters, after its own rounding."""

    n_ctx: int
    """Asked for, over all sequences."""
    n_seq_max: int
    n_ubatch: int = 512
    type_k: str = "f16"
    type_v: str = "f16"
    kv_unified: bool = True
    swa_full: bool = False
    flash_attention: bool = True

    @property
    def per_stream(self) -> int:
        if self.kv_unified:
            return _padded(self.n_ctx)
        return _padded(_padded(self.n_ctx) // self.n_seq_max)

    @property
    def n_streams(self) -> int:
        return 1 if self.kv_unified else self.n_seq_max

    def in_window(self, window: int) -> int:
        """Cells of one stream in a sliding-window layer."""
        if self.swa_full:
            return self.per_stream
        sequences = self.n_seq_max if self.kv_unified else 1
        return _padded(min(self.per_stream, window * sequences + self.n_ubatch))


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one layer remembers."""

    k_numbers: int = 0
    """Per token."""
    v_numbers: int = 0
    padded_v_numbers: int = 0
    """Per token, without flash attention: llama.cpp then pads V to the widest layer's."""
    window: int | None = None
    """Tokens a sliding-window layer looks back; None: all."""
    state_bytes: int = 0
    """Per sequence, whatever its length."""

    def n_bytes(self, cells: Cells) -> int:
        n_cells = cells.per_stream if self.window is None else cells.in_window(self.window)
        v_numbers = self.v_numbers if cells.flash_attention else self.padded_v_numbers
        per_cell = row_bytes(self.k_numbers, cells.type_k) + row_bytes(v_numbers, cells.type_v)
        return n_cells * cells.n_streams * per_cell + self.state_bytes * cells.n_seq_max


def _padded(n_cells: int) -> int:
    return -(-n_cells // _CELLS_PAD) * _CELLS_PAD


def row_bytes(n_numbers: int, type_name: str) -> int:
    kind = TENSOR_TYPES_BY_NAME[type_name]
    return -(-n_numbers // kind.block_elements) * kind.block_bytes


def layer_caches(header: Header) -> tuple[LayerCache, ...] | None:
    """One entry a layer. None where the architecture is not known here or its header lacks what it takes."""
    if header.architecture in _RECURRENT:
        state_bytes = _state_bytes(header)
        n_layers = header.n_layers if header.per_layer("attention.head_count") is not None else None
        if state_bytes is None or n_layers is None:
            return None
        return (LayerCache(state_bytes=state_bytes),) * n_layers
    recurs = _recurrent_layers(header)
    attends = _attention_caches(header)
    if recurs is None or attends is None:
        return None
    if not any(recurs):
        return attends
    state_bytes = _state_bytes(header)
    if state_bytes is None:
        return None
    if header.architecture in _RECURS_EVERYWHERE:
        return tuple(
            LayerCache(own.k_numbers, own.v_numbers, own.padded_v_numbers, state_bytes=state_bytes) for own in attends
        )
    return tuple(
        LayerCache(state_bytes=state_bytes) if recurrent else own
        for recurrent, own in zip(recurs, attends, strict=True)
    )


def kv_bytes_per_token(header: Header) -> int | None:
    """Bytes of f16 KV cache that one token takes over all layers.

    An upper bound: layers with a sliding window stop growing at their window, and are counted as if they did not; V is
    counted as wide as it gets without flash attention. None where layers keep other state as well, or are not known.
    """
    layers = layer_caches(header)
    if layers is None or any(layer.state_bytes for layer in layers):
        return None
    return sum(layer.k_numbers + layer.padded_v_numbers for layer in layers) * _F16_BYTES


def _attention_caches(header: Header) -> tuple[LayerCache, ...] | None:
    n_kv_heads = header.n_kv_heads
    key_length, value_length = header.key_length, header.value_length
    if not n_kv_heads or key_length is None or value_length is None:
        return None
    windows = _windows(header, len(n_kv_heads))
    if windows is None:
        return None
    swa_key_length = header.integer(header.key("attention.key_length_swa")) or key_length
    swa_value_length = header.integer(header.key("attention.value_length_swa")) or value_length
    k_numbers = [n * (key_length if w is None else swa_key_length) for n, w in zip(n_kv_heads, windows, strict=True)]
    v_numbers = [
        n * (value_length if w is None else swa_value_length) for n, w in zip(n_kv_heads, windows, strict=True)
    ]
    has_v = not _is_mla(header)
    shared = header.integer(header.key("attention.shared_kv_layers")) or 0
    return tuple(
        LayerCache(k, v if has_v else 0, max(v_numbers) if has_v else 0, window)
        if number < len(n_kv_heads) - shared
        else LayerCache()
        for number, (k, v, window) in enumerate(zip(k_numbers, v_numbers, windows, strict=True))
    )


def _is_mla(header: Header) -> bool:
    """Multi-head latent attention: one compressed K row and no V."""
    names = ("attention.key_length_mla", "attention.value_length_mla")
    return all(header.integer(header.key(name)) for name in names)


def _windows(header: Header, n_layers: int) -> tuple[int | None, ...] | None:
    """Per layer, the sliding window or None; None altogether if the header does not tell."""
    everywhere = (None,) * n_layers
    sliding = _SLIDING.get(header.architecture or "")
    if sliding is None or sliding.only_n_layers not in (None, n_layers):
        return everywhere
    declared = header.sliding_window
    if declared == 0 or (declared is None and sliding.default_window is None and sliding.interval is not None):
        return everywhere
    window = sliding.fixed_window or declared or sliding.default_window
    slides = _slides(header, sliding, n_layers)
    if window is None or slides is None:
        return None
    return tuple(window if slide else None for slide in slides)


def _slides(header: Header, sliding: _Sliding, n_layers: int) -> tuple[bool, ...] | None:
    name = header.key("attention.sliding_window_pattern")
    by_layer = header.integers(name)
    if by_layer is not None:
        return tuple(bool(slide) for slide in by_layer) if len(by_layer) == n_layers else None
    interval = header.integer(name) if name in header.metadata else sliding.interval
    if sliding.interval is None or interval is None:
        return None
    trunk = n_layers - (header.integer(header.key("nextn_predict_layers")) or 0)
    full = 0 if sliding.full_first else interval - 1
    return tuple((interval == 0 or number % interval != full) and number < trunk for number in range(n_layers))


def _recurrent_layers(header: Header) -> tuple[bool, ...] | None:
    """Per layer; None where the architecture is not known here."""
    architecture, n_layers, heads = header.architecture, header.n_layers, header.n_kv_heads
    if heads is None or n_layers is None:
        return None
    if architecture in _PLAIN_ATTENTION:
        return (False,) * n_layers
    if architecture in _RECURS_EVERYWHERE:
        return (True,) * n_layers
    if architecture in _RECURS_WITHOUT_KV_HEADS:
        return None if header.sliding_window else tuple(n == 0 for n in heads)
    if architecture in _RECURS_BETWEEN_FULL_ATTENTION:
        by_layer = header.integers(header.key("attention.recurrent_layers"))
        if by_layer is not None:
            return tuple(bool(recurs) for recurs in by_layer) if len(by_layer) == n_layers else None
        interval = header.integer(header.key("full_attention_interval")) or 4
        trunk = n_layers - (header.integer(header.key("nextn_predict_layers")) or 0)
        return tuple((number + 1) % interval != 0 and number < trunk for number in range(n_layers))
    return None


def _state_bytes(header: Header) -> int | None:
    """The state of one recurrent layer for one sequence: llama_hparams::n_embd_r plus n_embd_s, in f32."""
    if header.architecture in ("lfm2", "lfm2moe"):
        kernel, n_embd = header.integer(header.key("shortconv.l_cache")), header.n_embd
        return None if not kernel or n_embd is None else n_embd * (kernel - 1) * _F32_BYTES
    inner = header.integer(header.key("ssm.inner_size"))
    state = header.integer(header.key("ssm.state_size"))
    kernel = header.integer(header.key("ssm.conv_kernel"))
    groups = header.integer(header.key("ssm.group_count")) or 0
    if inner is None or state is None or not kernel:
        return None
    return ((kernel - 1) * (inner + 2 * groups * state) + state * inner) * _F32_BYTES
