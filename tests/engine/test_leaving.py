"""Callers who go away, stop reading or come in a crowd: slots come back within a step, nobody else notices."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.engine.worker_process import Message, WorkerProcess, text
from tests.stack import wait_for

pytestmark = pytest.mark.live

ENDLESS = {"max_tokens": 900, "logit_bias": {"0": -100, "2": -100}}


def test_closing_the_connection_frees_the_slot(worker: WorkerProcess) -> None:
    for _ in range(6):
        calls = [worker.generate(prompt="On and on", owner=f"user {number}", **ENDLESS) for number in range(2)]
        for call in calls:
            call.next("token")
        for call in calls:
            call.close()
    # Twelve answers of 900 tokens would still be running; instead two slots are free at once.
    assert text(worker.answer("Hello", temperature=0, max_tokens=2))
    worker.report("stats", slots_busy=0)


def test_closing_one_connection_leaves_the_other_answer_alone(worker: WorkerProcess) -> None:
    with worker.generate(prompt="One", owner="stays", max_tokens=60, logit_bias={"0": -100, "2": -100}) as staying:
        leaving = worker.generate(prompt="Two", owner="leaves", **ENDLESS)
        leaving.next("token")
        leaving.close()
        assert staying.next("done")["timings"]["predicted_n"] == 60


def test_cancelling_during_prefill_frees_the_slot(worker: WorkerProcess) -> None:
    for number in range(3):
        call = worker.generate(prompt=" word" * 1000, owner=f"hasty {number}", max_tokens=1)
        call.close()
    assert text(worker.answer("Hello", temperature=0, max_tokens=2))


def test_a_caller_too_many_is_refused_and_one_who_comes_as_another_leaves_is_not(worker: WorkerProcess) -> None:
    talking = [worker.generate(prompt="On and on", owner=f"user {number}", **ENDLESS) for number in range(2)]
    for call in talking:
        call.next("token")
    refused = worker.answer(prompt="Me too", owner="late")[-1]
    assert (refused["type"], refused["code"]) == ("refused", "no_slot")

    coming = worker.generate(prompt="Now?", owner="next", max_tokens=2)
    talking[0].close()
    with coming:
        assert coming.next("done")
    talking[1].close()


def test_a_caller_who_does_not_read_holds_up_nobody(starter_path: Path, tmp_path: Path) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=4096, n_seq_max=2) as worker:
        worker.report("ready")
        deaf = worker.generate(prompt="On and on", owner="deaf", max_tokens=3000, logit_bias={"0": -100, "2": -100})
        for number in range(3):
            assert text(worker.answer(f"Hello {number}", temperature=0, max_tokens=3, owner="hears"))
        deaf.close()


def test_a_hundred_callers_at_once_are_answered_or_refused(worker: WorkerProcess) -> None:
    outcomes: list[str] = []

    def ask(number: int) -> None:
        last = worker.answer(prompt=f"Number {number}", owner=f"user {number % 7}", max_tokens=2)[-1]
        outcomes.append(last["type"] if last["type"] == "done" else last["code"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 100
    assert set(outcomes) <= {"done", "no_slot"}
    assert outcomes.count("done") >= 2
    assert text(worker.answer("Still here?", temperature=0, max_tokens=2))


def test_each_request_is_logged_with_its_id(worker: WorkerProcess) -> None:
    def ask(request_id: str, prompt: str, **options: object) -> list[Message]:
        with worker.call(type="generate", request_id=request_id, owner="ann", prompt=prompt, options=options) as call:
            return list(call)

    ask("the answered one", "Hello", max_tokens=2)
    ask("the refused one", "word " * 2000)
    with worker.call(type="generate", request_id="the left one", owner="ann", prompt="On", options=ENDLESS) as call:
        call.next("token")

    def logged() -> dict[str, Message]:
        lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith('{"time"')]
        return {line["request_id"]: line for line in lines if line["request_id"].startswith("the ")}

    wait_for(lambda: len(logged()) == 3, "three lines in the log")
    assert {id_: line["message"] for id_, line in logged().items()} == {
        "the answered one": "answered",
        "the refused one": "refused",
        "the left one": "caller left",
    }
    assert logged()["the answered one"]["predicted_n"] == 2
    assert logged()["the refused one"]["code"] == "context_exceeded"


def test_an_idle_worker_uses_no_processor_time(worker: WorkerProcess) -> None:
    worker.answer("Hello", max_tokens=2)

    def ticks() -> int:
        fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    # OpenMP's threads spin for a moment after a step; once they sleep, nothing may run.
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        before = ticks()
        threading.Event().wait(1)
        if ticks() - before <= 1:
            return
    pytest.fail("it never came to rest")
