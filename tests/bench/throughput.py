"""Aggregate generation at 1, 2, 4 and 8 concurrent requests: our engine's worker against llama-server.

Both are resident the whole time with the same context, threads and batch sizes; rounds alternate who goes first. Each request brings a
prompt that neither has seen, samples greedily and makes exactly the same number of tokens. The rate counts the tokens after each
answer's first piece, from the earliest first piece to the last token of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

import psutil

from inference.core.generation import GenerationOptions
from inference.core.options import LoadOptions
from tests.bench import engine_worker, llama_build, machine, prompts
from tests.bench.bare_load import bare_load
from tests.bench.client import Client, Request
from tests.bench.llama_server import LlamaServer, completion
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.bench.streams import Answer

CONCURRENCIES = (1, 2, 4, 8)
N_TOKENS = 128
LEAST_RATIO = 1.0
ENGINE, SERVER = "engine", "llama-server"


class NotComparable(Exception):
    """The two sides did not do the same work."""


def generation_rate(answers: Sequence[Answer]) -> float:
    """Tokens per second of all answers together, counted from the earliest first piece to the last token."""
    since = min(answer.first_token_seconds for answer in answers)
    until = max(answer.last_token_seconds for answer in answers)
    return sum(answer.n_timed for answer in answers) / (until - since)


def whole_rate(answers: Sequence[Answer]) -> float:
    """Tokens per second of all answers together, prompts and first tokens included."""
    return sum(answer.n_tokens for answer in answers) / max(answer.last_token_seconds for answer in answers)


def _check(answers: Sequence[Answer], n_tokens: int) -> None:
    for answer in answers:
        if answer.n_tokens != n_tokens:
            raise NotComparable(f"an answer of {answer.n_tokens} tokens, expected {n_tokens}")


def measure(rounds: int) -> Report:
    """Blocks for some minutes, longer where llama-server must be built first."""
    programs = llama_build.build()
    n_threads = machine.physical_cores()
    load = LoadOptions(n_ctx_seq=1024, n_seq_max=max(CONCURRENCIES), n_threads=n_threads)
    model = engine_worker.starter_model()
    ban = bare_load(programs.bare_load, model, load, n_threads).ban
    rates: dict[tuple[int, str], list[float]] = defaultdict(list)
    wholes: dict[tuple[int, str], list[float]] = defaultdict(list)
    client_cpu: dict[str, list[float]] = defaultdict(list)
    server_cpu: dict[str, list[float]] = defaultdict(list)
    texts: dict[int, dict[str, list[str]]] = {}
    with (
        engine_worker.EngineWorker(model, load) as worker,
        LlamaServer(programs.server, model, load, n_threads) as server,
        Client() as client,
    ):
        sampling = GenerationOptions(temperature=0.0, max_tokens=N_TOKENS, logit_bias=ban)
        processes = {ENGINE: psutil.Process(worker.pid), SERVER: psutil.Process(server.pid)}

        def stream(side: str, numbers: Sequence[int]) -> tuple[list[Answer], float, float]:
            requests = [
                Request(
                    worker.address,
                    "lines",
                    engine_worker.generate(
                        sampling, owner=f"bench-{number}", request_id=f"bench-{number}", prompt=prompts.story(number)
                    ),
                )
                if side == ENGINE
                else Request(server.address, "server_sent_events", completion(prompts.story(number), sampling))
                for number in numbers
            ]
            before = sum(processes[side].cpu_times()[:2])
            answers, client_seconds = client.stream_all(requests)
            return answers, client_seconds, sum(processes[side].cpu_times()[:2]) - before

        number = 0
        for round_number in range(-1, rounds):  # round -1 warms both up and is not counted
            for position, concurrency in enumerate(CONCURRENCIES):
                numbers = range(number, number + concurrency)
                number += concurrency
                sides = (ENGINE, SERVER) if (round_number + position) % 2 else (SERVER, ENGINE)
                n_prompts = {}
                for side in sides:
                    answers, client_seconds, server_seconds = stream(side, numbers)
                    _check(answers, N_TOKENS)
                    n_prompts[side] = sum(answer.n_prompt + answer.n_cached for answer in answers)
                    texts.setdefault(concurrency, {})[side] = [answer.text for answer in answers]
                    if round_number < 0:
                        continue
                    rates[concurrency, side].append(generation_rate(answers))
                    wholes[concurrency, side].append(whole_rate(answers))
                    client_cpu[side].append(1e6 * client_seconds / (N_TOKENS * concurrency))
                    server_cpu[side].append(1e3 * server_seconds / (N_TOKENS * concurrency))
                if n_prompts[ENGINE] != n_prompts[SERVER]:
                    raise NotComparable(f"prompt tokens: {n_prompts}")
    rows = [
        Row(
            name=f"generation, {concurrency} concurrent",
            unit="tokens/s",
            ours=Side(ENGINE, tuple(rates[concurrency, ENGINE])),
            theirs=Side(SERVER, tuple(rates[concurrency, SERVER])),
            comparison="ratio",
            target=Target("at least", LEAST_RATIO),
        )
        for concurrency in CONCURRENCIES
    ]
    details: dict[str, Any] = {
        "whole_request_ratio": {
            str(concurrency): median(
                ours / theirs
                for ours, theirs in zip(wholes[concurrency, ENGINE], wholes[concurrency, SERVER], strict=True)
            )
            for concurrency in CONCURRENCIES
        },
        "client_microseconds_per_token": {side: median(values) for side, values in client_cpu.items()},
        "server_cpu_milliseconds_per_token": {side: median(values) for side, values in server_cpu.items()},
        "same_text_last_round": {
            str(concurrency): sum(ours == theirs for ours, theirs in zip(sides[ENGINE], sides[SERVER], strict=True))
            for concurrency, sides in texts.items()
        },
    }
    return Report(
        benchmark="throughput",
        title="Generation: the engine's worker against llama-server, same sources, flags and options",
        rounds=rounds,
        conditions={
            "model": model.name,
            "load_options": load.to_json(),
            "tokens_per_answer": N_TOKENS,
            "sampling": "greedy",
            "build_options": list(programs.options),
        },
        rows=rows,
        details=details,
    )
