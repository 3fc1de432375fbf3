"""More architectures, for what a header tells of memory: they plan like the originals and need not decode well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.gguf_shapes import Shape, TensorPlan, Transformer


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen2(Transformer):
    """Biases on Q, K and V."""

    def layer(self, number: int) -> Iterator[TensorPlan]:
        yield from Transformer.layer(self, number)
        for name, heads in (("q", self.n_heads), ("k", self.n_kv_heads), ("v", self.n_kv_heads)):
            yield TensorPlan(f"blk.{number}.attn_{name}.bias", (heads * self.n_rot,), "small")


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3(Transformer):
    """Q and K are normed."""

    def layer(self, number: int) -> Iterator[TensorPlan]:
        yield from Transformer.layer(self, number)
        for name in ("q", "k"):
            yield TensorPlan(f"blk.{number}.attn_{name}_norm.weight", (self.n_rot,), "norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemma2(Transformer):
    """Every other layer slides; scores and logits are capped."""

    sliding_window: int

    def own_metadata(self) -> Mapping[str, Any]:
        return {
            **Transformer.own_metadata(self),
            "attention.sliding_window": self.sliding_window,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        }

    def layer(self, number: int) -> Iterator[TensorPlan]:
        yield from Transformer.layer(self, number)
        for name in ("post_attention_norm", "post_ffw_norm"):
            yield TensorPlan(f"blk.{number}.{name}.weight", (self.n_embd,), "norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phi3(Transformer):
    """Q, K and V from one tensor, gate and up from another."""

    def layer(self, number: int) -> Iterator[TensorPlan]:
        prefix = f"blk.{number}."
        width = self.n_rot * (self.n_heads + 2 * self.n_kv_heads)
        yield TensorPlan(f"{prefix}attn_norm.weight", (self.n_embd,), "norm")
        yield TensorPlan(f"{prefix}attn_qkv.weight", (self.n_embd, width), "weight")
        yield TensorPlan(f"{prefix}attn_output.weight", (self.n_rot * self.n_heads, self.n_embd), "weight")
        yield TensorPlan(f"{prefix}ffn_norm.weight", (self.n_embd,), "norm")
        yield TensorPlan(f"{prefix}ffn_up.weight", (self.n_embd, 2 * self.n_ff), "weight")
        yield TensorPlan(f"{prefix}ffn_down.weight", (self.n_ff, self.n_embd), "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class GptOss(Transformer):
    """Experts with biases, attention sinks, every other layer slides."""

    sliding_window: int

    def own_metadata(self) -> Mapping[str, Any]:
        return {
            **Transformer.own_metadata(self),
            "attention.sliding_window": self.sliding_window,
            "expert_feed_forward_length": self.n_ff,
        }

    def layer(self, number: int) -> Iterator[TensorPlan]:
        prefix = f"blk.{number}."
        for plan in Transformer.layer(self, number):
            name = "post_attention_norm.weight" if plan.name.endswith("ffn_norm.weight") else plan.name[len(prefix) :]
            yield TensorPlan(prefix + name, plan.dims, plan.content)
        for name, heads in (("q", self.n_heads), ("k", self.n_kv_heads), ("v", self.n_kv_heads)):
            yield TensorPlan(f"{prefix}attn_{name}.bias", (heads * self.n_rot,), "small")
        yield TensorPlan(f"{prefix}attn_output.bias", (self.n_embd,), "small")
        yield TensorPlan(f"{prefix}attn_sinks.weight", (self.n_heads,), "small")
        yield TensorPlan(f"{prefix}ffn_gate_inp.bias", (self.n_experts,), "small")
        for name, width in (("gate", self.n_ff), ("up", self.n_ff), ("down", self.n_embd)):
            yield TensorPlan(f"{prefix}ffn_{name}_exps.bias", (width, self.n_experts), "small")


MORE: tuple[Shape, ...] = (
    Qwen2("qwen2.5-7b", "qwen2", 28, 3584, 18944, 152064, 32768, n_heads=28, n_kv_heads=4),
    Qwen3("qwen3-8b", "qwen3", 36, 4096, 12288, 151936, 40960, n_heads=32, n_kv_heads=8, head_length=128),
    Gemma2(
        "gemma2-9b", "gemma2", 42, 3584, 14336, 256000, 8192, tied=True, n_heads=16, n_kv_heads=8, head_length=256,
        sliding_window=4096,
    ),
    Phi3("phi3-mini", "phi3", 32, 3072, 8192, 32064, 4096, n_heads=32, n_kv_heads=32),
    GptOss(
        "gpt-oss-20b", "gpt-oss", 24, 2880, 2880, 201088, 131072, n_heads=64, n_kv_heads=8, head_length=64,
        n_experts=32, n_experts_used=4, sliding_window=128,
    ),
)  # fmt: skip
"""Released models."""
