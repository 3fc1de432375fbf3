"""Continuous batching: one thread owns the context and decodes, step by step, whatever all slots need next.

A step carries the next token of every generating slot plus a chunk of prompt, so a long prompt never silences the others
and a new request waits for one step at most.
"""

from __future__ import annotations

import resource
import time
from array import array
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from inference.core.decoding.grammar import GrammarTooComplex
from inference.core.decoding.slots import SMALLEST_CHUNK, SlotChoice, SlotView, can_rewind, choose_slot
from inference.core.decoding.threads import ThreadCount
from inference.engine.chat.generation import Generation
from inference.engine.chat.sampling import NothingAllowed
from inference.engine.chat.scoring import Scoring
from inference.engine.chat.steps import Portion, Slot, StepPlan, fill, halve, plan_step
from inference.engine.llama import Chain, Context, Model
from inference.engine.serving.context_thread import ContextThread

HANDOVER_SECONDS = 2.0
"""How long a request waits for a slot that its previous user is just leaving."""
_MOST_FATAL_STEPS = 2


class Batcher(ContextThread[Generation]):
    """Decodes the texts of several slots at once. See ContextThread for how it is handed work."""

    def __init__(
        self,
        model: Model,
        context: Context,
        n_slots: int,
        *,
        on_busy: Callable[[bool], None],
        on_broken: Callable[[str], NoReturn],
    ) -> None:
        super().__init__("decode", model, context, on_busy=on_busy, on_broken=on_broken)
        self._slots = [Slot(index) for index in range(n_slots)]
        self._n_ctx_seq = context.n_ctx_seq
        self._threads = ThreadCount(context.n_threads)
        self._n_switches = 0
        self._seconds_per_prompt_token: float | None = None
        self._n_fatal = 0
        self._greedy = Chain(model)
        self._greedy.greedy()

    def cancel(self, generation: Generation) -> None:
        """Frees the generation's slot before the next step. From any thread."""
        generation.cancelled = True
        self._mailbox.put(lambda: None)

    # the decode thread ------------------------------------------------------------------------------------------

    def _warm_up(self) -> None:
        self._batch.clear()
        self._add_ping()
        code = self._context.decode(self._batch)
        if code != 0:
            raise RuntimeError(f"the first decode failed with code {code}")
        self._greedy.sample(self._context, 0)
        self._context.clear(self._context.spare_sequence)

    def _wake(self) -> None:
        self._n_switches = _involuntary_switches()

    def _n_busy(self) -> int:
        return sum(slot.generation is not None for slot in self._slots)

    def _advance(self) -> bool:
        self._take_in()
        self._drop_abandoned()
        self._assign_slots()
        portions = self._plan()
        if not portions and not self._pings:
            return bool(self._waiting)
        self._step(portions)
        return True

    def _drop_abandoned(self) -> None:
        for slot in self._slots:
            if slot.generation is not None and slot.generation.abandoned:
                self._leave(slot)
        if any(generation.abandoned for generation in self._waiting):
            for generation in self._waiting:
                if generation.abandoned:
                    generation.sampler.close()
            self._waiting = deque(generation for generation in self._waiting if not generation.abandoned)

    def _leave(self, slot: Slot) -> None:
        """Ends the slot's generation; its tokens stay for the owner's next request."""
        assert slot.generation is not None
        slot.generation.sampler.close()
        slot.generation = None
        slot.next_token = None
        slot.last_used = time.monotonic()

    # slots

    def _assign_slots(self) -> None:
        while self._waiting:
            generation = self._waiting[0]
            views = [
                SlotView(slot.index, slot.owner, slot.tokens, slot.generation is not None, slot.last_used)
                for slot in self._slots
            ]
            choice = choose_slot(views, generation.owner, generation.prompt, can_copy=not self._model.keeps_state)
            if choice is None:
                if time.monotonic() - generation.submitted_at < HANDOVER_SECONDS:
                    return
                self._waiting.popleft()
                generation.sampler.close()
                generation.refuse("no_slot", f"all {len(self._slots)} slots are busy", n_seq_max=len(self._slots))
                continue
            self._waiting.popleft()
            slot = self._slots[choice.index]
            n_cached = self._reuse(slot, choice)
            slot.tokens = generation.prompt[:n_cached]
            slot.owner = generation.owner
            slot.generation = generation
            slot.next_token = None
            generation.enter_slot(n_cached)

    def _reuse(self, slot: Slot, choice: SlotChoice) -> int:
        """Brings the slot's cache to the common prefix and returns how many tokens that is really."""
        source = self._slots[choice.source]
        n_keep = choice.n_keep
        cuts = n_keep < len(source.tokens)
        if n_keep and cuts:
            oldest = self._context.oldest_position(source.index)
            if not can_rewind(n_keep, oldest, self._model.n_swa):
                n_keep = 0
        if choice.copies:
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

    def _plan(self) -> StepPlan:
        # The context has rows of logits for each slot and one more. A ping takes a token and a row.
        n_pings = int(bool(self._pings))
        return plan_step(
            self._slots,
            seconds_per_prompt_token=self._seconds_per_prompt_token,
            n_batch=self._batch.capacity - n_pings,
            n_outputs=len(self._slots) + 1 - n_pings,
        )

    def _step(self, plan: StepPlan) -> None:
        pings, self._pings = self._pings, []
        if self._threads.current != self._context.n_threads:
            self._context.set_threads(self._threads.current)
        began = time.monotonic()
        with_ping = bool(pings)
        while True:
            portions = fill(self._batch, plan)
            if with_ping:
                self._add_ping()
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
            if n_prompt >= SMALLEST_CHUNK:
                self._seconds_per_prompt_token = (ended - began) / n_prompt
            elif n_prompt == 0:
                self._threads.note(self._batch.size, ended - began, self._n_switches - n_before, ended)
            for on_pong in pings:
                on_pong((ended - began) * 1000)

    def _make_room(self, plan: StepPlan) -> bool:
        """After llama.cpp found no room for a step: forgets what nobody uses now, then makes the step smaller."""
        return self._forget_oldest_idle() or halve(plan)

    def _add_ping(self) -> None:
        self._add_token(0, self._context.spare_sequence)

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
        """Writes the logits of a portion. Here `portion.output` is the batch entry of its first token."""
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

    def _out_of_room(self, plan: StepPlan) -> None:
        """Ends all of a step's answers: not even one token fits beside what the others are still using."""
        for slot, _ in plan:
            generation = slot.generation
            assert generation is not None
            if slot.next_token is not None:
                generation.finish("length")
            else:
                generation.refuse("decode_failed", "the KV cache has no room for this prompt")
            self._leave(slot)
            self._forget(slot)

    def _fail(self, plan: StepPlan, code: int) -> None:
        """Refuses all of a step's requests: what llama.cpp has put into the cache is unknown, so all of it goes."""
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
