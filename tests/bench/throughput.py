"""Aggregate generation at 1, 2, 4 and 8 concurrent requests: our engine's worker against llama-server.

Both are resident the whole time with the same context, threads and batch sizes; rounds alternate who goes first. Each request brings a
prompt that neither has seen, samples greedily and makes exactly the same number of tokens. The rate counts the tokens that came
while all answers were being generated; the whole requests, prompts and all, are compared in the details.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from statistics import median

import psutil

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.options import LoadOptions
from tests.bench import engine_worker, llama_build, machine, prompts
from tests.bench.bare_load import bare_load
from tests.bench.client import Client, Request
from tests.bench.llama_server import LlamaServer, completion
from tests.bench.quiet import Quiet
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
    """Tokens per second of all answers together, while all of them were being generated.

    From the latest first piece to the earliest last one: whether a prompt arrives a millisecond before the others, and is
    evaluated alone, must not decide the figure.
    """
    since = max(answer.first_token_seconds for answer in answers)
    until = min(answer.last_token_seconds for answer in answers)
    if until <= since:
        raise NotComparable("one answer ended before another began")
    return sum(answer.tokens_by(until) - answer.tokens_by(since) for answer in answers) / (until - since)


def whole_rate(answers: Sequence[Answer]) -> float:
    """Tokens per second of all answers together, prompts and first tokens included."""
    return sum(answer.n_tokens for answer in answers) / max(answer.last_token_seconds for answer in answers)


@dataclass(frozen=True, slots=True)
class Run:
    """One side's answers to so many concurrent requests, and the CPU that they took."""

    answers: Sequence[Answer]
    client_cpu_seconds: float
    server_cpu_seconds: float

    @property
    def n_tokens(self) -> int:
        return sum(answer.n_tokens for answer in self.answers)

    @property
    def n_prompt(self) -> int:
        return sum(answer.n_prompt + answer.n_cached for answer in self.answers)


Pair = Mapping[str, Run]
"""What both sides did with the same prompts, one right after the other."""


class _Sides:
    """Puts the same requests to either side."""

    def __init__(self, worker: engine_worker.EngineWorker, server: LlamaServer, ban: Mapping[int, float]) -> None:
        self._worker = worker
        self._server = server
        self._processes = {ENGINE: psutil.Process(worker.pid), SERVER: psutil.Process(server.pid)}
        self._sampling = GenerationOptions(temperature=0.0, max_tokens=N_TOKENS, logit_bias=ban)
        self._numbers = count()

    def pair(self, client: Client, concurrency: int, order: Sequence[str]) -> Pair:
        """Raises NotComparable."""
        numbers = [next(self._numbers) for _ in range(concurrency)]
        pair = {side: self._run(client, side, numbers) for side in order}
        if pair[ENGINE].n_prompt != pair[SERVER].n_prompt:
            raise NotComparable(f"prompts of {pair[ENGINE].n_prompt} and {pair[SERVER].n_prompt} tokens")
        return pair

    def _run(self, client: Client, side: str, numbers: Sequence[int]) -> Run:
        requests = [self._request(side, number) for number in numbers]
        before = sum(self._processes[side].cpu_times()[:2])
        answers, client_cpu_seconds = client.stream_all(requests)
        server_cpu_seconds = sum(self._processes[side].cpu_times()[:2]) - before
        for answer in answers:
            if answer.n_tokens != N_TOKENS:
                raise NotComparable(f"an answer of {answer.n_tokens} tokens, expected {N_TOKENS}")
        return Run(answers, client_cpu_seconds, server_cpu_seconds)

    def _request(self, side: str, number: int) -> Request:
        prompt = prompts.story(number)
        if side == SERVER:
            return Request(self._server.address, "server_sent_events", completion(prompt, self._sampling))
        name = f"bench-{number}"
        payload = engine_worker.generate(self._sampling, owner=name, request_id=name, prompt=prompt)
        return Request(self._worker.address, "lines", payload)


def _samples(pairs: Sequence[Pair], side: str, figure: Callable[[Run], float]) -> Side:
    return Side(side, tuple(figure(pair[side]) for pair in pairs))


def _row(concurrency: int, pairs: Sequence[Pair]) -> Row:
    return Row(
        name=f"generation, {concurrency} concurrent",
        unit="tokens/s",
        ours=_samples(pairs, ENGINE, lambda run: generation_rate(run.answers)),
        theirs=_samples(pairs, SERVER, lambda run: generation_rate(run.answers)),
        comparison="ratio",
        target=Target("at least", LEAST_RATIO),
    )


def _details(pairs: Mapping[int, Sequence[Pair]]) -> dict[str, object]:
    everything = [pair for each in pairs.values() for pair in each]

    def per_token(side: str, seconds: Callable[[Run], float]) -> float:
        return round(median(1e3 * seconds(pair[side]) / pair[side].n_tokens for pair in everything), 4)

    return {
        "whole_request_ratio": {
            str(concurrency): round(
                median(whole_rate(pair[ENGINE].answers) / whole_rate(pair[SERVER].answers) for pair in each), 3
            )
            for concurrency, each in pairs.items()
        },
        "client_cpu_milliseconds_per_token": {
            side: per_token(side, lambda run: run.client_cpu_seconds) for side in (ENGINE, SERVER)
        },
        "server_cpu_milliseconds_per_token": {
            side: per_token(side, lambda run: run.server_cpu_seconds) for side in (ENGINE, SERVER)
        },
        "answers_of_equal_text": {
            str(concurrency): round(
                sum(
                    ours.text == theirs.text
                    for pair in each
                    for ours, theirs in zip(pair[ENGINE].answers, pair[SERVER].answers, strict=True)
                )
                / (concurrency * len(each)),
                2,
            )
            for concurrency, each in pairs.items()
        },
    }


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for some minutes, longer where llama-server must be built first."""
    programs = llama_build.build()
    n_threads = machine.physical_cores()
    load = LoadOptions(n_ctx_seq=1024, n_seq_max=max(CONCURRENCIES), n_threads=n_threads)
    model = engine_worker.starter_model()
    ban = bare_load(programs.bare_load, model, load, n_threads).ban
    pairs: dict[int, list[Pair]] = {concurrency: [] for concurrency in CONCURRENCIES}
    with (
        engine_worker.EngineWorker(model, load) as worker,
        LlamaServer(programs.server, model, load, n_threads) as server,
        Client() as client,
    ):
        sides = _Sides(worker, server, ban)
        sides.pair(client, max(CONCURRENCIES), (SERVER, ENGINE))  # warms both up
        for round_number in range(rounds):
            for position, concurrency in enumerate(CONCURRENCIES):
                order = (ENGINE, SERVER) if (round_number + position) % 2 else (SERVER, ENGINE)
                pairs[concurrency].append(quiet.measure(partial(sides.pair, client, concurrency, order)))
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
        rows=[_row(concurrency, pairs[concurrency]) for concurrency in CONCURRENCIES],
        details=_details(pairs),
    )
