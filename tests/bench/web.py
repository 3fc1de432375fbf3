"""What web and host cost: eight chat pages through daphne against the same worker alone, and the time to first token that they add.

Both sides talk to one and the same worker, the one that the box's host started: once as eight signed-in people's chat pages, once straight over the
worker's socket. The tokens/s of a page run to its last words, which come with the answer's lasting form.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from statistics import median

import psutil

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.options import LoadOptions
from inference.host.api.client import HostClient
from tests.bench import box, chat_page, engine_worker, llama_build, machine, prompts
from tests.bench.bare_load import bare_load
from tests.bench.client import Client, Request
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.bench.streams import Answer
from tests.bench.throughput import NotComparable, generation_rate

N_CLIENTS = 8
N_TOKENS = 512
N_CTX_SEQ = 1024
N_SHORT_TOKENS = 4
FIRST_TOKENS_PER_ROUND = 6
LEAST_RATIO = 0.97
MOST_ADDED_MS = 10.0
WEB, ENGINE = "through the web", "engine alone"


async def _worker_socket(prepared: box.Prepared) -> str:
    """Loads the variant and returns its worker's socket; the variant is pinned, so it stays when the lease ends."""
    client = HostClient(prepared.host_socket)
    async with client.lease(variant_id=prepared.variant, user="bench", request_id="bench") as lease:
        async for _ in lease.waiting():
            pass
        assert lease.ready is not None
        return lease.ready["socket"]


class _Requests:
    """Makes requests for the same kind of answer to either side, each with a question that was never asked before."""

    def __init__(self, address: str, worker: str, prepared: box.Prepared) -> None:
        self._address = address
        self._worker = worker
        self._prepared = prepared
        self._numbers = count()

    def page(self, person: int, options: GenerationOptions) -> Request:
        who = self._prepared.people[person]
        return Request(
            self._address,
            "websocket",
            chat_page.send(prompts.question(next(self._numbers)), variant=self._prepared.variant, options=options),
            opening=chat_page.handshake(self._address, who),
            opening_ends=chat_page.OPENING_ENDS,
        )

    def direct(self, person: int, options: GenerationOptions) -> Request:
        number = next(self._numbers)
        return Request(
            self._worker,
            "lines",
            engine_worker.chat(
                options,
                owner=str(self._prepared.people[person].user_id),
                request_id=f"bench-{number}",
                messages=[{"role": "user", "content": prompts.question(number)}],
            ),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One side's answers, and the CPU seconds that each process took for them."""

    answers: Sequence[Answer]
    cpu_seconds: Mapping[str, float]


Pair = Mapping[str, Run]


class _Sides:
    """Puts the same kind of requests to the chat page and to the worker behind it."""

    def __init__(self, client: Client, requests: _Requests, pids: Mapping[str, int], ban: Mapping[int, float]) -> None:
        self._client = client
        self._make: Mapping[str, Callable[[int, GenerationOptions], Request]] = {
            WEB: requests.page,
            ENGINE: requests.direct,
        }
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._ban = ban

    def pair(self, n_clients: int, n_tokens: int, order: Sequence[str]) -> Pair:
        """Raises NotComparable."""
        return {side: self._run(side, n_clients, n_tokens) for side in order}

    def _run(self, side: str, n_clients: int, n_tokens: int) -> Run:
        options = GenerationOptions(temperature=0.0, max_tokens=n_tokens, logit_bias=self._ban)
        requests = [self._make[side](person, options) for person in range(n_clients)]
        before = self._cpu_seconds()
        answers, client_seconds = self._client.stream_all(requests)
        used = {name: seconds - before[name] for name, seconds in self._cpu_seconds().items()}
        for answer in answers:
            if answer.n_tokens != n_tokens:
                raise NotComparable(f"an answer of {answer.n_tokens} tokens, expected {n_tokens}")
        return Run(answers, {**used, "client": client_seconds})

    def _cpu_seconds(self) -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}


def _samples(pairs: Sequence[Pair], side: str, figure: Callable[[Run], float]) -> Side:
    return Side(side, tuple(figure(pair[side]) for pair in pairs))


def _rows(long: Sequence[Pair], short: Sequence[Pair]) -> list[Row]:
    return [
        Row(
            name=f"generation, {N_CLIENTS} chat pages",
            unit="tokens/s",
            ours=_samples(long, WEB, lambda run: generation_rate(run.answers)),
            theirs=_samples(long, ENGINE, lambda run: generation_rate(run.answers)),
            comparison="ratio",
            target=Target("at least", LEAST_RATIO),
        ),
        Row(
            name="time to first token, 1 chat page",
            unit="ms",
            ours=_samples(short, WEB, lambda run: 1e3 * run.answers[0].first_token_seconds),
            theirs=_samples(short, ENGINE, lambda run: 1e3 * run.answers[0].first_token_seconds),
            comparison="difference",
            target=Target("at most", MOST_ADDED_MS),
        ),
    ]


def _details(long: Sequence[Pair], short: Sequence[Pair]) -> dict[str, object]:
    n_tokens = N_TOKENS * N_CLIENTS
    return {
        "cpu_milliseconds_per_token": {
            side: {
                name: round(median(1e3 * pair[side].cpu_seconds[name] / n_tokens for pair in long), 4)
                for name in long[0][side].cpu_seconds
            }
            for side in (WEB, ENGINE)
        },
        "frames_per_token": {
            side: round(median(sum(len(each.counts) for each in pair[side].answers) / n_tokens for pair in long), 3)
            for side in (WEB, ENGINE)
        },
        "prompt_tokens_evaluated": {
            side: median(pair[side].answers[0].n_prompt for pair in short) for side in (WEB, ENGINE)
        },
        "prompt_tokens_cached": {
            side: median(pair[side].answers[0].n_cached for pair in short) for side in (WEB, ENGINE)
        },
    }


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about a minute a round."""
    programs = llama_build.build()
    load = LoadOptions(n_ctx_seq=N_CTX_SEQ, n_seq_max=N_CLIENTS)
    ban = bare_load(programs.bare_load, engine_worker.starter_model(), load, machine.physical_cores()).ban
    long: list[Pair] = []
    short: list[Pair] = []
    with box.running_box() as stack, Client() as client:
        prepared = box.prepare(stack, n_users=N_CLIENTS, n_seq_max=load.n_seq_max, n_ctx_seq=load.n_ctx_seq)
        worker = asyncio.run(_worker_socket(prepared))
        requests = _Requests(f"127.0.0.1:{stack.port}", worker, prepared)
        sides = _Sides(client, requests, box.pids(stack), ban)
        for n_clients in (N_CLIENTS, 1):  # warms both up
            sides.pair(n_clients, N_SHORT_TOKENS, (WEB, ENGINE))
        for round_number in range(rounds):
            order = (WEB, ENGINE) if round_number % 2 else (ENGINE, WEB)
            long.append(quiet.measure(partial(sides.pair, N_CLIENTS, N_TOKENS, order)))
            for sample in range(FIRST_TOKENS_PER_ROUND):
                short_order = order if sample % 2 else order[::-1]
                short.append(quiet.measure(partial(sides.pair, 1, N_SHORT_TOKENS, short_order)))
    return Report(
        benchmark="web",
        title="Through the web: chat pages over WebSockets, daphne, host and worker against that worker alone",
        rounds=rounds,
        conditions={
            "clients": N_CLIENTS,
            "tokens_per_answer": N_TOKENS,
            "n_ctx_seq": N_CTX_SEQ,
            "sampling": "greedy",
            "first_token_samples": len(short),
        },
        rows=_rows(long, short),
        details=_details(long, short),
    )
