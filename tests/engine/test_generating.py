"""What a caller gets from a real worker: text, order, numbers, and the same again for the same seed."""

from __future__ import annotations

import json
import threading

import pytest

from tests.engine.worker_process import Message, WorkerProcess, text

pytestmark = pytest.mark.live

TALE = "Once upon a time there was a little dragon who"


def tokens(replies: list[Message]) -> list[Message]:
    return [reply for reply in replies if reply["type"] == "token"]


def test_an_answer_is_prefill_then_tokens_then_done(worker: WorkerProcess) -> None:
    replies = worker.answer("Say hello.", temperature=0, max_tokens=12)
    kinds = [reply["type"] for reply in replies]
    assert kinds[0] == "prefill"
    assert kinds[-1] == "done"
    assert set(kinds[1:-1]) == {"token"}
    assert replies[0]["done"] == replies[0]["total"]
    numbers = [reply["n"] for reply in tokens(replies)]
    assert numbers == sorted(set(numbers)), "strictly increasing"
    timings = replies[-1]["timings"]
    assert timings["prompt_n"] + timings["cache_n"] == replies[0]["total"]
    assert timings["predicted_n"] <= 12
    assert timings["prompt_ms"] > 0


def test_max_tokens_ends_with_length(worker: WorkerProcess) -> None:
    done = worker.answer(prompt=TALE, max_tokens=5, logit_bias={"0": -100, "2": -100})[-1]
    assert (done["reason"], done["timings"]["predicted_n"]) == ("length", 5)


def test_a_model_that_ends_its_turn_ends_with_stop(worker: WorkerProcess) -> None:
    replies = worker.answer("Hi", temperature=0, max_tokens=3, logit_bias={"2": 100})
    assert (replies[-1]["reason"], text(replies)) == ("stop", "")


def test_the_same_seed_gives_the_same_text_and_another_seed_another(worker: WorkerProcess) -> None:
    def tale(seed: int) -> str:
        return text(worker.answer(prompt=TALE, temperature=1.5, seed=seed, max_tokens=24))

    tale(1)  # from here on the prompt is cached, so every run computes the very same thing
    first = tale(7)
    assert tale(7) == first
    assert tale(8) != first


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(worker: WorkerProcess) -> None:
    whole = text(worker.answer(prompt="Count: 1, 2, 3,", temperature=0, max_tokens=24))
    stop = whole[6:9]
    replies = worker.answer(prompt="Count: 1, 2, 3,", temperature=0, max_tokens=24, stop=[stop])
    assert text(replies) == whole[: whole.index(stop)]
    assert (replies[-1]["reason"], replies[-1]["stop_string"]) == ("stop", stop)


def test_a_banned_token_never_comes(worker: WorkerProcess) -> None:
    favourite = worker.answer(prompt=TALE, temperature=0, max_tokens=1)
    (token,) = worker.tokenize(text(favourite))
    banned = worker.answer(prompt=TALE, temperature=0, max_tokens=1, logit_bias={str(token): -100})
    assert text(banned) != text(favourite)


def test_a_repeat_penalty_changes_a_text_that_goes_in_circles(worker: WorkerProcess) -> None:
    circles = "la la la la la la la la"
    plain = text(worker.answer(prompt=circles, temperature=0, max_tokens=16))
    assert text(worker.answer(prompt=circles, temperature=0, max_tokens=16, repeat_penalty=1.8)) != plain


def test_a_json_schema_shapes_the_answer(worker: WorkerProcess) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "legs": {"type": "integer"},
            "colour": {"enum": ["red", "green"]},
        },
        "required": ["name", "legs", "colour"],
    }
    replies = worker.answer("Describe a frog.", temperature=1.2, seed=3, max_tokens=200, json_schema=schema)
    frog = json.loads(text(replies))
    assert set(frog) == {"name", "legs", "colour"}
    assert frog["colour"] in ("red", "green")
    assert replies[-1]["reason"] == "stop"


def test_a_grammar_holds_even_at_a_high_temperature(worker: WorkerProcess) -> None:
    grammar = 'root ::= ("ja" | "nein" | "höchstens") ("!" | "…"){3}'
    answers = {
        text(worker.answer("Well?", temperature=5, seed=seed, max_tokens=60, grammar=grammar)) for seed in range(6)
    }
    assert len(answers) > 1
    for answer in answers:
        assert answer.rstrip("!…") in ("ja", "nein", "höchstens")
        assert len(answer) - len(answer.rstrip("!…")) == 3


def test_a_character_of_several_tokens_arrives_whole(worker: WorkerProcess) -> None:
    wanted = "🦖漢ü" * 3
    ids = worker.tokenize(wanted)
    assert len(ids) > len(wanted), "the starter spells these characters with several tokens each"
    replies = worker.answer("Draw.", temperature=0, max_tokens=100, grammar=f'root ::= "{wanted}"')
    assert text(replies) == wanted
    assert not any("�" in reply["text"] for reply in tokens(replies))


def test_the_end_of_the_context_ends_with_length(worker: WorkerProcess) -> None:
    prompt = " word" * 1010
    n_prompt = len(worker.tokenize(prompt))
    replies = worker.answer(prompt=prompt, logit_bias={"0": -100, "2": -100})
    assert replies[-1]["reason"] == "length"
    assert n_prompt + replies[-1]["timings"]["predicted_n"] == 1024


def test_answers_at_the_same_time_are_those_that_come_alone(worker: WorkerProcess) -> None:
    prompts = [" ".join([words] * 12) for words in ("1 2 3", "7 8 9")]
    alone = [text(worker.answer(prompt=prompt, temperature=0, max_tokens=8, owner=prompt)) for prompt in prompts]
    together: dict[int, str] = {}

    def ask(number: int) -> None:
        replies = worker.answer(prompt=prompts[number], temperature=0, max_tokens=8, owner=prompts[number])
        together[number] = text(replies)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(2)] == alone


def test_a_ping_decodes_a_token_also_while_others_generate(worker: WorkerProcess) -> None:
    assert worker.ask(type="ping")["decode_ms"] > 0
    with worker.generate(prompt=TALE, max_tokens=900, logit_bias={"0": -100, "2": -100}) as busy:
        busy.next("token")
        assert worker.ask(type="ping")["decode_ms"] > 0
        busy.next("token")


def test_stats_come_while_busy_and_once_when_idle(worker: WorkerProcess) -> None:
    with worker.generate(prompt=TALE, max_tokens=900, logit_bias={"0": -100, "2": -100}) as busy:
        busy.next("token")
        report = worker.report("stats", slots_busy=1)
        while not report["tokens_per_second"]:
            # Reports of an earlier test's prefill are still in the pipe.
            report = worker.report("stats", slots_busy=1)
        assert report["step_age_seconds"] < 60
    idle = worker.report("stats", slots_busy=0)
    assert idle["step_age_seconds"] is None
    assert idle["tokens_total"] > 0


def test_a_long_prompt_does_not_silence_others(worker: WorkerProcess) -> None:
    with worker.generate(prompt=TALE, max_tokens=900, owner="bob", logit_bias={"0": -100, "2": -100}) as talking:
        talking.next("token")
        with worker.generate(prompt=" word" * 900, owner="cat", max_tokens=1) as long:
            steps = [reply for reply in long if reply["type"] == "prefill"]
        assert len(steps) > 1, "the prompt was evaluated in chunks"
        assert talking.next("token")["n"] > 1
