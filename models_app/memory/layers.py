"""The graphs of llama.cpp's src/models, layer by layer, as far as their sizes go.

Each function names the one it follows in llama-graph.cpp, mamba-base.cpp, delta-net-base.cpp or the architecture's own
file. Widths come from the tensor table. All numbers are f32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models_app.gguf import Header
from models_app.memory.cache import Cells, LayerCache, row_bytes
from models_app.memory.graph import HOST, Graph, GraphNode

NUMBER_BYTES = 4
LEAST_HELPED_ROWS = 32
"""ggml-cuda.cu's op_offload_min_batch_size."""
_F16_BYTES = 2


_MOST_FUSED_EXPERTS = 15
"""ggml-cuda's MOE_WEIGHTED_REDUCTION_MAX_EXPERTS."""


class Unknown(Exception):
    """The layer is not one of those followed here."""


@dataclass(frozen=True, slots=True)
class Mask:
    """What the attention of one kind of layer reads besides Q and the cache."""

    n_cells: int
    mask: GraphNode
    k_index: GraphNode
    v_index: GraphNode
    k_rotation: GraphNode | None = None
    """Turns K before it goes into a quantized cache; None: that is not turned."""
    v_rotation: GraphNode | None = None


@dataclass(frozen=True, slots=True)
class LayerTensors:
    """One layer's tensors, by their names within it."""

    shapes: Mapping[str, tuple[int, ...]]
    sizes: Mapping[str, int]
    """Bytes, at most."""


@dataclass(slots=True)
class LayerGraph:
    """Builds one layer into `graph`."""

    graph: Graph
    header: Header
    cells: Cells
    n_tokens: int
    n_seqs: int
    number: int
    tensors: LayerTensors
    cache: LayerCache
    mask: Mask | None
    positions: GraphNode
    states: GraphNode | None
    """Which sequence's recurrent state goes where."""
    next_device: int
    """Where the sum that ends the layer is computed: it reads no weights, and follows what comes after the host."""
    expert_device: int
    output_rows: GraphNode | None
    """Which rows become logits: in the last layer, only they go on after attention."""
    is_wholly_on_gpus: bool
    """All layers, that is."""
    cuda: frozenset[int]
    """Devices whose attention reads f16: a quantized cache is first turned into that, behind the result."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.tensors.shapes

    def build(self, hidden: GraphNode) -> GraphNode:
        """The layer's result. Raises Unknown."""
        mixed = self.mix(self.first_norm(hidden))
        if not self.has_feed_forward:
            self.graph.device = self.next_device
        if self.output_rows is not None:
            mixed, hidden = self.keep_rows(mixed, self.output_rows), self.keep_rows(hidden, self.output_rows)
            if self.output_rows.n_bytes < LEAST_HELPED_ROWS * NUMBER_BYTES:
                self.graph.helper = None
        ffn_norm = "ffn_norm" if "ffn_norm.weight" in self.shapes else "post_attention_norm"
        if ffn_norm == "ffn_norm" and "post_attention_norm.weight" in self.shapes:
            mixed = self.norm(mixed, "post_attention_norm")
        joined = self.result(mixed.n_bytes, mixed, hidden, in_place=True)
        if not self.has_feed_forward:
            return self.graph.expand(joined)
        fed = self.feed_forward(self.norm(joined, ffn_norm))
        if "post_ffw_norm.weight" in self.shapes:
            fed = self.norm(fed, "post_ffw_norm")
        self.graph.device = self.next_device
        return self.graph.expand(self.result(fed.n_bytes, fed, joined, in_place=True))

    def first_norm(self, hidden: GraphNode) -> GraphNode:
        """It reads no weight: unless all layers are on GPUs, it stays with the layer before, where that is on another GPU."""
        own = self.graph.device
        if not self.is_wholly_on_gpus and HOST not in (hidden.device, own):
            self.graph.device = hidden.device
        normed = self.result(hidden.n_bytes, hidden, in_place=True)
        self.graph.device = own
        return self.scaled(normed, "attn_norm")

    # pieces -----------------------------------------------------------------------------------------------------

    def result(self, n_bytes: int, *operands: GraphNode, in_place: bool = False, extra_bytes: int = 0) -> GraphNode:
        return self.graph.result(n_bytes, *operands, in_place=in_place, extra_bytes=extra_bytes)

    def wide(self, name: str) -> int:
        """How many numbers multiplying with tensor `name` gives for a token. Raises Unknown where there is none."""
        shape = self.shapes.get(name)
        if shape is None or len(shape) < 2:
            raise Unknown(name)
        return shape[1]

    def n_bytes(self, per_token: int) -> int:
        return per_token * self.n_tokens * NUMBER_BYTES

    def product(self, name: str, operand: GraphNode) -> GraphNode:
        """build_lora_mm, with the bias if there is one."""
        rows = operand.n_bytes // (self.shapes[name][0] * NUMBER_BYTES) if name in self.shapes else 0
        result = self.result(self.wide(name) * rows * NUMBER_BYTES, operand, *self.weight(name))
        bias = name.removesuffix("weight") + "bias"
        if bias in self.shapes:
            result = self.result(result.n_bytes, result, *self.weight(bias), in_place=True)
        return result

    def weight(self, name: str) -> tuple[GraphNode, ...]:
        return self.graph.kept(self.tensors.sizes[name], is_weight=True) if name in self.tensors.sizes else ()

    def cached(self, n_cells: int, n_numbers: int, type_name: str) -> tuple[GraphNode, ...]:
        """What attention reads of K or V."""
        return self.graph.kept(row_bytes(n_numbers, type_name) * n_cells)

    def norm(self, operand: GraphNode, name: str) -> GraphNode:
        """build_norm: normed anew unless nobody else reads the operand, then scaled in place."""
        normed = self.result(operand.n_bytes, operand, in_place=True)
        return self.scaled(normed, name)

    def scaled(self, normed: GraphNode, name: str) -> GraphNode:
        return self.result(normed.n_bytes, normed, *self.weight(f"{name}.weight"), in_place=True)

    def keep_rows(self, operand: GraphNode, rows: GraphNode) -> GraphNode:
        return self.result(operand.n_bytes // self.n_tokens * (rows.n_bytes // NUMBER_BYTES), operand, rows)

    # attention --------------------------------------------------------------------------------------------------

    def mix(self, normed: GraphNode) -> GraphNode:
        if "ssm_x.weight" in self.shapes:
            return self.mamba(normed)
        if "ssm_ba.weight" in self.shapes:
            self.graph.expand(normed)
            return self.delta_net(normed)
        if "attn_kv_a_mqa.weight" in self.shapes:
            return self.latent_attention(normed)
        return self.attention(normed)

    def attention(self, normed: GraphNode) -> GraphNode:
        """build_qkv and build_attn for the ordinary KV cache."""
        if self.mask is None or not self.cache.k_numbers:
            raise Unknown("attention without a cache")
        gate: GraphNode | None = None
        gated = self.header.architecture == "qwen3next"
        if "attn_qkv.weight" in self.shapes:
            joint = self.product("attn_qkv.weight", normed)
            out = self.shapes["attn_output.weight"][0]
            query = self.rotated(self.graph.view(joint, self.n_bytes(out)))
            key = self.rotated(self.graph.view(joint, self.n_bytes(self.cache.k_numbers)))
            # Its rows lie apart: a copy takes what is between them along.
            value = self.graph.view(joint, self.n_bytes(self.cache.v_numbers) if self.mask.v_rotation else None)
        else:
            query = self.graph.view(self.product("attn_q.weight", normed))
            if gated:
                half = query.n_bytes // 2
                gate = self.graph.view(query, half)
                query = self.graph.view(query, half)
            key = self.graph.view(self.product("attn_k.weight", normed))
            value = self.graph.view(self.product("attn_v.weight", normed))
            if "attn_q_norm.weight" in self.shapes:
                query, key = self.norm(query, "attn_q_norm"), self.norm(key, "attn_k_norm")
            query, key = self.rotated(query), self.rotated(key)
        out_bytes = self.n_bytes(self.shapes["attn_output.weight"][0])
        k_rotation, v_rotation = self.mask.k_rotation, self.mask.v_rotation
        if k_rotation is not None:
            query, key = self.spun(query, k_rotation), self.spun(key, k_rotation)
        if v_rotation is not None:
            value = self.spun(value, v_rotation)
        for node in (query, value, key):
            self.graph.expand(node)
        self.graph.store(self.graph.view(key), self.mask.k_index)
        self.graph.store(self.graph.view(value), self.mask.v_index)
        attended = self.attend(query, out_bytes, self.mask)
        if v_rotation is not None:
            attended = self.spun(attended, v_rotation)
        if gate is not None:
            opened = self.result(out_bytes, gate)
            opened = self.result(out_bytes, opened, in_place=True)
            attended = self.result(out_bytes, attended, opened, in_place=True)
        return self.product("attn_output.weight", attended)

    def rotated(self, operand: GraphNode) -> GraphNode:
        """ggml_rope_ext."""
        return self.result(operand.n_bytes, operand, self.positions, in_place=True)

    def spun(self, operand: GraphNode, rotation: GraphNode) -> GraphNode:
        """llama_mul_mat_hadamard."""
        return self.graph.view(self.result(operand.n_bytes, rotation, self.graph.view(operand)))

    def attend(self, query: GraphNode, out_bytes: int, mask: Mask, value_rows: int | None = None) -> GraphNode:
        """build_attn_mha. `value_rows`: with a compressed cache, the bytes once decompressed."""
        heads = self.header.n_heads
        if heads is None:
            raise Unknown("heads")
        turned = self.graph.view(query)
        k = self.cached(mask.n_cells, self.cache.k_numbers, self.cells.type_k)
        if value_rows is None:
            v = self.cached(mask.n_cells, self.cache.v_numbers, self.cells.type_v)
        else:
            # A part of K's rows, copied with what lies between.
            v = self.cached(mask.n_cells, self.cache.k_numbers, self.cells.type_k)
        if self.cells.flash_attention:
            extra_bytes = self.turned_bytes(mask.n_cells)
            sinks = self.weight("attn_sinks.weight")
            attended = self.result(out_bytes, turned, *k, *v, mask.mask, *sinks, extra_bytes=extra_bytes)
            if value_rows is not None:
                attended = self.result(value_rows, *self.weight("attn_v_b.weight"), self.graph.view(attended))
                attended = self.result(value_rows, self.graph.view(attended))
            return self.graph.expand(self.graph.view(attended))
        scores = self.result(self.n_bytes(mask.n_cells * heads[self.number]), *k, turned)
        for _ in range(3 if self.header.number(self.header.key("attn_logit_softcapping")) else 0):
            scores = self.result(scores.n_bytes, scores, in_place=True)
        scores = self.result(scores.n_bytes, scores, mask.mask, in_place=True)
        operands = [*v, scores]
        if value_rows is not None:
            # V is a part of K's rows here, and must be turned first.
            rank = out_bytes // self.n_bytes(heads[self.number])
            operands = [self.result(mask.n_cells * rank * _F16_BYTES, *v), scores]
        attended = self.result(out_bytes, *operands)
        if value_rows is not None:
            attended = self.result(value_rows, *self.weight("attn_v_b.weight"), attended)
        return self.graph.expand(self.result(attended.n_bytes, self.graph.view(attended)))

    def turned_bytes(self, n_cells: int) -> int:
        """ggml_cuda_flash_attn_ext_get_alloc_size: K and V as f16, where they are not."""
        if self.graph.runs_on not in self.cuda:
            return 0
        k_numbers, v_numbers = self.cache.k_numbers, self.cache.v_numbers
        if not v_numbers and self.graph.runs_on != self.graph.device:
            # V, a part of K's rows, is copied for itself, and then no longer seen to be one.
            v_numbers = k_numbers
        turned = (k_numbers if self.cells.type_k != "f16" else 0) + (v_numbers if self.cells.type_v != "f16" else 0)
        return turned * n_cells * _F16_BYTES

    def latent_attention(self, normed: GraphNode) -> GraphNode:
        """deepseek2.cpp: Q is brought into the compressed space, and the result out of it."""
        heads = self.header.n_heads
        k_b, v_b = self.shapes.get("attn_k_b.weight", ()), self.shapes.get("attn_v_b.weight", ())
        if heads is None or self.mask is None or len(k_b) != 3 or len(v_b) != 3:
            raise Unknown("latent attention")
        n_heads, rank = heads[self.number], k_b[1]
        rotary = self.wide("attn_kv_a_mqa.weight") - rank
        if "attn_q_a.weight" in self.shapes:
            query = self.norm(self.product("attn_q_a.weight", normed), "attn_q_a_norm")
            query = self.product("attn_q_b.weight", query)
        else:
            query = self.product("attn_q.weight", normed)
        query = self.graph.view(query)
        compressed = self.product("attn_kv_a_mqa.weight", normed)
        k_rotary = self.rotated(self.graph.view(compressed, self.n_bytes(rotary)))
        value = self.norm(self.graph.view(compressed, self.n_bytes(rank)), "attn_kv_a_norm")
        plain = self.graph.view(query, self.n_bytes(k_b[0] * n_heads))
        q_rotary = self.rotated(self.graph.view(query, self.n_bytes(rotary * n_heads)))
        absorbed = self.result(self.n_bytes(rank * n_heads), *self.weight("attn_k_b.weight"), self.graph.view(plain))
        absorbed = self.graph.view(absorbed)
        query = self.result(self.n_bytes((rank + rotary) * n_heads), absorbed, q_rotary)
        value = self.graph.view(value)
        key = self.result(self.n_bytes(rank + rotary), value, k_rotary)
        for node in (query, value, key):
            self.graph.expand(node)
        self.graph.store(self.graph.view(key), self.mask.k_index)
        out_bytes = self.n_bytes(rank * n_heads)
        return self.product(
            "attn_output.weight", self.attend(query, out_bytes, self.mask, self.n_bytes(v_b[1] * n_heads))
        )

    # recurrence -------------------------------------------------------------------------------------------------

    def mamba(self, normed: GraphNode) -> GraphNode:
        """build_mamba_layer."""
        kernel = self.header.integer(self.header.key("ssm.conv_kernel"))
        inner2 = self.wide("ssm_in.weight")
        if not kernel:
            raise Unknown("convolution")
        inner = inner2 // 2
        remembered = (kernel - 1) * inner * self.n_seqs * NUMBER_BYTES
        state = self.cache.state_bytes * self.n_seqs - remembered
        conv = self.state(remembered)
        both = self.product("ssm_in.weight", self.graph.view(normed))
        x = self.graph.view(both, self.n_bytes(inner))
        gate = self.graph.view(both, self.n_bytes(inner))
        window = self.result(self.n_bytes(inner) + remembered, self.graph.view(conv), self.graph.view(x))
        self.graph.store(self.graph.view(window))
        x = self.result(self.n_bytes(inner), window, *self.weight("ssm_conv1d.weight"))
        x = self.result(x.n_bytes, x, *self.weight("ssm_conv1d.bias"), in_place=True)
        x = self.result(x.n_bytes, x, in_place=True)
        parts = self.product("ssm_x.weight", x)
        rank = self.shapes["ssm_dt.weight"][0]
        width = (self.wide("ssm_x.weight") - rank) // 2
        step = self.graph.view(parts, self.n_bytes(rank))
        normed_parts = "ssm_dt_norm.weight" in self.shapes
        # Rows of the joint product lie apart: a copy takes what is between them along.
        b = self.graph.view(parts, self.n_bytes(width) if normed_parts else None)
        c = self.graph.view(parts, self.n_bytes(width) if normed_parts else None)
        if normed_parts:
            step, b, c = self.norm(step, "ssm_dt_norm"), self.norm(b, "ssm_b_norm"), self.norm(c, "ssm_c_norm")
        else:
            step = self.result(step.n_bytes, step)
        step = self.product("ssm_dt.weight", step)
        with self.graph.unhelped():
            # One row long, so never brought over.
            scanned = self.result(self.n_bytes(inner) + state, self.graph.view(x), step, b, c, self.state_index())
        self.graph.expand(scanned)
        self.graph.store(self.graph.view(scanned, state))
        y = self.graph.view(scanned, self.n_bytes(inner))
        skipped = self.result(x.n_bytes, x, *self.weight("ssm_d"), in_place=True)
        y = self.result(y.n_bytes, y, skipped, in_place=True)
        y = self.result(y.n_bytes, self.result(gate.n_bytes, gate), y)
        return self.graph.view(self.product("ssm_out.weight", y))

    def delta_net(self, normed: GraphNode) -> GraphNode:
        """qwen3next.cpp's build_layer_attn_linear, with the fused operator."""
        size = self.header.integer(self.header.key("ssm.state_size"))
        k_heads = self.header.integer(self.header.key("ssm.group_count"))
        v_heads = self.header.integer(self.header.key("ssm.time_step_rank"))
        kernel = self.header.integer(self.header.key("ssm.conv_kernel"))
        if not size or not k_heads or not v_heads or not kernel:
            raise Unknown("delta net")
        inner = self.shapes["ssm_out.weight"][0]
        channels = inner + 2 * k_heads * size
        remembered = (kernel - 1) * channels * self.n_seqs * NUMBER_BYTES
        state_bytes = self.cache.state_bytes * self.n_seqs - remembered
        mixed, gate = self.delta_inputs(normed, channels, inner)
        ba = self.product("ssm_ba.weight", normed)
        beta = self.result(self.n_bytes(v_heads), self.graph.view(ba, self.n_bytes(v_heads)))
        beta = self.result(beta.n_bytes, beta, in_place=True)
        alpha = self.result(self.n_bytes(v_heads), self.graph.view(ba, self.n_bytes(v_heads)))
        for _ in range(3):
            alpha = self.result(alpha.n_bytes, alpha, in_place=True)
        conv = self.state(remembered)
        window = self.result(self.n_bytes(channels) + remembered, self.graph.view(conv), self.graph.view(mixed))
        self.graph.store(self.graph.view(window))
        state = self.state(state_bytes)
        convolved = self.result(self.n_bytes(channels), window, *self.weight("ssm_conv1d.weight"))
        convolved = self.result(convolved.n_bytes, convolved, in_place=True)
        q = self.result(self.n_bytes(size * k_heads), self.strided(convolved, size * k_heads), in_place=True)
        k = self.result(self.n_bytes(size * k_heads), self.strided(convolved, size * k_heads), in_place=True)
        # build_gdn_l2_norm scales and shifts what it has squared and summed.
        v = self.strided(convolved, inner)
        if k_heads != v_heads:
            q = self.result(self.n_bytes(size * v_heads), self.graph.view(q))
            k = self.result(self.n_bytes(size * v_heads), self.graph.view(k))
        out = self.result(
            self.n_bytes(inner) + state_bytes,
            self.graph.view(q), self.graph.view(k), v, self.graph.view(alpha), self.graph.view(beta),
            self.graph.view(state),
        )  # fmt: skip
        self.graph.store(self.graph.view(out, state_bytes))
        y = self.norm(self.graph.view(out, self.n_bytes(inner)), "ssm_norm")
        opened = self.result(self.n_bytes(inner), self.graph.view(gate), in_place=True)
        y = self.result(y.n_bytes, y, opened, in_place=True)
        return self.graph.view(self.product("ssm_out.weight", self.graph.view(y)))

    def state(self, n_bytes: int) -> GraphNode:
        """build_rs: of all sequences, gathered where the cells lie."""
        with self.graph.unhelped():
            return self.graph.expand(self.result(n_bytes, self.state_index()))

    def state_index(self) -> GraphNode:
        if self.states is None:
            raise Unknown("recurrence without a state")
        return self.states

    def delta_inputs(self, normed: GraphNode, channels: int, inner: int) -> tuple[GraphNode, GraphNode]:
        """build_qkvz."""
        if "attn_qkv.weight" in self.shapes:
            return self.graph.view(self.product("attn_qkv.weight", normed)), self.product("attn_gate.weight", normed)
        together = self.product("ssm_in.weight", normed)
        key = (channels - inner) // 2
        z = self.result(self.n_bytes(inner), self.strided(together, inner))
        flat = [self.result(self.n_bytes(n), self.strided(together, n)) for n in (key, key, inner)]
        mixed = self.result(self.n_bytes(2 * key), flat[0], flat[1])
        return self.result(self.n_bytes(channels), mixed, flat[2]), z

    def strided(self, of: GraphNode, per_token: int) -> GraphNode:
        return self.graph.view(of, self.n_bytes(per_token))

    # feed forward -----------------------------------------------------------------------------------------------

    @property
    def has_feed_forward(self) -> bool:
        return "ffn_up.weight" in self.shapes or "ffn_gate_inp.weight" in self.shapes

    def feed_forward(self, normed: GraphNode) -> GraphNode:
        if "ffn_gate_inp.weight" not in self.shapes:
            return self.dense(normed, "")
        mixed = self.experts(normed)
        if "ffn_up_shexp.weight" not in self.shapes:
            return mixed
        shared = self.dense(normed, "_shexp")
        if "ffn_gate_inp_shexp.weight" in self.shapes:
            gate = self.result(shared.n_bytes // self.shapes["ffn_down_shexp.weight"][1], normed)
            self.graph.device = self.next_device
            gate = self.result(gate.n_bytes, gate, in_place=True)
            shared = self.result(shared.n_bytes, shared, gate, in_place=True)
        self.graph.device = self.next_device
        return self.result(mixed.n_bytes, mixed, shared, in_place=True)

    def dense(self, normed: GraphNode, suffix: str) -> GraphNode:
        """build_ffn."""
        up = self.product(f"ffn_up{suffix}.weight", normed)
        if f"ffn_gate{suffix}.weight" in self.shapes:
            gate = self.product(f"ffn_gate{suffix}.weight", normed)
            up = self.result(up.n_bytes, gate, up)
        elif self.wide(f"ffn_up{suffix}.weight") == 2 * self.shapes[f"ffn_down{suffix}.weight"][0]:
            up = self.result(up.n_bytes // 2, up)
        else:
            up = self.result(up.n_bytes, up, in_place=True)
        return self.product(f"ffn_down{suffix}.weight", up)

    def experts(self, normed: GraphNode) -> GraphNode:
        """build_moe_ffn."""
        n_used, n_experts = self.header.n_experts_used, self.header.n_experts
        if not n_used or not n_experts or "ffn_gate_exps.weight" not in self.shapes:
            raise Unknown("experts")
        n_rows = normed.n_bytes // NUMBER_BYTES // self.shapes["ffn_gate_inp.weight"][0]
        row = n_rows * NUMBER_BYTES
        width, hidden = self.wide("ffn_up_exps.weight"), self.wide("ffn_down_exps.weight")
        scores = self.product("ffn_gate_inp.weight", normed)
        weighs_late = self.header.architecture == "gpt-oss"
        fused = [scores]
        if not weighs_late:
            scores = self.result(scores.n_bytes, scores, in_place=True)
        selection = scores
        if "exp_probs_b.bias" in self.shapes:
            selection = self.result(scores.n_bytes, scores, in_place=True)
        ranked = self.result(n_experts * row, selection)
        chosen = self.graph.view(ranked, n_used * row)
        weights = self.result(n_used * row, self.graph.view(scores), chosen)
        fused += [scores, selection, ranked, weights]
        weights = self.graph.view(weights)
        total = self.result(row, weights)
        weights = self.graph.view(self.result(weights.n_bytes, weights, total, in_place=True))
        self.graph.expand(weights)
        self.hold_fused(*fused)
        tokens = self.graph.view(normed)
        own_device, self.graph.device = self.graph.device, self.expert_device
        up = self.expert_product("ffn_up_exps", width * n_used * row, tokens, chosen)
        gate = self.expert_product("ffn_gate_exps", width * n_used * row, tokens, chosen)
        down = self.expert_product("ffn_down_exps", hidden * n_used * row, self.result(up.n_bytes, gate, up), chosen)
        if "ffn_up_shexp.weight" in self.shapes:
            self.graph.device = own_device
        else:
            self.graph.device = self.next_device
        weighted = self.graph.expand(self.result(down.n_bytes, down, weights, in_place=True))
        parts = [self.graph.expand(self.graph.view(weighted, hidden * row)) for _ in range(n_used)]
        total = parts[0]
        for part in parts[1:]:
            total = self.graph.expand(self.result(hidden * row, total, part, in_place=True))
        if 2 <= n_used <= _MOST_FUSED_EXPERTS:
            self.hold_fused(down, weights)
        return total if n_used > 1 else self.result(hidden * row, total)

    def hold_fused(self, *operands: GraphNode) -> None:
        """ggml_backend_cuda_graph_optimize: what the kernels read that choose experts, and that sum what these computed."""
        if self.graph.runs_on in self.cuda:
            self.graph.hold(*operands)

    def expert_product(self, name: str, n_bytes: int, operand: GraphNode, chosen: GraphNode) -> GraphNode:
        result = self.result(n_bytes, *self.weight(f"{name}.weight"), operand, chosen)
        if f"{name}.bias" in self.shapes:
            result = self.result(n_bytes, result, *self.weight(f"{name}.bias"), chosen, in_place=True)
        return result
