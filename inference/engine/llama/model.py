"""A model's weights and vocabulary, and where they go."""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from inference.engine.llama import bindings as c
from inference.engine.llama.log import LoadFailed, Log

_LOAD_MODE_NONE = 0
"""llama.h's LLAMA_LOAD_MODE_NONE: neither mapped nor read ahead."""
_LOAD_MODE_MMAP = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Where weights go, in llama.cpp's terms. Handles come from llama.devices."""

    n_gpu_layers: int | None = None
    """None: all."""
    gpus: tuple[int, ...] | None = None
    """Devices, in the order in which they take layers. None: llama.cpp's choice and order."""
    tensor_split: tuple[float, ...] = ()
    """Shares by GPU. Empty: by free memory."""
    overrides: tuple[tuple[str, int], ...] = ()
    """Regular expressions of tensor names, each with the buffer type that such tensors go to."""


class Model:
    """Holds weights and vocabulary. Tokenizing is thread-safe."""

    def __init__(self, handle: c.ModelHandle) -> None:
        self.handle = handle
        self.vocab = c.llama_model_get_vocab(handle)
        self.n_vocab = c.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train = c.llama_model_n_ctx_train(handle)
        self.n_layers = c.llama_model_n_layer(handle)
        self.n_swa = c.llama_model_n_swa(handle)
        self.adds_bos = c.llama_vocab_get_add_bos(self.vocab)
        self.bos = c.llama_vocab_bos(self.vocab)
        self.eos = c.llama_vocab_eos(self.vocab)
        self.keeps_state = c.llama_model_is_recurrent(handle) or c.llama_model_is_hybrid(handle)
        """It has layers with one running state per sequence, which can neither be cut nor shared."""
        self.has_vocabulary = c.llama_vocab_type(self.vocab) != c.LLAMA_VOCAB_TYPE_NONE
        self.has_encoder = c.llama_model_has_encoder(handle)

    @classmethod
    def load(
        cls,
        path: Path,
        log: Log,
        *,
        layout: Layout | None = None,
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
        if handle is None:
            raise LoadFailed("the model could not be loaded", log.errors)
        return cls(handle)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> array[int]:
        """The token ids of `text`. Raises UnicodeEncodeError for a lone surrogate, OverflowError for a text too long to count."""
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
            count = c.llama_token_to_piece(self.vocab, token, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def ends_generation(self, token: int) -> bool:
        """Whether an answer is over with `token`."""
        return c.llama_vocab_is_eog(self.vocab, token)

    def is_control(self, token: int) -> bool:
        """Whether `token` stands for no text, but steers the model."""
        return c.llama_vocab_is_control(self.vocab, token)

    def close(self) -> None:
        """Frees the weights. No context may be left."""
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
