"""Sampler chains, and the tokens that they choose from."""

from __future__ import annotations

import ctypes
import math
from array import array
from collections.abc import Mapping

from inference.engine.llama import bindings as c
from inference.engine.llama.context import Context
from inference.engine.llama.model import Model


class Chain:
    """Builds and runs a sampler chain in C. The methods named for samplers append one; `close` frees all."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._closed = False
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
        """Counts `token` among those that penalties look back at."""
        c.llama_sampler_accept(self.handle, token)

    def sample(self, context: Context, output: int) -> int:
        """Draws a token from the logits of `output` and accepts it."""
        return c.llama_sampler_sample(self.handle, context.handle, output)

    def pick(self, candidates: Candidates) -> int:
        """Draws from `candidates`, which it reorders. Does not accept the token."""
        c.llama_sampler_apply(self.handle, ctypes.byref(candidates.struct))
        return int(candidates.struct.data[candidates.struct.selected].id)

    def close(self) -> None:
        """Frees the chain, once. Nothing may be sampled after."""
        if not self._closed:
            self._closed = True
            c.llama_sampler_free(self.handle)

    def _add(self, sampler: c.SamplerHandle) -> None:
        if not sampler:
            raise MemoryError("llama.cpp could not create a sampler")
        c.llama_sampler_chain_add(self.handle, sampler)


class Candidates:
    """Holds tokens with their logits as samplers take them: an int32 id and two float32, `logit` and `p`."""

    def __init__(self, tokens: array[int], logits: array[float] | memoryview[float]) -> None:
        count = len(tokens)
        self._entries = (c.llama_token_data * count)()
        words = memoryview(self._entries).cast("B")
        words.cast("i")[0::3] = memoryview(tokens)
        words.cast("f")[1::3] = memoryview(logits)
        self.struct = c.llama_token_data_array()
        self.struct.data = self._entries
        self.struct.size = count
        self.struct.selected = -1
        self.struct.sorted = False

    def tokens(self) -> list[int]:
        """The token ids in their present order; a sampler may have sorted and shortened them."""
        return list(memoryview(self._entries).cast("B").cast("i")[0 : 3 * self.struct.size : 3])


def likeliest(tokens: array[int], logits: array[float] | memoryview[float], count: int) -> list[int]:
    """The `count` of `tokens` with the largest `logits`, largest first."""
    candidates = Candidates(tokens, logits)
    sampler = c.llama_sampler_init_top_k(count)
    c.llama_sampler_apply(sampler, ctypes.byref(candidates.struct))
    c.llama_sampler_free(sampler)
    return candidates.tokens()
