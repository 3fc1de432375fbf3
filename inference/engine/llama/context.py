"""What decodes: a context with its KV cache and graphs, and the batches that it takes."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Mapping

from inference.core.loads.options import LoadOptions
from inference.engine.llama import bindings as c
from inference.engine.llama.log import LoadFailed, Log
from inference.engine.llama.model import Model

# ggml.h's enum ggml_type; the bindings name only some of them.
KV_TYPE_IDS: Mapping[str, int] = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "bf16": 30,
}


class Context:
    """Holds KV cache and compute graphs for `options.n_seq_max` slots, and one sequence more for pings.

    Not thread-safe: one thread owns it.
    """

    def __init__(
        self,
        model: Model,
        options: LoadOptions,
        n_threads: int,
        log: Log,
        *,
        on_node: Callable[[int, bool], bool] | None = None,
    ) -> None:
        """`on_node` is asked before each node of the graph whether it wants to see its result (True), and then shown it
        (False); it gets a ggml_tensor's address, and must not raise. It costs every token: None where nobody listens.
        """
        params = c.llama_context_default_params()
        # Named, so that it outlives the context.
        self._on_node = c.ggml_backend_sched_eval_callback(lambda node, ask, _: on_node(node, ask)) if on_node else None
        if self._on_node is not None:
            params.cb_eval = self._on_node
        params.n_ctx = options.n_ctx
        params.n_batch = max(options.n_batch, options.n_seq_max + 1)
        params.n_ubatch = min(options.n_ubatch, params.n_batch)
        params.n_seq_max = options.n_seq_max + 1
        # Logits are usually asked for once per sequence: the buffer for them need not cover a whole batch of prompt.
        params.n_outputs_max = options.n_outputs or options.n_seq_max + 1
        params.n_threads = params.n_threads_batch = n_threads
        params.type_k = KV_TYPE_IDS[options.type_k]
        params.type_v = KV_TYPE_IDS[options.type_v]
        params.flash_attn_type = c.LLAMA_FLASH_ATTN_TYPE_AUTO
        params.kv_unified = True
        params.swa_full = False
        handle = c.llama_init_from_model(model.handle, params)
        if handle is None:
            raise LoadFailed("the context could not be created", log.errors)
        self.handle = handle
        self.model = model
        if options.n_outputs is not None:
            log.buffers.grow_output(options.n_outputs * model.n_vocab * ctypes.sizeof(ctypes.c_float))
        self.n_batch = c.llama_n_batch(self.handle)
        self.n_ctx = c.llama_n_ctx(self.handle)
        self.n_ctx_seq = options.n_ctx_seq
        self.spare_sequence = options.n_seq_max
        self.n_threads = n_threads
        self._memory = c.llama_get_memory(self.handle)

    @property
    def remembers(self) -> bool:
        """Whether there is a KV cache or state. Models without embed text and generate none."""
        return self._memory is not None

    def decode(self, batch: Batch) -> int:
        """Evaluates a batch; blocks for the whole step. llama_decode's code: 0 done, 1 no room in the KV cache, below 0 fatal."""
        return c.llama_decode(self.handle, batch.struct)

    def set_threads(self, n_threads: int) -> None:
        """Sets how many threads decode, from the next step on."""
        self.n_threads = n_threads
        c.llama_set_n_threads(self.handle, n_threads, n_threads)

    def logits(self, output: int) -> memoryview[float]:
        """The `n_vocab` float32 logits of batch entry `output`, valid until the next decode."""
        pointer = c.llama_get_logits_ith(self.handle, output)
        floats = (ctypes.c_float * self.model.n_vocab).from_address(ctypes.addressof(pointer.contents))
        return memoryview(floats).cast("B").cast("f")

    def truncate(self, sequence: int, n_keep: int) -> bool:
        """Keeps the first `n_keep` positions. False, and nothing changed, where the memory cannot remove a part."""
        return c.llama_memory_seq_rm(self._memory, sequence, n_keep, -1)

    def clear(self, sequence: int) -> None:
        """Forgets a sequence."""
        c.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def copy(self, source: int, target: int, n_keep: int) -> None:
        """Shares the first `n_keep` positions of `source` with the empty sequence `target`; costs no memory."""
        c.llama_memory_seq_cp(self._memory, source, target, 0, n_keep)

    def oldest_position(self, sequence: int) -> int | None:
        """The first position that the memory still holds; None for an empty sequence."""
        position = c.llama_memory_seq_pos_min(self._memory, sequence)
        return None if position < 0 else position

    def close(self) -> None:
        """Frees the context. Nothing may be decoded after."""
        c.llama_free(self.handle)


class Batch:
    """Holds the arrays behind a llama_batch, allocated once and refilled every step."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._tokens = (ctypes.c_int32 * capacity)()
        self._positions = (ctypes.c_int32 * capacity)()
        self._sequences = (ctypes.c_int32 * capacity)()
        self._outputs = (ctypes.c_int8 * capacity)()
        counts = (ctypes.c_int * capacity)(*([1] * capacity))
        start = ctypes.addressof(self._sequences)
        addresses = array("Q", range(start, start + 4 * capacity, 4))
        pointers = (ctypes.POINTER(ctypes.c_int32) * capacity).from_buffer_copy(addresses)
        self._kept = (counts, pointers)
        self.struct = c.llama_batch()
        self.struct.n_tokens = 0
        self.struct.token = self._tokens
        self.struct.pos = self._positions  # type: ignore[assignment]  # the package's type: an array too many
        self.struct.n_seq_id = counts
        self.struct.seq_id = pointers  # type: ignore[assignment]  # the package's type: arrays, not pointers
        self.struct.logits = self._outputs
        self.size = 0

    def clear(self) -> None:
        self.size = 0
        self.struct.n_tokens = 0

    def add(self, token: int, position: int, sequence: int, output: bool) -> int:
        """Appends one token and returns its index, which names its logits after the decode."""
        index = self.size
        self._tokens[index] = token
        self._positions[index] = position
        self._sequences[index] = sequence
        self._outputs[index] = output
        self.size = self.struct.n_tokens = index + 1
        return index

    def add_span(self, tokens: array[int], position: int, sequence: int) -> int:
        """Appends consecutive tokens without logits and returns the index of the last."""
        start, end = self.size, self.size + len(tokens)
        memoryview(self._tokens).cast("B")[start * 4 : end * 4] = memoryview(tokens).cast("B")
        self._positions[start:end] = list(range(position, position + len(tokens)))
        self._sequences[start:end] = [sequence] * len(tokens)
        self._outputs[start:end] = [0] * len(tokens)
        self.size = self.struct.n_tokens = end
        return end - 1

    def request_output(self, index: int) -> None:
        """Asks for the logits of an entry."""
        self._outputs[index] = 1
