"""Shapes of models: what their metadata says and which tensors they have, as llama.cpp's src/models/*.cpp demand them.

A shape is any size: the large ones below are those of released models, the tiny ones decode in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Content = Literal["weight", "embedding", "output", "value", "down", "norm", "small", "negative"]
"""What a tensor holds. `weight`, `embedding`, `output`, `value` and `down` are quantized, as far as the quantization
type treats them alike; `norm` is ones, `small` and `negative` are little numbers, all three in f32."""


@dataclass(frozen=True, slots=True)
class TensorPlan:
    name: str
    dims: tuple[int, ...]
    content: Content


def _ffn(prefix: str, n_embd: int, n_ff: int, suffix: str = "") -> Iterator[TensorPlan]:
    yield TensorPlan(f"{prefix}ffn_gate{suffix}.weight", (n_embd, n_ff), "weight")
    yield TensorPlan(f"{prefix}ffn_up{suffix}.weight", (n_embd, n_ff), "weight")
    yield TensorPlan(f"{prefix}ffn_down{suffix}.weight", (n_ff, n_embd), "down")


def _experts(prefix: str, n_embd: int, n_ff: int, n_experts: int) -> Iterator[TensorPlan]:
    yield TensorPlan(f"{prefix}ffn_gate_inp.weight", (n_embd, n_experts), "small")
    yield TensorPlan(f"{prefix}ffn_gate_exps.weight", (n_embd, n_ff, n_experts), "weight")
    yield TensorPlan(f"{prefix}ffn_up_exps.weight", (n_embd, n_ff, n_experts), "weight")
    yield TensorPlan(f"{prefix}ffn_down_exps.weight", (n_ff, n_embd, n_experts), "down")


def _norm(name: str, length: int) -> TensorPlan:
    return TensorPlan(f"{name}.weight", (length,), "norm")


@dataclass(frozen=True, slots=True)
class Shape:
    """What every architecture has. Subclasses add their attention, experts or recurrence."""

    name: str
    architecture: str
    n_layers: int
    n_embd: int
    n_ff: int
    n_vocab: int
    n_ctx_train: int = 8192
    tied: bool = False
    """No output.weight: the embedding serves."""

    def metadata(self) -> Mapping[str, Any]:
        """Values by key, without `general.*` and `tokenizer.*`: int is u32, float f32, tuples are arrays."""
        own = {
            "block_count": self.n_layers,
            "context_length": self.n_ctx_train,
            "embedding_length": self.n_embd,
            "feed_forward_length": self.n_ff,
            "vocab_size": self.n_vocab,
            "attention.layer_norm_rms_epsilon": 1e-5,
            **self.own_metadata(),
        }
        return {f"{self.architecture}.{name}": value for name, value in own.items()}

    def own_metadata(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def layer(self, number: int) -> Iterator[TensorPlan]:
        raise NotImplementedError

    def tensors(self) -> Iterator[TensorPlan]:
        yield TensorPlan("token_embd.weight", (self.n_embd, self.n_vocab), "embedding")
        yield _norm("output_norm", self.n_embd)
        if not self.tied:
            yield TensorPlan("output.weight", (self.n_embd, self.n_vocab), "output")
        for number in range(self.n_layers):
            yield from self.layer(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer(Shape):
    """Llama and its relatives: grouped-query attention, dense or with experts.

    `n_kv_heads` equal to `n_heads` is multi-head, 1 is multi-query attention.
    """

    n_heads: int
    n_kv_heads: int
    head_length: int | None = None
    """None: n_embd / n_heads, and the header does not say."""
    n_experts: int = 0
    n_experts_used: int = 0

    @property
    def n_rot(self) -> int:
        return self.head_length or self.n_embd // self.n_heads

    def own_metadata(self) -> Mapping[str, Any]:
        own: dict[str, Any] = {
            "attention.head_count": self.n_heads,
            "attention.head_count_kv": self.n_kv_heads,
            "rope.dimension_count": self.n_rot,
            "rope.freq_base": 10000.0,
        }
        if self.head_length is not None:
            own |= {"attention.key_length": self.head_length, "attention.value_length": self.head_length}
        if self.n_experts:
            own |= {"expert_count": self.n_experts, "expert_used_count": self.n_experts_used}
        return own

    def attention(self, prefix: str) -> Iterator[TensorPlan]:
        length = self.n_rot
        yield _norm(f"{prefix}attn_norm", self.n_embd)
        yield TensorPlan(f"{prefix}attn_q.weight", (self.n_embd, length * self.n_heads), "weight")
        yield TensorPlan(f"{prefix}attn_k.weight", (self.n_embd, length * self.n_kv_heads), "weight")
        yield TensorPlan(f"{prefix}attn_v.weight", (self.n_embd, length * self.n_kv_heads), "value")
        yield TensorPlan(f"{prefix}attn_output.weight", (length * self.n_heads, self.n_embd), "weight")

    def layer(self, number: int) -> Iterator[TensorPlan]:
        prefix = f"blk.{number}."
        yield from self.attention(prefix)
        yield _norm(f"{prefix}ffn_norm", self.n_embd)
        if self.n_experts:
            yield from _experts(prefix, self.n_embd, self.n_ff, self.n_experts)
        else:
            yield from _ffn(prefix, self.n_embd, self.n_ff)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma3(Transformer):
    """Five of six layers see only a sliding window."""

    sliding_window: int

    def own_metadata(self) -> Mapping[str, Any]:
        return {**Transformer.own_metadata(self), "attention.sliding_window": self.sliding_window}

    def layer(self, number: int) -> Iterator[TensorPlan]:
        prefix = f"blk.{number}."
        yield from self.attention(prefix)
        yield _norm(f"{prefix}post_attention_norm", self.n_embd)
        yield _norm(f"{prefix}attn_q_norm", self.n_rot)
        yield _norm(f"{prefix}attn_k_norm", self.n_rot)
        yield _norm(f"{prefix}ffn_norm", self.n_embd)
        yield from _ffn(prefix, self.n_embd, self.n_ff)
        yield _norm(f"{prefix}post_ffw_norm", self.n_embd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3Moe(Transformer):
    n_ff_experts: int

    def own_metadata(self) -> Mapping[str, Any]:
        return {**Transformer.own_metadata(self), "expert_feed_forward_length": self.n_ff_experts}

    def layer(self, number: int) -> Iterator[TensorPlan]:
        prefix = f"blk.{number}."
        yield from self.attention(prefix)
        yield _norm(f"{prefix}attn_q_norm", self.n_rot)
        yield _norm(f"{prefix}attn_k_norm", self.n_rot)
        yield _norm(f"{prefix}ffn_norm", self.n_embd)
        yield from _experts(prefix, self.n_embd, self.n_ff_experts, self.n_experts)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepSeek2(Shape):
    """Multi-head latent attention: one compressed K row a token and no V. Without `q_lora_rank` llama.cpp wants 26 or
    27 layers, the lite models'."""

    n_heads: int
    n_experts: int
    n_experts_used: int
    n_ff_experts: int
    n_experts_shared: int
    n_dense_layers: int
    kv_lora_rank: int
    q_lora_rank: int | None
    n_rot: int
    key_length_mla: int
    value_length_mla: int

    def own_metadata(self) -> Mapping[str, Any]:
        own: dict[str, Any] = {
            "attention.head_count": self.n_heads,
            "attention.head_count_kv": 1,
            "attention.kv_lora_rank": self.kv_lora_rank,
            "attention.key_length": self.kv_lora_rank + self.n_rot,
            "attention.value_length": self.kv_lora_rank,
            "attention.key_length_mla": self.key_length_mla,
            "attention.value_length_mla": self.value_length_mla,
            "rope.dimension_count": self.n_rot,
            "rope.freq_base": 10000.0,
            "leading_dense_block_count": self.n_dense_layers,
            "expert_count": self.n_experts,
            "expert_used_count": self.n_experts_used,
            "expert_shared_count": self.n_experts_shared,
            "expert_feed_forward_length": self.n_ff_experts,
            "expert_weights_scale": 1.0,
        }
        return own if self.q_lora_rank is None else own | {"attention.q_lora_rank": self.q_lora_rank}

    def layer(self, number: int) -> Iterator[TensorPlan]:
        prefix = f"blk.{number}."
        n_embd, rank, n_heads = self.n_embd, self.kv_lora_rank, self.n_heads
        yield _norm(f"{prefix}attn_norm", n_embd)
        if self.q_lora_rank is None:
            yield TensorPlan(f"{prefix}attn_q.weight", (n_embd, n_heads * self.key_length_mla), "weight")
        else:
            yield TensorPlan(f"{prefix}attn_q_a.weight", (n_embd, self.q_lora_rank), "weight")
            yield _norm(f"{prefix}attn_q_a_norm", self.q_lora_rank)
            yield TensorPlan(f"{prefix}attn_q_b.weight", (self.q_lora_rank, n_heads * self.key_length_mla), "weight")
        yield TensorPlan(f"{prefix}attn_kv_a_mqa.weight", (n_embd, rank + self.n_rot), "weight")
        yield _norm(f"{prefix}attn_kv_a_norm", rank)
        yield TensorPlan(f"{prefix}attn_k_b.weight", (self.key_length_mla - self.n_rot, rank, n_heads), "weight")
        yield TensorPlan(f"{prefix}attn_v_b.weight", (rank, self.value_length_mla, n_heads), "value")
        yield TensorPlan(f"{prefix}attn_output.weight", (n_heads * self.value_length_mla, n_embd), "weight")
        yield _norm(f"{prefix}ffn_norm", n_embd)
        if number < self.n_dense_layers:
            yield from _ffn(prefix, n_embd, self.n_ff)
        else:
            yield from _experts(prefix, n_embd, self.n_ff_experts, self.n_experts)
            yield from _ffn(prefix, n_embd, self.n_ff_experts * self.n_experts_shared, "_shexp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba(Shape):
    """Recurrent: a state of fixed size and no KV cache."""

    state_size: int = 16
    conv_kernel: int = 4

    @property
    def inner_size(self) -> int:
        return 2 * self.n_embd

    @property
    def time_step_rank(self) -> int:
        return self.n_embd // 16

    def own_metadata(self) -> Mapping[str, Any]:
        return {
            "attention.head_count": 0,
            "ssm.conv_kernel": self.conv_kernel,
            "ssm.inner_size": self.inner_size,
            "ssm.state_size": self.state_size,
            "ssm.time_step_rank": self.time_step_rank,
        }

    def mixer(self, prefix: str) -> Iterator[TensorPlan]:
        inner, rank, state = self.inner_size, self.time_step_rank, self.state_size
        yield _norm(f"{prefix}attn_norm", self.n_embd)
        yield TensorPlan(f"{prefix}ssm_in.weight", (self.n_embd, 2 * inner), "weight")
        yield TensorPlan(f"{prefix}ssm_conv1d.weight", (self.conv_kernel, inner), "small")
        yield TensorPlan(f"{prefix}ssm_conv1d.bias", (inner,), "small")
        yield TensorPlan(f"{prefix}ssm_x.weight", (inner, rank + 2 * state), "weight")
        yield TensorPlan(f"{prefix}ssm_dt.weight", (rank, inner), "weight")
        yield TensorPlan(f"{prefix}ssm_dt.bias", (inner,), "small")
        yield TensorPlan(f"{prefix}ssm_a", (state, inner), "negative")
        yield TensorPlan(f"{prefix}ssm_d", (inner,), "small")
        yield TensorPlan(f"{prefix}ssm_out.weight", (inner, self.n_embd), "weight")

    def layer(self, number: int) -> Iterator[TensorPlan]:
        yield from self.mixer(f"blk.{number}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jamba(Mamba):
    """Mamba layers with an attention layer every `attention_interval`, told by head_count_kv per layer."""

    n_heads: int
    n_kv_heads: int
    attention_interval: int
    n_experts: int = 0
    n_experts_used: int = 0

    def attends(self, number: int) -> bool:
        return number % self.attention_interval == self.attention_interval // 2

    def own_metadata(self) -> Mapping[str, Any]:
        own = dict(Mamba.own_metadata(self))
        own["attention.head_count"] = self.n_heads
        own["attention.head_count_kv"] = tuple(
            self.n_kv_heads if self.attends(number) else 0 for number in range(self.n_layers)
        )
        if self.n_experts:
            own |= {"expert_count": self.n_experts, "expert_used_count": self.n_experts_used}
        return own

    def layer(self, number: int) -> Iterator[TensorPlan]:
        prefix = f"blk.{number}."
        if self.attends(number):
            head_length = self.n_embd // self.n_heads
            yield _norm(f"{prefix}attn_norm", self.n_embd)
            yield TensorPlan(f"{prefix}attn_q.weight", (self.n_embd, self.n_embd), "weight")
            yield TensorPlan(f"{prefix}attn_k.weight", (self.n_embd, head_length * self.n_kv_heads), "weight")
            yield TensorPlan(f"{prefix}attn_v.weight", (self.n_embd, head_length * self.n_kv_heads), "value")
            yield TensorPlan(f"{prefix}attn_output.weight", (self.n_embd, self.n_embd), "weight")
        else:
            yield from self.mixer(prefix)
            for name, length in (("dt", self.time_step_rank), ("b", self.state_size), ("c", self.state_size)):
                yield _norm(f"{prefix}ssm_{name}_norm", length)
        yield _norm(f"{prefix}ffn_norm", self.n_embd)
        if self.n_experts and number % 2:
            yield from _experts(prefix, self.n_embd, self.n_ff, self.n_experts)
        else:
            yield from _ffn(prefix, self.n_embd, self.n_ff)


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3Next(Shape):
    """Gated delta net, with full attention in every fourth layer; experts everywhere."""

    n_heads: int
    n_kv_heads: int
    head_length: int
    n_experts: int
    n_experts_used: int
    n_ff_experts: int
    state_size: int
    n_key_heads: int
    n_value_heads: int
    conv_kernel: int = 4

    @property
    def value_size(self) -> int:
        return self.state_size * self.n_value_heads

    @property
    def key_size(self) -> int:
        return self.state_size * self.n_key_heads

    def own_metadata(self) -> Mapping[str, Any]:
        return {
            "attention.head_count": self.n_heads,
            "attention.head_count_kv": self.n_kv_heads,
            "attention.key_length": self.head_length,
            "attention.value_length": self.head_length,
            "rope.dimension_count": self.head_length // 4,
            "rope.freq_base": 10000000.0,
            "expert_count": self.n_experts,
            "expert_used_count": self.n_experts_used,
            "expert_feed_forward_length": self.n_ff_experts,
            "expert_shared_feed_forward_length": self.n_ff_experts,
            "ssm.conv_kernel": self.conv_kernel,
            "ssm.inner_size": self.value_size,
            "ssm.state_size": self.state_size,
            "ssm.time_step_rank": self.n_value_heads,
            "ssm.group_count": self.n_key_heads,
        }

    def layer(self, number: int) -> Iterator[TensorPlan]:
        prefix = f"blk.{number}."
        n_embd, length = self.n_embd, self.head_length
        yield _norm(f"{prefix}attn_norm", n_embd)
        yield _norm(f"{prefix}post_attention_norm", n_embd)
        if number % 4 == 3:
            yield TensorPlan(f"{prefix}attn_q.weight", (n_embd, 2 * length * self.n_heads), "weight")
            yield TensorPlan(f"{prefix}attn_k.weight", (n_embd, length * self.n_kv_heads), "weight")
            yield TensorPlan(f"{prefix}attn_v.weight", (n_embd, length * self.n_kv_heads), "value")
            yield TensorPlan(f"{prefix}attn_output.weight", (length * self.n_heads, n_embd), "weight")
            yield _norm(f"{prefix}attn_q_norm", length)
            yield _norm(f"{prefix}attn_k_norm", length)
        else:
            channels = 2 * self.key_size + self.value_size
            yield TensorPlan(f"{prefix}attn_qkv.weight", (n_embd, channels), "weight")
            yield TensorPlan(f"{prefix}attn_gate.weight", (n_embd, self.value_size), "weight")
            yield TensorPlan(f"{prefix}ssm_conv1d.weight", (self.conv_kernel, channels), "small")
            yield TensorPlan(f"{prefix}ssm_dt.bias", (self.n_value_heads,), "small")
            yield TensorPlan(f"{prefix}ssm_a", (self.n_value_heads,), "negative")
            yield TensorPlan(f"{prefix}ssm_ba.weight", (n_embd, 2 * self.n_value_heads), "weight")
            yield _norm(f"{prefix}ssm_norm", self.state_size)
            yield TensorPlan(f"{prefix}ssm_out.weight", (self.value_size, n_embd), "weight")
        yield from _experts(prefix, n_embd, self.n_ff_experts, self.n_experts)
        yield TensorPlan(f"{prefix}ffn_gate_inp_shexp.weight", (n_embd,), "small")
        yield from _ffn(prefix, n_embd, self.n_ff_experts, "_shexp")


TINY: tuple[Shape, ...] = (
    Transformer("tiny-mha", "llama", 4, 256, 512, 512, n_heads=4, n_kv_heads=4),
    Transformer("tiny-gqa", "llama", 4, 256, 512, 512, n_heads=4, n_kv_heads=2),
    Transformer("tiny-mqa", "llama", 4, 256, 512, 512, tied=True, n_heads=4, n_kv_heads=1),
    Transformer("tiny-moe", "llama", 4, 256, 512, 512, n_heads=4, n_kv_heads=2, n_experts=4, n_experts_used=2),
    Qwen3Moe(
        "tiny-qwen-moe", "qwen3moe", 4, 256, 512, 512, n_heads=4, n_kv_heads=2, head_length=128, n_experts=8,
        n_experts_used=2, n_ff_experts=256,
    ),
    Gemma3(
        "tiny-swa", "gemma3", 12, 256, 512, 512, tied=True, n_heads=4, n_kv_heads=2, head_length=128,
        sliding_window=256,
    ),
    DeepSeek2(
        "tiny-mla", "deepseek2", 4, 256, 512, 512, n_heads=4, n_experts=4, n_experts_used=2, n_ff_experts=256,
        n_experts_shared=1, n_dense_layers=1, kv_lora_rank=256, q_lora_rank=256, n_rot=64, key_length_mla=192,
        value_length_mla=128,
    ),
    Mamba("tiny-mamba", "mamba", 4, 512, 0, 512, tied=True),
    Jamba(
        "tiny-jamba", "jamba", 8, 512, 512, 512, n_heads=8, n_kv_heads=2, attention_interval=4, n_experts=4,
        n_experts_used=2,
    ),
    Qwen3Next(
        "tiny-qwen-next", "qwen3next", 8, 256, 512, 512, n_heads=4, n_kv_heads=2, head_length=64, n_experts=8,
        n_experts_used=2, n_ff_experts=256, state_size=64, n_key_heads=4, n_value_heads=8,
    ),
)  # fmt: skip
"""One of each memory layout. They decode in llama.cpp when built with random bodies."""

LARGE: tuple[Shape, ...] = (
    Transformer("llama-7b", "llama", 32, 4096, 11008, 32000, 4096, n_heads=32, n_kv_heads=32),
    Transformer("llama-8b", "llama", 32, 4096, 14336, 128256, 8192, n_heads=32, n_kv_heads=8),
    Transformer("llama-70b", "llama", 80, 8192, 28672, 128256, 8192, n_heads=64, n_kv_heads=8),
    Transformer(
        "mixtral-8x7b", "llama", 32, 4096, 14336, 32000, 32768, n_heads=32, n_kv_heads=8, n_experts=8, n_experts_used=2
    ),
    Qwen3Moe(
        "qwen3-30b-a3b", "qwen3moe", 48, 2048, 6144, 151936, 40960, n_heads=32, n_kv_heads=4, head_length=128,
        n_experts=128, n_experts_used=8, n_ff_experts=768,
    ),
    Gemma3(
        "gemma3-12b", "gemma3", 48, 3840, 15360, 262144, 131072, tied=True, n_heads=16, n_kv_heads=8, head_length=256,
        sliding_window=1024,
    ),
    DeepSeek2(
        "deepseek-v2-lite", "deepseek2", 27, 2048, 10944, 102400, 163840, n_heads=16, n_experts=64, n_experts_used=6,
        n_ff_experts=1408, n_experts_shared=2, n_dense_layers=1, kv_lora_rank=512, q_lora_rank=None, n_rot=64,
        key_length_mla=192, value_length_mla=128,
    ),
    DeepSeek2(
        "deepseek-v3", "deepseek2", 61, 7168, 18432, 129280, 163840, n_heads=128, n_experts=256, n_experts_used=8,
        n_ff_experts=2048, n_experts_shared=1, n_dense_layers=3, kv_lora_rank=512, q_lora_rank=1536, n_rot=64,
        key_length_mla=192, value_length_mla=128,
    ),
    Mamba("mamba-2.8b", "mamba", 64, 2560, 0, 50280, 1048576, tied=True),
    Jamba(
        "jamba-52b", "jamba", 32, 4096, 14336, 65536, 262144, n_heads=32, n_kv_heads=8, attention_interval=8,
        n_experts=16, n_experts_used=2,
    ),
    Qwen3Next(
        "qwen3-next-80b-a3b", "qwen3next", 48, 2048, 5120, 151936, 262144, n_heads=16, n_kv_heads=2, head_length=256,
        n_experts=512, n_experts_used=10, n_ff_experts=512, state_size=128, n_key_heads=16, n_value_heads=32,
    ),
)  # fmt: skip
"""Released models, for planning with sparse bodies."""

SHAPES: Mapping[str, Shape] = {shape.name: shape for shape in (*TINY, *LARGE)}
