"""What web and host cost: eight chat pages through daphne against the same worker alone, and the time to first token that they add.

Both sides talk to one and the same worker, the one that the box's host started: once as eight signed-in people's chat pages, once straight over the
worker's socket. The tokens/s of a page run to its last words, which come with the answer's lasting form.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import count
from statistics import median

import psutil

from inference.core.generation import GenerationOptions
from inference.core.options import LoadOptions
from inference.host.client import HostClient
from tests.bench import chat_page, engine_worker, llama_build, machine, prompts
from tests.bench.bare_load import bare_load
from tests.bench.box import Box, Prepared
from tests.bench.client import Client, Request
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target
from tests.bench.streams import Answer
from tests.bench.throughput import NotComparable, generation_rate

N_CLIENTS = 8
N_TOKENS = 512
N_CTX_SEQ = 1024
N_FIRST_TOKENS_PER_ROUND = 6
N_SHORT_TOKENS = 4
LEAST_RATIO = 0.97
MOST_ADDED_MS = 10.0
WEB, ENGINE = "8 chat pages", "engine alone"
PAGE = "chat page"


async def _worker_socket(prepared: Prepared) -> str:
    """Loads the variant and returns its worker's socket; the variant is pinned, so it stays when the lease ends."""
    client = HostClient(prepared.host_socket)
    async with client.lease(variant_id=prepared.variant, user="bench", request_id="bench") as lease:
        async for _ in lease.waiting():
            pass
        assert lease.ready is not None
        return lease.ready["socket"]


class _Requests:
    """Makes requests for the same kind of answer to either side, each with a question that was never asked before."""

    def __init__(self, address: str, worker: str, prepared: Prepared) -> None:
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


def _stream(client: Client, requests: Sequence[Request], n_tokens: int) -> tuple[list[Answer], float]:
    answers, cpu_seconds = client.stream_all(requests)
    for answer in answers:
        if answer.n_tokens != n_tokens:
            raise NotComparable(f"an answer of {answer.n_tokens} tokens, expected {n_tokens}")
    return answers, cpu_seconds


def _cpu_seconds(pids: dict[str, int]) -> dict[str, float]:
    return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}


def measure(rounds: int) -> Report:
    """Blocks for about a minute a round."""
    rates: dict[str, list[float]] = defaultdict(list)
    first_ms: dict[str, list[float]] = defaultdict(list)
    prompt_tokens: dict[str, list[float]] = defaultdict(list)
    cached_tokens: dict[str, list[float]] = defaultdict(list)
    cpu_ms: dict[str, list[float]] = defaultdict(list)
    pieces: dict[str, list[float]] = defaultdict(list)
    programs = llama_build.build()
    load = LoadOptions(n_ctx_seq=N_CTX_SEQ, n_seq_max=N_CLIENTS)
    ban = bare_load(programs.bare_load, engine_worker.starter_model(), load, machine.physical_cores()).ban
    with Box() as box, Client() as client:
        prepared = box.prepare(n_users=N_CLIENTS, n_seq_max=load.n_seq_max, n_ctx_seq=load.n_ctx_seq)
        worker = asyncio.run(_worker_socket(prepared))
        requests = _Requests(box.address, worker, prepared)
        long = GenerationOptions(temperature=0.0, max_tokens=N_TOKENS, logit_bias=ban)
        short = GenerationOptions(temperature=0.0, max_tokens=N_SHORT_TOKENS, logit_bias=ban)
        sides: dict[str, Callable[[int, GenerationOptions], Request]] = {WEB: requests.page, ENGINE: requests.direct}

        for round_number in range(-1, rounds):  # round -1 warms both up and is not counted
            order = (WEB, ENGINE) if round_number % 2 else (ENGINE, WEB)
            for side in order:
                before = _cpu_seconds(box.pids)
                answers, client_seconds = _stream(
                    client, [sides[side](person, long) for person in range(N_CLIENTS)], N_TOKENS
                )
                used = {name: seconds - before[name] for name, seconds in _cpu_seconds(box.pids).items()}
                if round_number >= 0:
                    rates[side].append(generation_rate(answers))
                    pieces[side].append(sum(answer.n_pieces for answer in answers) / (N_TOKENS * N_CLIENTS))
                    for name, seconds in {**used, "client": client_seconds}.items():
                        cpu_ms[f"{name}, {side}"].append(1e3 * seconds / (N_TOKENS * N_CLIENTS))
            for sample in range(N_FIRST_TOKENS_PER_ROUND):
                for side in order if sample % 2 else order[::-1]:
                    [answer], _ = _stream(client, [sides[side](0, short)], N_SHORT_TOKENS)
                    if round_number >= 0:
                        first_ms[side].append(1e3 * answer.first_token_seconds)
                        prompt_tokens[side].append(answer.n_prompt)
                        cached_tokens[side].append(answer.n_cached)
    return Report(
        benchmark="web",
        title="Through the web: chat pages over WebSockets, daphne, host and worker against that worker alone",
        rounds=rounds,
        conditions={
            "clients": N_CLIENTS,
            "tokens_per_answer": N_TOKENS,
            "n_ctx_seq": N_CTX_SEQ,
            "sampling": "greedy",
            "first_token_samples": len(first_ms[WEB]),
        },
        rows=[
            Row(
                name="generation, 8 chat pages",
                unit="tokens/s",
                ours=Side("through the web", tuple(rates[WEB])),
                theirs=Side(ENGINE, tuple(rates[ENGINE])),
                comparison="ratio",
                target=Target("at least", LEAST_RATIO),
            ),
            Row(
                name="time to first token, 1 chat page",
                unit="ms",
                ours=Side(PAGE, tuple(first_ms[WEB])),
                theirs=Side(ENGINE, tuple(first_ms[ENGINE])),
                comparison="difference",
                target=Target("at most", MOST_ADDED_MS),
            ),
        ],
        details={
            "cpu_milliseconds_per_token": {name: round(median(values), 4) for name, values in sorted(cpu_ms.items())},
            "frames_per_token": {side: round(median(values), 3) for side, values in pieces.items()},
            "prompt_tokens_evaluated": {side: median(values) for side, values in prompt_tokens.items()},
            "prompt_tokens_cached": {side: median(values) for side, values in cached_tokens.items()},
        },
    )
