"""What the decode thread does when llama.cpp cannot do a step: it makes room, then it gives up on as little as possible."""

from __future__ import annotations

import queue
import threading
from array import array
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

from inference.core.decoding.generation_options import GenerationOptions
from inference.engine.chat.batching import Batcher
from inference.engine.chat.generation import Generation, Pieces


class ScriptedContext:
    """Stands where llama.cpp's context stands, and answers each decode with the next code, then with success."""

    n_batch = 64
    n_ctx_seq = 512
    spare_sequence = 4
    n_threads = 2

    def __init__(self, codes: Sequence[int]) -> None:
        self.codes = list(codes)
        self.batch_sizes: list[int] = []
        self.cleared: list[int] = []

    def decode(self, batch: Any) -> int:
        self.batch_sizes.append(batch.size)
        return self.codes.pop(0) if self.codes else 0

    def set_threads(self, n_threads: int) -> None: ...

    def clear(self, sequence: int) -> None:
        self.cleared.append(sequence)

    def truncate(self, sequence: int, n_keep: int) -> bool:
        return True

    def copy(self, source: int, target: int, n_keep: int) -> None: ...

    def oldest_position(self, sequence: int) -> int | None:
        return 0


class ScriptedModel:
    bos = eos = 1
    n_swa = 0
    keeps_state = False

    def ends_generation(self, token: int) -> bool:
        return False


class OneToken:
    """A sampler that always draws the same token."""

    ended = False
    closed = False

    def sample(self, context: object, output: int) -> int:
        return 7

    def close(self) -> None:
        self.closed = True


class Inbox:
    broken = False

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.over = threading.Event()

    def send(self, *messages: Any, last: bool = False) -> None:
        self.messages += messages
        if last:
            self.over.set()

    def last(self) -> Any:
        assert self.over.wait(30)
        return self.messages[-1]


class Bench:
    """A batcher over a scripted context."""

    def __init__(self, codes: Sequence[int], n_slots: int = 4) -> None:
        self.context = ScriptedContext(codes)
        self.broken: queue.Queue[str] = queue.Queue()
        self.rested = threading.Event()

        def on_broken(detail: str) -> NoReturn:
            self.broken.put(detail)
            while True:
                threading.Event().wait()

        def on_busy(busy: bool) -> None:
            if not busy:
                self.rested.set()

        model: Any = ScriptedModel()
        context: Any = self.context
        self.batcher = Batcher(model, context, n_slots, on_busy=on_busy, on_broken=on_broken)

    def ask(self, n_prompt: int, max_tokens: int, owner: str = "ann") -> tuple[Inbox, OneToken]:
        inbox, sampler = Inbox(), OneToken()
        self.batcher.submit(
            Generation(
                owner=owner,
                prompt=array("i", range(n_prompt)),
                options=GenerationOptions(max_tokens=max_tokens),
                sampler=sampler,
                reasoning=None,
                pieces=Pieces(lambda _: b"x", lambda _: b"x"),
                sink=inbox,
            )
        )
        return inbox, sampler


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


@pytest.mark.parametrize("bench", [[1, 1, 1]], indirect=True)
def test_a_step_without_room_is_made_smaller_until_it_fits(bench: Bench) -> None:
    inbox, _ = bench.ask(40, 3)
    bench.batcher.start()
    assert inbox.last()["type"] == "done"
    assert bench.context.batch_sizes[:4] == [40, 20, 10, 5]
    assert inbox.last()["timings"]["prompt_n"] == 40, "and nothing of the prompt was lost"


@pytest.mark.parametrize("bench", [[0, 0, 1]], indirect=True)
def test_the_oldest_idle_sequence_makes_room_first(bench: Bench) -> None:
    first, _ = bench.ask(20, 2, owner="old")
    bench.batcher.start()
    assert first.last()["type"] == "done"
    second, _ = bench.ask(30, 1, owner="new")
    assert second.last()["type"] == "done"
    assert bench.context.cleared == [0]
    assert bench.context.batch_sizes == [20, 1, 30, 30], "the same step again, not a smaller one"


@pytest.mark.parametrize("bench", [[0] + [1] * 3], indirect=True)
def test_an_answer_for_which_nothing_makes_room_ends_with_length(bench: Bench) -> None:
    inbox, sampler = bench.ask(1, 100)
    bench.batcher.start()
    assert inbox.last()["reason"] == "length"
    assert sampler.closed


@pytest.mark.parametrize("bench", [[1] * 6], indirect=True)
def test_a_prompt_for_which_nothing_makes_room_is_refused(bench: Bench) -> None:
    inbox, sampler = bench.ask(9, 100)
    bench.batcher.start()
    assert (inbox.last()["type"], inbox.last()["code"]) == ("refused", "decode_failed")
    assert sampler.closed


@pytest.mark.parametrize("bench", [[-3]], indirect=True)
def test_a_failed_step_costs_its_own_requests_and_not_the_worker(bench: Bench) -> None:
    inboxes = [bench.ask(5, 3, owner=f"user {number}")[0] for number in range(2)]
    bench.batcher.start()
    for inbox in inboxes:
        assert (inbox.last()["type"], inbox.last()["code"]) == ("refused", "decode_failed")
    assert sorted(set(bench.context.cleared)) == [0, 1], "what it left in the cache is unknown"
    assert bench.ask(5, 3)[0].last()["type"] == "done"
    assert bench.broken.empty()


@pytest.mark.parametrize("bench", [[-3, -3]], indirect=True)
def test_two_failed_steps_in_a_row_end_the_worker(bench: Bench) -> None:
    bench.ask(5, 3)
    bench.batcher.start()
    assert bench.rested.wait(30)
    bench.ask(5, 3)
    assert "-3" in bench.broken.get(timeout=30)


@pytest.mark.parametrize("bench", [[]], indirect=True)
def test_prompts_share_a_step_beside_those_who_generate(bench: Bench) -> None:
    inboxes = [bench.ask(30, 2, owner=f"user {number}")[0] for number in range(3)]
    bench.batcher.start()
    for inbox in inboxes:
        assert inbox.last()["type"] == "done"
    assert bench.context.batch_sizes[0] == 64, "the batch is full"
    assert max(bench.context.batch_sizes) <= 64


@pytest.mark.parametrize("bench", [[]], indirect=True)
def test_a_request_cancelled_before_it_has_a_slot_frees_its_sampler(bench: Bench) -> None:
    inbox, sampler = bench.ask(5, 3)
    inbox.broken = True
    bench.batcher.start()
    assert bench.rested.wait(30)
    assert sampler.closed
    assert bench.context.batch_sizes == []
