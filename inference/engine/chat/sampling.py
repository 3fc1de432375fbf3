"""Draws one request's tokens: llama.cpp's sampler chain, and a grammar beside it."""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Sequence

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.decoding.grammar import Follower
from inference.engine.llama import Candidates, Chain, Context, Model, likeliest

_MOST_TRIED = 1024
"""Candidates beyond the likeliest thousand are looked at only when none of those will do."""


class NothingAllowed(Exception):
    """The grammar is not complete, and no token of this vocabulary continues it."""


class Sampler:
    """Samples in llama-server's order: bias, penalties, top-k, top-p, min-p, temperature. Temperature 0 is greedy.

    With a grammar a token is drawn first and looked up after: most are allowed, and one look-up is cheap. Only when it is
    not, the draw is repeated among the tokens that are.
    """

    def __init__(
        self, model: Model, options: GenerationOptions, prompt: Sequence[int], follower: Follower | None
    ) -> None:
        self._follower = follower
        # 2**32 - 1 would ask llama.cpp for a seed of its own.
        seed = secrets.randbelow(2**32 - 1) if options.seed is None else options.seed
        self._chain = Chain(model)
        if options.logit_bias:
            self._chain.logit_bias(options.logit_bias)
        penalises = (options.repeat_penalty, options.frequency_penalty, options.presence_penalty) != (1.0, 0.0, 0.0)
        if penalises and options.repeat_last_n > 0:
            self._chain.penalties(
                options.repeat_last_n, options.repeat_penalty, options.frequency_penalty, options.presence_penalty
            )
        if options.temperature == 0:
            self._chain.greedy()
        else:
            if options.top_k > 0:
                self._chain.top_k(options.top_k)
            if options.top_p < 1:
                self._chain.top_p(options.top_p)
            if options.min_p > 0:
                self._chain.min_p(options.min_p)
            self._chain.temperature(options.temperature)
            self._chain.random(seed)
        if penalises:
            for token in prompt[-options.repeat_last_n :] if options.repeat_last_n else ():
                self._chain.accept(token)

    @property
    def ended(self) -> bool:
        """Whether the grammar is complete and nothing may follow."""
        return self._follower is not None and self._follower.ended

    def sample(self, context: Context, output: int) -> int:
        """The next token. Raises NothingAllowed, GrammarTooComplex."""
        if self._follower is None:
            return self._chain.sample(context, output)
        follower = self._follower
        follower.refill()
        logits = context.logits(output)
        token = self._chain.pick(Candidates(follower.vocabulary.tokens, logits))
        if not follower.allows(token):
            token = self._chain.pick(Candidates(*self._allowed(follower, logits)))
        self._chain.accept(token)
        follower.accept(token)
        return token

    def close(self) -> None:
        """Frees the chain. Nothing may be sampled after."""
        self._chain.close()

    def _allowed(self, follower: Follower, logits: memoryview[float]) -> tuple[array[int], array[float]]:
        candidates = follower.candidates()
        many = len(candidates) > _MOST_TRIED
        tried = likeliest(follower.vocabulary.tokens, logits, _MOST_TRIED) if many else candidates
        tokens = array("i", [token for token in tried if follower.allows(token)])
        if not tokens and many:
            tokens = array("i", [token for token in candidates if follower.allows(token)])
        if not tokens:
            raise NothingAllowed
        return tokens, array("f", [logits[token] for token in tokens])
