"""What one step evaluates: decided from the slots alone, and laid out in the batch. `batching` decodes it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from inference.core.decoding.slots import prefill_budget, share
from inference.engine.chat.generation import Generation
from inference.engine.chat.scoring import Scoring
from inference.engine.llama import Batch


@dataclass(slots=True)
class Slot:
    """Holds a sequence of the context. `tokens` are those in the KV cache, `owner` whose they are; both stay after the answer ends."""

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


StepPlan = list[tuple[Slot, int]]
"""Each slot of a step with the number of tokens that it gives."""


def plan_step(
    slots: Sequence[Slot], *, seconds_per_prompt_token: float | None, n_batch: int, n_outputs: int
) -> StepPlan:
    """What the next step evaluates. `n_batch`: tokens that there is room for; `n_outputs`: rows of logits."""
    busy = [slot for slot in slots if slot.generation is not None]
    plan = [(slot, 1) for slot in busy if slot.next_token is not None]
    prefilling = [(slot, slot.generation) for slot in busy if slot.generation and slot.next_token is None]
    if prefilling:
        budget = prefill_budget(seconds_per_prompt_token, n_generating=len(plan), n_batch=n_batch)
        shares = share(budget, [generation.n_prompt_left for _, generation in prefilling])
        plan += [(slot, count) for (slot, _), count in zip(prefilling, shares, strict=True) if count]
    return _within_outputs(plan, n_outputs)


def _within_outputs(plan: StepPlan, n_outputs: int) -> StepPlan:
    """Texts to be scored share the rows that the others leave."""
    scorings = [slot for slot, _ in plan if isinstance(slot.generation, Scoring)]
    if not scorings:
        return plan
    free = n_outputs - (len(plan) - len(scorings))
    return [
        (slot, slot.generation.portion(count, free // len(scorings)))
        if isinstance(slot.generation, Scoring)
        else (slot, count)
        for slot, count in plan
    ]


def halve(plan: StepPlan) -> bool:
    """Makes the step smaller in place: less of each prompt, then fewer slots. False when it is one token already."""
    if any(count > 1 for _, count in plan):
        plan[:] = [(slot, max(1, count // 2)) for slot, count in plan]
        return True
    if len(plan) > 1:
        del plan[len(plan) // 2 :]
        return True
    return False


def fill(batch: Batch, plan: StepPlan) -> list[Portion]:
    """Lays the step out in `batch`, in place of what was there."""
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
    return portions
