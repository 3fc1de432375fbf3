"""Continuous batching: one thread owns the context and decodes, step by step, whatever all slots need next.

A step carries the next token of every generating slot plus a chunk of prompt, so a long prompt never silences the others
and a new request waits for one step at most.
"""

from __future__ import annotations

import queue
import resource
import sys
import threading
import time
import traceback
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NoReturn

from inference.core import sequence
from inference.core.grammar import GrammarTooComplex
from inference.core.threads import ThreadCount
from inference.engine.generation import Generation
from inference.engine.llama import Batch, Chain, Context, Model
from inference.engine.sampling import NothingAllowed
from inference.engine.scoring import Scoring

HANDOVER_SECONDS = 2.0
"""How long a request waits for a slot that its previous user is just leaving."""
_MOST_FATAL_STEPS = 2


@dataclass(slots=True)
class Slot:
    """A seat in the context. `tokens` are those in the KV cache, `owner` whose they are; both stay after the answer ends."""

    index: int
    owner: str | None = None
    tokens: array[int] = field(default_factory=lambda: array("i"))
    generation: Generation | None = None
    next_token: int | None = None
    """Sampled and not yet decoded. None while the prompt is being evaluated."""
    last_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Portion:
    """What one slot contributes to a step: `count` tokens, and the batch entry whose logits it needs afterwards."""

    slot: Slot
    count: int
    output: int | None


@dataclass(frozen=True, slots=True)
class Pulse:
    """A look at the engine from outside. A stale one is fine."""

    slots_busy: int
    tokens_total: int
    step_ended_at: float


class Batcher(threading.Thread):
    """Start it, then hand it work from any thread with `warm_up`, `submit`, `cancel` and `ping`.

    `on_busy` is called on this thread with True when work begins and False when the last of it is done; `on_broken` when
    decoding has failed for good, and must not return.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        n_slots: int,
        *,
        on_busy: Callable[[bool], None],
        on_broken: Callable[[str], NoReturn],
    ) -> None:
        super().__init__(name="decode", daemon=True)
        self._model = model
        self._context = context
        self._batch = Batch(context.n_batch)
        self._slots = [Slot(index) for index in range(n_slots)]
        self._n_ctx_seq = context.n_ctx_seq
        self._waiting: deque[Generation] = deque()
        self._pings: list[Callable[[float], None]] = []
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._on_busy = on_busy
        self._on_broken = on_broken
        self._threads = ThreadCount(context.n_threads)
        self._n_switches = 0
        self._seconds_per_prompt_token: float | None = None
        self._n_fatal = 0
        self._tokens_total = 0
        self._step_ended_at = time.monotonic()
        self._greedy = Chain(model)
        self._greedy.greedy()

    # from any thread --------------------------------------------------------------------------------------------

    def warm_up(self) -> Future[None]:
        """Decodes a first token; the future holds the RuntimeError where that fails.

        On the decode thread, as all decoding: a thread that has decoded once keeps an OpenMP team for good, and with two teams
        libgomp counts more threads than cores and hardly spins between a model's layers (82 instead of 140 tokens/s).
        """
        future: Future[None] = Future()

        def decode() -> None:
            try:
                future.set_result(self._warm_up())
            except RuntimeError as error:
                future.set_exception(error)

        self._work.put(decode)
        return future

    def submit(self, generation: Generation) -> None:
        self._work.put(lambda: self._waiting.append(generation))

    def withdraw(self, generation: Generation) -> Future[None]:
        """Cancels; when the future is done the decode thread has let go of what the generation holds."""
        future: Future[None] = Future()

        def let_go() -> None:
            self._free_abandoned()
            future.set_result(None)

        generation.cancelled = True
        self._work.put(let_go)
        return future

    def cancel(self, generation: Generation) -> None:
        """Frees the generation's slot before the next step."""
        generation.cancelled = True
        self._work.put(lambda: None)

    def ping(self, on_pong: Callable[[float], None]) -> None:
        """Decodes one token beside everything else and calls `on_pong` with the milliseconds that took."""
        self._work.put(lambda: self._pings.append(on_pong))

    def pulse(self) -> Pulse:
        return Pulse(
            slots_busy=sum(slot.generation is not None for slot in self._slots),
            tokens_total=self._tokens_total,
            step_ended_at=self._step_ended_at,
        )

    # the decode thread ------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while True:
                self._work.get()()
                if not self._waiting and not self._pings:
                    continue
                self._step_ended_at = time.monotonic()
                self._n_switches = _involuntary_switches()
                self._on_busy(True)
                while self._advance():
                    pass
                self._on_busy(False)
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            self._on_broken("the decode thread failed; its traceback is in the log")

    def _warm_up(self) -> None:
        self._batch.clear()
        self._add_ping()
        code = self._context.decode(self._batch)
        if code != 0:
            raise RuntimeError(f"the first decode failed with code {code}")
        self._greedy.sample(self._context, 0)
        self._context.clear(self._context.spare_sequence)

    def _advance(self) -> bool:
        """Takes in news, then runs one step. False when there is nothing left to do."""
        while not self._work.empty():
            self._work.get()()
        self._free_abandoned()
        self._seat_waiting()
        portions = self._plan()
        if not portions and not self._pings:
            return bool(self._waiting)
        self._step(portions)
        return True

    def _free_abandoned(self) -> None:
        for slot in self._slots:
            if slot.generation is not None and slot.generation.abandoned:
                self._leave(slot)
        if any(generation.abandoned for generation in self._waiting):
            for generation in self._waiting:
                if generation.abandoned:
                    generation.sampler.close()
            self._waiting = deque(generation for generation in self._waiting if not generation.abandoned)

    def _leave(self, slot: Slot) -> None:
        """The slot's generation is over; its tokens stay for the owner's next request."""
        assert slot.generation is not None
        slot.generation.sampler.close()
        slot.generation = None
        slot.next_token = None
        slot.last_used = time.monotonic()

    # slots

    def _seat_waiting(self) -> None:
        while self._waiting:
            generation = self._waiting[0]
            seats = [
                sequence.Seat(slot.index, slot.owner, slot.tokens, slot.generation is not None, slot.last_used)
                for slot in self._slots
            ]
            seating = sequence.choose_seat(
                seats, generation.owner, generation.prompt, can_copy=not self._model.keeps_state
            )
            if seating is None:
                if time.monotonic() - generation.submitted_at < HANDOVER_SECONDS:
                    return
                self._waiting.popleft()
                generation.sampler.close()
                generation.refuse("no_slot", f"all {len(self._slots)} slots are busy", n_seq_max=len(self._slots))
                continue
            self._waiting.popleft()
            slot = self._slots[seating.index]
            n_cached = self._reuse(slot, seating)
            slot.tokens = generation.prompt[:n_cached]
            slot.owner = generation.owner
            slot.generation = generation
            slot.next_token = None
            generation.seat(n_cached)

    def _reuse(self, slot: Slot, seating: sequence.Seating) -> int:
        """Brings the slot's cache to the common prefix and returns how many tokens that is really."""
        source = self._slots[seating.source]
        n_keep = seating.n_keep
        cuts = n_keep < len(source.tokens)
        if n_keep and cuts:
            oldest = self._context.oldest_position(source.index)
            if not sequence.can_rewind(n_keep, oldest, self._model.n_swa):
                n_keep = 0
        if seating.copies:
            if n_keep:
                self._context.copy(source.index, slot.index, n_keep)
        elif cuts and not (n_keep and self._context.truncate(slot.index, n_keep)):
            self._context.clear(slot.index)
            n_keep = 0
        return n_keep

    def _forget(self, slot: Slot) -> None:
        self._context.clear(slot.index)
        slot.tokens = array("i")
        slot.owner = None

    def _forget_oldest_idle(self) -> bool:
        """Makes room in the KV cache. False when no idle slot holds any tokens."""
        idle = [slot for slot in self._slots if slot.generation is None and slot.tokens]
        if not idle:
            return False
        self._forget(min(idle, key=lambda slot: slot.last_used))
        return True

    # steps

    def _plan(self) -> list[tuple[Slot, int]]:
        """What the next step evaluates: each slot with its number of tokens."""
        busy = [slot for slot in self._slots if slot.generation is not None]
        plan = [(slot, 1) for slot in busy if slot.next_token is not None]
        prefilling = [(slot, slot.generation) for slot in busy if slot.generation and slot.next_token is None]
        if prefilling:
            budget = sequence.prefill_budget(
                self._seconds_per_prompt_token,
                n_generating=len(plan),
                n_batch=self._batch.capacity - bool(self._pings),
            )
            shares = sequence.share(budget, [generation.n_prompt_left for _, generation in prefilling])
            plan += [(slot, count) for (slot, _), count in zip(prefilling, shares, strict=True) if count]
        return self._within_outputs(plan)

    def _within_outputs(self, plan: list[tuple[Slot, int]]) -> list[tuple[Slot, int]]:
        """The context has rows of logits for each slot and one more; texts to be scored share what the others leave."""
        scorings = [slot for slot, _ in plan if isinstance(slot.generation, Scoring)]
        if not scorings:
            return plan
        free = len(self._slots) + 1 - bool(self._pings) - (len(plan) - len(scorings))
        return [
            (slot, slot.generation.portion(count, free // len(scorings)))
            if isinstance(slot.generation, Scoring)
            else (slot, count)
            for slot, count in plan
        ]

    def _step(self, plan: list[tuple[Slot, int]]) -> None:
        pings, self._pings = self._pings, []
        if self._threads.current != self._context.n_threads:
            self._context.set_threads(self._threads.current)
        began = time.monotonic()
        with_ping = bool(pings)
        while True:
            portions = self._fill(plan, ping=with_ping)
            code = self._context.decode(self._batch)
            if code != 1 or not self._make_room(plan):
                if code != 1 or not with_ping or not plan:
                    break
                # Nothing is left to make room with; the other slots' tokens are proof of life enough.
                with_ping = False
        if code == 0:
            self._n_fatal = 0
            for portion in portions:
                self._settle(portion)
            if with_ping:
                self._greedy.sample(self._context, self._batch.size - 1)
        elif code == 1:
            self._out_of_room(plan)
        else:
            self._fail(plan, code)
        if with_ping:
            self._context.clear(self._context.spare_sequence)
        ended = time.monotonic()
        self._step_ended_at = ended
        n_before, self._n_switches = self._n_switches, _involuntary_switches()
        if code == 0:
            n_prompt = sum(portion.count for portion in portions if portion.count > 1)
            if n_prompt >= sequence.SMALLEST_CHUNK:
                self._seconds_per_prompt_token = (ended - began) / n_prompt
            elif n_prompt == 0:
                self._threads.note(self._batch.size, ended - began, self._n_switches - n_before, ended)
            for on_pong in pings:
                on_pong((ended - began) * 1000)

    def _make_room(self, plan: list[tuple[Slot, int]]) -> bool:
        """After llama.cpp found no room for a step: forgets what nobody uses now, then makes the step smaller."""
        return self._forget_oldest_idle() or _halve(plan)

    def _fill(self, plan: Sequence[tuple[Slot, int]], *, ping: bool) -> list[Portion]:
        batch = self._batch
        batch.clear()
        portions = []
        for slot, count in plan:
            start = len(slot.tokens)
            if slot.next_token is not None:
                portions.append(Portion(slot, 1, batch.add(slot.next_token, start, slot.index, True)))
                continue
            generation = slot.generation
            assert generation is not None
            last = batch.add_span(generation.prompt[start : start + count], start, slot.index)
            if isinstance(generation, Scoring):
                for offset in generation.outputs(start, count):
                    batch.request_output(last - count + 1 + offset)
                portions.append(Portion(slot, count, last - count + 1))
                continue
            whole = count == generation.n_prompt_left
            if whole:
                batch.request_output(last)
            portions.append(Portion(slot, count, last if whole else None))
        if ping:
            self._add_ping()
        return portions

    def _add_ping(self) -> None:
        token = next((token for token in (self._model.bos, self._model.eos) if token >= 0), 0)
        self._batch.add(token, 0, self._context.spare_sequence, True)

    def _settle(self, portion: Portion) -> None:
        """Books what the step has evaluated for one slot, and samples its next token where the logits are there."""
        slot, generation = portion.slot, portion.slot.generation
        assert generation is not None
        if slot.next_token is not None:
            slot.tokens.append(slot.next_token)
        else:
            start = len(slot.tokens)
            slot.tokens.extend(generation.prompt[start : start + portion.count])
            generation.advance(portion.count)
        if isinstance(generation, Scoring):
            self._score(slot, generation, portion)
        elif portion.output is not None:
            try:
                self._continue(slot, generation, portion.output)
            except GrammarTooComplex:
                self._refuse_grammar(slot, generation, "following this grammar takes too much work for one token")
            except NothingAllowed:
                self._refuse_grammar(
                    slot, generation, "no token of this vocabulary can continue what the grammar asks for"
                )
        generation.flush()

    def _score(self, slot: Slot, generation: Scoring, portion: Portion) -> None:
        """Here `portion.output` is the batch entry of its first token."""
        assert portion.output is not None
        start = len(slot.tokens) - portion.count
        try:
            for offset in generation.outputs(start, portion.count):
                generation.write(self._context.logits(portion.output + offset))
        except OSError as error:
            generation.refuse("decode_failed", f"the logits could not be written: {error.strerror or error}")
            self._leave(slot)
            return
        if generation.n_prompt_left == 0:
            generation.end()
            self._leave(slot)

    def _continue(self, slot: Slot, generation: Generation, output: int) -> None:
        token = generation.sampler.sample(self._context, output)
        self._tokens_total += 1
        if self._model.ends_generation(token):
            generation.finish("stop")
            self._leave(slot)
            return
        slot.next_token = token
        stop_string = generation.take(token)
        if stop_string is not None:
            generation.finish("stop", stop_string)
        elif generation.sampler.ended:
            generation.finish("stop")
        elif generation.n_generated == generation.max_tokens or len(slot.tokens) + 1 >= self._n_ctx_seq:
            generation.finish("length")
        else:
            return
        self._leave(slot)

    # failures

    def _refuse_grammar(self, slot: Slot, generation: Generation, detail: str) -> None:
        generation.refuse("bad_grammar", detail)
        self._leave(slot)

    def _out_of_room(self, plan: Sequence[tuple[Slot, int]]) -> None:
        """Not even one token fits: the context is full of what the others are still using."""
        for slot, _ in plan:
            generation = slot.generation
            assert generation is not None
            if slot.next_token is not None:
                generation.finish("length")
            else:
                generation.refuse("decode_failed", "the KV cache has no room for this prompt")
            self._leave(slot)
            self._forget(slot)

    def _fail(self, plan: Sequence[tuple[Slot, int]], code: int) -> None:
        """llama.cpp gave up on this batch; what it has put into the cache is unknown, so all of it goes."""
        for slot, _ in plan:
            assert slot.generation is not None
            slot.generation.refuse(
                "decode_failed", f"llama.cpp could not evaluate this step (code {code})", llama_code=code
            )
            self._leave(slot)
            self._forget(slot)
        self._n_fatal += 1
        if self._n_fatal >= _MOST_FATAL_STEPS:
            self._on_broken(f"llama.cpp failed {self._n_fatal} steps in a row (code {code})")


def _involuntary_switches() -> int:
    """How often any thread of this process has been made to leave its core."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _halve(plan: list[tuple[Slot, int]]) -> bool:
    """Makes the step smaller in place: less of each prompt, then fewer slots. False when it is one token already."""
    if any(count > 1 for _, count in plan):
        plan[:] = [(slot, max(1, count // 2)) for slot, count in plan]
        return True
    if len(plan) > 1:
        del plan[len(plan) // 2 :]
        return True
    return False
