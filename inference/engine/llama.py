"""The one importer of llama.cpp's bindings: a thin, typed layer over models, contexts, batches and sampler chains.

Nothing here decides anything. Every call runs with the GIL released, as ctypes does for shared libraries.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from inference.core.options import LoadOptions
from inference.engine.footprint import Buffers
from inference.engine.llama_package import open_package

open_package()

from llama_cpp import llama_cpp as c  # noqa: E402  the stub package must be in place first

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
_LOAD_MODE_NONE = 0
"""llama.h's LLAMA_LOAD_MODE_NONE: neither mapped nor read ahead."""
_LOAD_MODE_MMAP = 1
_LOG_DEBUG, _LOG_INFO, _LOG_ERROR, _LOG_CONTINUED = 1, 2, 4, 5
LIBRARY = c._lib
"""libllama, through which the symbols of the ggml libraries that it links are found as well."""


class LoadFailed(Exception):
    """llama.cpp returned no model or no context. `lines` are its last error lines, oldest first."""

    def __init__(self, what: str, lines: Sequence[str]) -> None:
        super().__init__(what)
        self.what = what
        self.lines = tuple(lines)


class Log:
    """Receives llama.cpp's log: forwards it to standard error, notes buffers and recent errors.

    llama.cpp keeps one log callback per process and calls it from any thread. Whoever creates a Log keeps it alive:
    the C side would call into freed memory otherwise.
    """

    def __init__(self, descriptor: int = 2, on_text: Callable[[str], None] | None = None) -> None:
        """`on_text` hears every piece of the log, which may be less than a line. It must not raise."""
        self._on_text = on_text
        self.errors: list[str] = []
        self.buffers = Buffers()
        self._descriptor = descriptor
        self._shown = False
        self._lock = threading.Lock()
        self._callback = c.llama_log_callback(self._receive)
        c.llama_log_set(self._callback, None)

    def _receive(self, level: int, text: bytes, _context: object) -> None:
        # An exception cannot cross into C, where nobody would see it.
        if level == _LOG_DEBUG and b" assigned to device " not in text:
            # Two thousand lines a load, of which only those that tell where layers go are of use.
            self._shown = False
            return
        with self._lock:
            self._shown = self._shown if level == _LOG_CONTINUED else level >= _LOG_INFO
            if self._shown:
                with suppress(OSError):
                    os.write(self._descriptor, text)
            line = text.decode("utf-8", "replace").strip()
            if level == _LOG_ERROR and line:
                self.errors = [*self.errors[-7:], line]
            self.buffers.note(line)
            if self._on_text is not None:
                self._on_text(text.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where weights go, in llama.cpp's terms. Handles come from engine.devices."""

    n_gpu_layers: int | None = None
    """None: all."""
    gpus: tuple[int, ...] | None = None
    """Devices, in the order in which they take layers. None: llama.cpp's choice and order."""
    tensor_split: tuple[float, ...] = ()
    """Shares by GPU. Empty: by free memory."""
    overrides: tuple[tuple[str, int], ...] = ()
    """Regular expressions of tensor names, each with the buffer type that such tensors go to."""


class Model:
    """Weights and vocabulary. Tokenising is thread-safe."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.vocab = c.llama_model_get_vocab(handle)
        self.n_vocab: int = c.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = c.llama_model_n_ctx_train(handle)
        self.n_layers: int = c.llama_model_n_layer(handle)
        self.n_swa: int = c.llama_model_n_swa(handle)
        self.adds_bos: bool = c.llama_vocab_get_add_bos(self.vocab)
        self.bos: int = c.llama_vocab_bos(self.vocab)
        self.eos: int = c.llama_vocab_eos(self.vocab)
        self.keeps_state = bool(c.llama_model_is_recurrent(handle) or c.llama_model_is_hybrid(handle))
        """It has layers with one running state per sequence, which can neither be cut nor shared."""
        self.has_vocabulary: bool = c.llama_vocab_type(self.vocab) != c.LLAMA_VOCAB_TYPE_NONE
        self.has_encoder: bool = c.llama_model_has_encoder(handle)

    @classmethod
    def load(
        cls,
        path: Path,
        log: Log,
        *,
        layout: Layout | None = None,
        vocab_only: bool = False,
        no_alloc: bool = False,
        mapped: bool = False,
        on_progress: Callable[[float], None] | None = None,
    ) -> Model:
        """Blocks until the weights are in memory. Raises LoadFailed.

        `no_alloc` reads the header alone: contexts then reserve their graphs, and nothing is allocated. `mapped` leaves the
        weights in the file: for a look at a file that memory may have no room for.
        """
        c.llama_backend_init()
        params = c.llama_model_default_params()
        kept = _lay_out(params, layout or Layout())
        params.vocab_only = vocab_only
        params.no_alloc = no_alloc
        # A mapped file is page cache: the kernel counts it as free, and takes it away without a word when memory runs short.
        # Weights in memory of their own are held as the ledger says; decoding is 3 to 5 % faster too.
        params.load_mode = _LOAD_MODE_MMAP if mapped else _LOAD_MODE_NONE
        params.use_extra_bufts = not mapped

        def report(fraction: float, _context: object) -> bool:
            if on_progress is not None:
                on_progress(fraction)
            return True

        # Named, so that it outlives the call that uses it.
        callback = c.llama_progress_callback(report)
        params.progress_callback = callback
        handle = c.llama_model_load_from_file(os.fsencode(path), params)
        del kept
        if not handle:
            raise LoadFailed("the model could not be loaded", log.errors)
        return cls(handle)

    def metadata(self, key: str) -> str | None:
        """The GGUF's value for `key` as text, or None where it has none."""
        size = c.llama_model_meta_val_str(self.handle, key.encode(), None, 0)
        if size < 0:
            return None
        buffer = ctypes.create_string_buffer(size + 1)
        c.llama_model_meta_val_str(self.handle, key.encode(), buffer, size + 1)
        return buffer.raw[:size].decode("utf-8", "replace")

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> array[int]:
        """Token ids. Raises UnicodeEncodeError for a lone surrogate, which has no bytes."""
        raw = text.encode()
        most = len(raw) + 8
        tokens = (ctypes.c_int32 * most)()
        count = c.llama_tokenize(self.vocab, raw, len(raw), tokens, most, add_special, parse_special)
        if count < 0 and count != -(2**31):
            most = -count
            tokens = (ctypes.c_int32 * most)()
            count = c.llama_tokenize(self.vocab, raw, len(raw), tokens, most, add_special, parse_special)
        if count < 0:
            raise OverflowError(f"a text of {len(raw)} bytes makes more tokens than llama.cpp can count")
        result = array("i")
        result.frombytes(memoryview(tokens).cast("B")[: count * 4])
        return result

    def piece(self, token: int, *, special: bool) -> bytes:
        """The bytes that `token` stands for; control tokens give b"" unless `special`."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count: int = c.llama_token_to_piece(self.vocab, token, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def ends_generation(self, token: int) -> bool:
        return bool(c.llama_vocab_is_eog(self.vocab, token))

    def is_control(self, token: int) -> bool:
        return bool(c.llama_vocab_is_control(self.vocab, token))

    def close(self) -> None:
        c.llama_model_free(self.handle)


class _Override(ctypes.Structure):
    """llama.h's llama_model_tensor_buft_override."""

    _fields_: ClassVar = [("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p)]


def _lay_out(params: Any, layout: Layout) -> tuple[object, ...]:
    """Fills `params`. They point into what comes back: keep it until the load has returned."""
    params.n_gpu_layers = -1 if layout.n_gpu_layers is None else layout.n_gpu_layers
    overrides = (_Override * (len(layout.overrides) + 1))()
    for entry, (pattern, buffer_type) in zip(overrides, layout.overrides, strict=False):
        entry.pattern, entry.buffer_type = pattern.encode(), buffer_type
    if layout.overrides:
        params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
    gpus = None
    if layout.gpus is not None:
        gpus = (ctypes.c_void_p * (len(layout.gpus) + 1))(*layout.gpus)
        params.devices = ctypes.cast(gpus, ctypes.c_void_p)
    shares = (ctypes.c_float * c.llama_max_devices())(*layout.tensor_split)
    if layout.tensor_split:
        params.tensor_split = shares
    return overrides, gpus, shares


class Context:
    """KV cache and compute graphs for `options.n_seq_max` slots, and one sequence more for proofs of life.

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
        self.handle = c.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise LoadFailed("the context could not be created", log.errors)
        self.model = model
        if options.n_outputs is not None:
            log.buffers.grow_output(options.n_outputs * model.n_vocab * ctypes.sizeof(ctypes.c_float))
        self.n_batch: int = c.llama_n_batch(self.handle)
        self.n_ctx: int = c.llama_n_ctx(self.handle)
        self.n_ctx_seq = options.n_ctx_seq
        self.spare_sequence = options.n_seq_max
        self.n_threads = n_threads
        self._memory = c.llama_get_memory(self.handle)

    @property
    def remembers(self) -> bool:
        """False for models without a KV cache or state: they embed text and generate none."""
        return bool(self._memory)

    def decode(self, batch: Batch) -> int:
        """llama_decode's code: 0 done, 1 no room in the KV cache, 2 aborted, below 0 fatal. Blocks for the whole step."""
        return int(c.llama_decode(self.handle, batch.struct))

    def set_threads(self, n_threads: int) -> None:
        """Holds from the next decode on."""
        self.n_threads = n_threads
        c.llama_set_n_threads(self.handle, n_threads, n_threads)

    def logits(self, output: int) -> memoryview[float]:
        """The `n_vocab` float32 logits of batch entry `output`, valid until the next decode."""
        pointer = c.llama_get_logits_ith(self.handle, output)
        floats = (ctypes.c_float * self.model.n_vocab).from_address(ctypes.addressof(pointer.contents))
        return memoryview(floats).cast("B").cast("f")

    def truncate(self, sequence: int, n_keep: int) -> bool:
        """Keeps the first `n_keep` positions. False, and nothing changed, where the memory cannot remove a part."""
        return bool(c.llama_memory_seq_rm(self._memory, sequence, n_keep, -1))

    def clear(self, sequence: int) -> None:
        c.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def copy(self, source: int, target: int, n_keep: int) -> None:
        """Shares the first `n_keep` positions of `source` with the empty sequence `target`; costs no memory."""
        c.llama_memory_seq_cp(self._memory, source, target, 0, n_keep)

    def oldest_position(self, sequence: int) -> int | None:
        position: int = c.llama_memory_seq_pos_min(self._memory, sequence)
        return None if position < 0 else position

    def newest_position(self, sequence: int) -> int | None:
        position: int = c.llama_memory_seq_pos_max(self._memory, sequence)
        return None if position < 0 else position

    def close(self) -> None:
        c.llama_free(self.handle)


class Batch:
    """The arrays behind a llama_batch, allocated once and refilled every step."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._tokens = (ctypes.c_int32 * capacity)()
        self._positions = (ctypes.c_int32 * capacity)()
        self._sequences = (ctypes.c_int32 * capacity)()
        self._outputs = (ctypes.c_int8 * capacity)()
        counts = (ctypes.c_int32 * capacity)(*([1] * capacity))
        start = ctypes.addressof(self._sequences)
        addresses = array("Q", range(start, start + 4 * capacity, 4))
        pointers = (ctypes.POINTER(ctypes.c_int32) * capacity).from_buffer_copy(addresses)
        self._kept = (counts, pointers)
        # The bindings' type of `pos` is wrong.
        self.struct = cast(Any, c.llama_batch())
        self.struct.n_tokens = 0
        self.struct.token = self._tokens
        self.struct.pos = self._positions
        self.struct.n_seq_id = counts
        self.struct.seq_id = pointers
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
        self._outputs[index] = 1


class Chain:
    """A sampler chain in C. `close` frees it with all its parts."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.handle = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())

    def logit_bias(self, biases: Mapping[int, float]) -> None:
        entries = (c.llama_logit_bias * len(biases))()
        for entry, (token, bias) in zip(entries, biases.items(), strict=True):
            entry.token = token
            entry.bias = -math.inf if bias <= -100 else bias
        self._add(c.llama_sampler_init_logit_bias(self._model.n_vocab, len(biases), entries))

    def penalties(self, last_n: int, repeat: float, frequency: float, presence: float) -> None:
        self._add(c.llama_sampler_init_penalties(self._model.n_vocab, last_n, repeat, frequency, presence))

    def top_k(self, k: int) -> None:
        self._add(c.llama_sampler_init_top_k(k))

    def top_p(self, p: float) -> None:
        self._add(c.llama_sampler_init_top_p(p, 1))

    def min_p(self, p: float) -> None:
        self._add(c.llama_sampler_init_min_p(p, 1))

    def temperature(self, temperature: float) -> None:
        self._add(c.llama_sampler_init_temp(temperature))

    def random(self, seed: int) -> None:
        self._add(c.llama_sampler_init_dist(seed))

    def greedy(self) -> None:
        self._add(c.llama_sampler_init_greedy())

    def accept(self, token: int) -> None:
        c.llama_sampler_accept(self.handle, token)

    def sample(self, context: Context, output: int) -> int:
        """Draws a token from the logits of `output` and accepts it."""
        return int(c.llama_sampler_sample(self.handle, context.handle, output))

    def pick(self, candidates: Candidates) -> int:
        """Draws from `candidates`, which it reorders. Does not accept the token."""
        c.llama_sampler_apply(self.handle, ctypes.byref(candidates.struct))
        return int(candidates.struct.data[candidates.struct.selected].id)

    def close(self) -> None:
        if self.handle:
            c.llama_sampler_free(self.handle)
            self.handle = None

    def _add(self, sampler: int) -> None:
        if not sampler:
            raise MemoryError("llama.cpp could not create a sampler")
        c.llama_sampler_chain_add(self.handle, sampler)


class Candidates:
    """Tokens with their logits, as samplers take them: llama_token_data is an int32 id and two float32, `logit` and `p`."""

    def __init__(self, tokens: array[int], logits: array[float] | memoryview[float]) -> None:
        count = len(tokens)
        self._data = (c.llama_token_data * count)()
        words = memoryview(self._data).cast("B")
        words.cast("i")[0::3] = memoryview(tokens)
        words.cast("f")[1::3] = memoryview(logits)
        self.struct = c.llama_token_data_array()
        self.struct.data = self._data
        self.struct.size = count
        self.struct.selected = -1
        self.struct.sorted = False

    def tokens(self) -> list[int]:
        """The token ids in their present order; a sampler may have sorted and shortened them."""
        return list(memoryview(self._data).cast("B").cast("i")[0 : 3 * self.struct.size : 3])


def likeliest(tokens: array[int], logits: array[float] | memoryview[float], count: int) -> list[int]:
    """The `count` of `tokens` with the largest `logits`, largest first."""
    candidates = Candidates(tokens, logits)
    sampler = c.llama_sampler_init_top_k(count)
    c.llama_sampler_apply(sampler, ctypes.byref(candidates.struct))
    c.llama_sampler_free(sampler)
    return candidates.tokens()


# quantizing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QuantizeParams:
    """llama_model_quantize_params, with ggml's and llama.cpp's own numbers."""

    file_type: int
    output_type: int | None
    embedding_type: int | None
    pure: bool
    keep_split: bool
    n_threads: int
    dry_run: bool
    max_buffer_bytes: int
    importance: Mapping[str, array[float]]
    """By tensor name. Empty: no importance matrix."""
    importance_name: str
    """Of the text that it was made from, kept in the result's metadata."""


def quantize(source: Path, target: Path, wanted: QuantizeParams) -> bool:
    """Blocks until `target` is written. False where llama.cpp gave up: the log has its reason.

    With `keep_split`, `target` is what the names of the shards begin with.
    """
    c.llama_backend_init()
    params = c.llama_model_quantize_default_params()
    params.ftype = wanted.file_type
    params.nthread = wanted.n_threads
    params.allow_requantize = True
    params.pure = wanted.pure
    params.keep_split = wanted.keep_split
    params.dry_run = wanted.dry_run
    params.max_buf_size = wanted.max_buffer_bytes
    if wanted.output_type is not None:
        params.output_tensor_type = wanted.output_type
    if wanted.embedding_type is not None:
        params.token_embedding_type = wanted.embedding_type
    kept = _set_importance(params, wanted) if wanted.importance else ()
    code = c.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    del kept
    return bool(code == 0)


def _set_importance(params: Any, wanted: QuantizeParams) -> tuple[object, ...]:
    """Fills `params`, with what llama.cpp's own program writes into the result. They point into what comes back."""
    rows = (c.llama_model_imatrix_data * (len(wanted.importance) + 1))()
    for row, (name, values) in zip(rows, wanted.importance.items(), strict=False):
        address, n_values = values.buffer_info()
        row.name, row.size = name.encode(), n_values
        row.data = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
    params.imatrix = rows
    overrides = (c.llama_model_kv_override * 3)()
    overrides[0].tag, overrides[0].key = c.LLAMA_KV_OVERRIDE_TYPE_STR, b"quantize.imatrix.dataset"
    overrides[0].value.val_str = wanted.importance_name.encode()[:127]
    overrides[1].tag, overrides[1].key = c.LLAMA_KV_OVERRIDE_TYPE_INT, b"quantize.imatrix.entries_count"
    overrides[1].value.val_i64 = len(wanted.importance)
    params.kv_overrides = overrides
    return rows, overrides
