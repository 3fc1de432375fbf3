"""Several people at once who load, chat, cancel, unload and kill, at random but the same each time; and what became of it. Live."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Literal, cast

import psutil

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.scheduling.refusals import FailedToLoad
from inference.host.api.client import HostRefusal, HostUnavailable, Lease, WorkerLost, WorkerRefusal
from tests.bench import prompts
from tests.bench.host_box import HostBox

Deed = Literal["chat", "cancel", "load", "load anyway", "unload", "kill"]
DEEDS: dict[Deed, int] = {"chat": 81, "cancel": 5, "load": 5, "load anyway": 2, "unload": 3, "kill": 4}
"""How often of a hundred times."""
LONGEST_SECONDS = 90.0
"""What has not ended by then is lost: no wait is meant to be as long."""
KILL_NOTICED_SECONDS = 2.0
"""For so long after a kill by this test an end of that variant's worker is the test's doing."""
NEW_FAVOURITE = 0.12
"""How often somebody turns to another variant: most people stay with one for some turns."""
LOOK_SECONDS = 0.1
DEVICE = "gpu0"


@dataclass(slots=True)
class Outcome:
    """What happened. Everything that must not is in `faults`, with a line each."""

    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    waits_seconds: list[float] = field(default_factory=list)
    most_held_bytes: int = 0
    """By the workers' own reports, on the device."""
    most_allocated_bytes: int = 0
    """By the size of the process that is the device."""
    n_over_budget: int = 0
    """Looks that found more than the budget, in either."""
    n_looks: int = 0
    workers: set[int] = field(default_factory=set)


class Household:
    def __init__(self, box: HostBox, ban: dict[int, float], seed: int) -> None:
        self.outcome = Outcome()
        self._box = box
        self._names = sorted(box.variants)
        self._ban = ban
        self._random = Random(seed)
        self._numbers = count()
        self._killed: dict[int, float] = {}
        self._unloaded: dict[int, float] = {}

    async def live(self, n_people: int, n_deeds: int) -> None:
        left = iter(range(n_deeds))
        await asyncio.gather(*(self._person(f"person{number}", left) for number in range(n_people)))

    async def _person(self, name: str, left: Iterator[int]) -> None:
        favourite = self._random.choice(self._names)
        for _ in left:
            if self._random.random() < NEW_FAVOURITE:
                favourite = self._random.choice(self._names)
            (deed,) = self._random.choices(list(DEEDS), list(DEEDS.values()))
            began = time.monotonic()
            try:
                ended = await asyncio.wait_for(self._do(deed, name, self._box.variants[favourite]), LONGEST_SECONDS)
            except asyncio.TimeoutError:
                ended = "lost"
                self.outcome.faults.append(f"{deed} of {favourite} did not end in {LONGEST_SECONDS:.0f} s")
            except (HostUnavailable, WorkerRefusal) as error:
                ended = "lost"
                self.outcome.faults.append(f"{deed} of {favourite}: {type(error).__name__}: {error}")
            self.outcome.ended[f"{deed}: {ended}"] += 1
            if deed == "chat" and ended == "done":
                self.outcome.waits_seconds.append(time.monotonic() - began)

    async def _do(self, deed: Deed, person: str, variant_id: int) -> str:
        if deed == "kill":
            return await self._kill()
        try:
            if deed in ("chat", "cancel"):
                return await self._chat(person, variant_id, cancels=deed == "cancel")
            if deed == "unload":
                self._unloaded[variant_id] = time.monotonic()
                await self._box.client.unload(variant_id)
            else:
                await self._box.client.load(variant_id, anyway=deed == "load anyway")
        except HostRefusal as refusal:
            return self._refused(deed, variant_id, refusal)
        return "done"

    async def _chat(self, person: str, variant_id: int, *, cancels: bool) -> str:
        number = next(self._numbers)
        n_wanted = self._random.randint(4, 16)
        options = GenerationOptions(temperature=0.0, max_tokens=n_wanted, logit_bias=self._ban)
        began = time.monotonic()
        lease: Lease
        async with self._box.client.lease(variant_id=variant_id, user=person, request_id=f"r{number}") as lease:
            try:
                async for _ in lease.waiting():
                    if cancels and self._random.random() < 0.2:
                        return "left the queue"
                answer = cast(
                    AsyncGenerator[Any, None],
                    lease.generate(
                        request_id=f"r{number}", owner=person, options=options, prompt=prompts.story(number)
                    ),
                )
                n_tokens = 0
                async with aclosing(answer) as events:
                    async for event in events:
                        if event["type"] == "token":
                            n_tokens = event["n"]
                            if cancels:
                                return "left the answer"
            except WorkerLost as lost:
                if self._killed.get(variant_id, -1e9) > began - KILL_NOTICED_SECONDS:
                    return "killed by the test, and said so"
                self.outcome.faults.append(f"an answer of {self._name(variant_id)} was cut: {lost}")
                return "cut"
        if n_tokens != n_wanted:
            self.outcome.faults.append(f"an answer of {n_tokens} tokens instead of {n_wanted}")
            return "cut"
        return "done"

    def _refused(self, deed: Deed, variant_id: int, refusal: HostRefusal) -> str:
        now = time.monotonic()
        recent = LONGEST_SECONDS
        if refusal.code == "unloaded" and now - self._unloaded.get(variant_id, -1e9) < recent:
            return "refused: somebody unloaded it"
        if (
            refusal.code == "failed"
            and isinstance(refusal.facts, FailedToLoad)
            and refusal.facts.reason in ("killed", "crashed")
            and now - self._killed.get(variant_id, -1e9) < recent
        ):
            return "refused: the test kept killing it"
        self.outcome.faults.append(f"{deed} of {self._name(variant_id)} refused: {refusal.code}: {refusal}")
        return "lost"

    async def _kill(self) -> str:
        """`kill -9` of a worker that is loading, answering or idle."""
        residents = (await self._box.client.status())["residents"]
        running = [each for each in residents if each["pid"] is not None]
        if not running:
            return "nobody was there"
        victim = self._random.choice(running)
        assert victim["pid"] is not None
        self._killed[victim["variant_id"]] = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(victim["pid"], signal.SIGKILL)
        return f"while {victim['state']}"

    def _name(self, variant_id: int) -> str:
        return next(name for name, each in self._box.variants.items() if each == variant_id)

    # watching -----------------------------------------------------------------------------------------------------

    async def watch(self, device_pid: int, budget_bytes: int) -> None:
        """Looks until it is cancelled: what the workers say that they hold, and how large the device's process is."""
        device = psutil.Process(device_pid)
        empty_bytes = device.memory_info().rss
        outcome = self.outcome
        while True:
            with suppress(HostUnavailable):
                residents = (await self._box.client.status())["residents"]
                held_bytes = _held_bytes(cast(Any, residents))
                allocated_bytes = device.memory_info().rss - empty_bytes
                outcome.n_looks += 1
                outcome.most_held_bytes = max(outcome.most_held_bytes, held_bytes)
                outcome.most_allocated_bytes = max(outcome.most_allocated_bytes, allocated_bytes)
                if max(held_bytes, allocated_bytes) > budget_bytes:
                    outcome.n_over_budget += 1
                    states = [(each["name"], each["state"]) for each in residents]
                    outcome.faults.append(f"{held_bytes} told, {allocated_bytes} allocated on the device: {states}")
                outcome.workers |= {each["pid"] for each in residents if each["pid"] is not None}
                self._box.look()
            await asyncio.sleep(LOOK_SECONDS)


def _held_bytes(residents: Sequence[Mapping[str, Any]]) -> int:
    parts = ("weights_bytes", "kv_bytes", "compute_bytes", "overhead_bytes")
    devices = [device for each in residents for device in each["devices"] or () if device["device"] == DEVICE]
    return sum(device[part] for device in devices for part in parts)
