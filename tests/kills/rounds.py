"""A whole box whose processes are killed at random moments of jobs of every kind, and what came of it.

Everything random follows from the seed, but when the machine does what does not: the same seed kills the same processes after
the same pauses.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from models_app.gguf import read_files
from tests.gguf_builder import SHAPES, build
from tests.hub import Cut, HubServer, ServerError, Slow, Stall, TooManyRequests, WrongBytes, running_hub
from tests.kills.auditor import Auditor
from tests.kills.orders import Orders
from tests.kills.promised import Promised
from tests.kills.writers import CannotWatch, Writers, watch
from tests.stack import Stack, running_stack, wait_for

SERVE = (sys.executable, "-m", "tests.kills.serve")
CHILDREN = ("jobs", "web", "host")
VICTIMS = (
    *(10 * [("jobs",)]),
    *(4 * [("web",)]),
    *(3 * [("host",)]),
    *(2 * [("jobs", "web")]),
    ("jobs", "host"),
    CHILDREN,
    ("serve", *CHILDREN),
)
"""Whom one round kills, by how often."""
LONGEST_PAUSE_SECONDS = 2.0
NOT_AWAITED = 0.2
"""So many rounds do not wait until what was killed is back: the next kill meets it while it starts."""
BYTES_PER_SECOND = 2 << 20
BACK_WITHIN_SECONDS = 60.0
DONE_WITHIN_SECONDS = 360.0
"""A measurement whose worker was killed again and again waits five minutes at most before it is tried once more."""
SOURCE = "source-F16"
SEED = int(os.environ.get("KILL_SEED", "20261121"))


@dataclass(slots=True)
class Told:
    seed: int
    rounds: int = 0
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    """By process."""
    under_way: Counter[str] = field(default_factory=Counter)
    """In how many rounds, at the moment of the kill, a job of that kind ran; `part`, `making`: that it had begun to write."""
    faults: Counter[str] = field(default_factory=Counter)
    """What the Hub did wrong."""
    slowest_recovery_seconds: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    """Jobs, by kind."""
    unfinished: list[str] = field(default_factory=list)
    matrix_chunks: int | None = None
    """In the importance matrix that was made; None: there is none."""
    not_listed: list[str] = field(default_factory=list)
    """Variants that their done jobs do not account for, or the other way round."""
    left: list[str] = field(default_factory=list)
    """What lies in the folder for models and is no variant's."""
    wrong: list[str] = field(default_factory=list)
    """What the auditor saw."""
    looks: int = 0
    digests: int = 0
    answers_lost: int = 0
    """Orders whose web process was killed before it answered."""
    mismatches: int = 0
    """Downloads that were refused at their end for what the Hub had sent, and ordered again."""
    refused: int = 0
    """Downloads that were ordered again because the Hub did not tell what there is."""
    unreadable: int = 0
    """Looks at a database that refused them."""
    scan: dict[str, Any] = field(default_factory=dict)
    """What a scan of the folder found to do at the end."""
    writes: int | None = None
    """None: this machine does not let us watch writers."""
    handed_on: int | None = None
    second_writers: list[str] | None = None

    def to_json(self) -> dict[str, Any]:
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in found.items()}


def kill_at_random(rounds: int, seed: int, folder: Path, at_once: dict[str, int]) -> Told:
    """`folder`: for what the Hub offers. `at_once`: how many jobs of each kind are under way."""
    with (
        running_hub() as hub,
        running_stack(SERVE, HF_ENDPOINT=hub.endpoint, HOSTUI_DISK_RESERVE="1MiB") as box,
    ):
        return _Killing(box, hub, folder, seed).run(rounds, at_once)


class _Killing:
    def __init__(self, box: Stack, hub: HubServer, folder: Path, seed: int) -> None:
        self.box = box
        self.hub = hub
        self.folder = folder
        self.chance = random.Random(seed)
        self.told = Told(seed)
        self.promised = Promised()
        self.auditor = Auditor(box.data_dir, self.promised)
        self.key = box.create_key(box.admin)
        self.auditor.models.mkdir(exist_ok=True)

    def run(self, rounds: int, at_once: dict[str, int]) -> Told:
        source = build(
            self.folder / f"{SOURCE}.gguf",
            SHAPES["tiny-moe"],
            quantization="F16",
            body="random",
            vocabulary="synthetic",
        )
        self.box.manage("add_model", str(source))
        orders = Orders(self.box, self.hub, SOURCE, self.folder, self.promised, self.auditor, at_once)
        orders.prepare(source)
        with self._watched(), self.auditor:
            with orders:
                began = time.monotonic()
                while self.told.rounds < rounds and not self.auditor.alarm.is_set():
                    self._round(orders)
                self.told.seconds = time.monotonic() - began
                orders.enough()
                self._recover()
                self._settle()
            self.told.answers_lost, self.told.refused = orders.n_answers_lost, orders.n_refused
        return self.told

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with ExitStack() as watching:
            writers: Writers | None = None
            with suppress(CannotWatch):
                writers = watching.enter_context(watch(self.auditor.models))
            yield
            if writers is not None:
                self._tell_of(writers)

    def _tell_of(self, writers: Writers) -> None:
        writers.catch_up()
        self.told.writes = writers.n_writes
        self.told.handed_on = writers.n_handed_on
        self.told.second_writers = writers.second

    # one round --------------------------------------------------------------------------------------------------

    def _round(self, orders: Orders) -> None:
        self._misbehave()
        # Begun, on the way, or at its end: this is the random moment.
        self.auditor.alarm.wait(self.chance.uniform(0, LONGEST_PAUSE_SECONDS))
        victims = self.chance.choice(VICTIMS)
        self._note()
        before = self._kill(victims)
        self.told.rounds += 1
        self.told.kills.update(victims)
        if "serve" in victims or self.chance.random() >= NOT_AWAITED:
            self._recover(before)

    def _misbehave(self) -> None:
        self.hub.faults.clear()
        self.hub.faults.add(Slow(bytes_per_second=BYTES_PER_SECOND))
        after_bytes = self.chance.randrange(1 << 20)
        fault = self.chance.choice(
            (
                None,
                Cut(after_bytes=after_bytes),
                Stall(after_bytes=after_bytes),
                TooManyRequests(where="cdn", retry_after_seconds=1),
                TooManyRequests(where="resolve"),
                ServerError(where="cdn"),
                WrongBytes(at=after_bytes, times=1),
            )
        )
        if fault is not None:
            self.hub.faults.add(fault)
            self.told.faults[type(fault).__name__] += 1

    def _note(self) -> None:
        models = self.auditor.models
        self.told.under_way.update(self.auditor.running().keys())
        self.told.under_way["part"] += any(models.glob("*.part"))
        self.told.under_way["making"] += any(models.glob(".making/*/*"))

    def _kill(self, victims: tuple[str, ...]) -> dict[str, int]:
        """The process ids that the box's children had."""
        before = {name: self.box.pid(name) for name in CHILDREN}
        pids = [self.box.pid("serve") if name == "serve" else before[name] for name in victims]
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).send_signal(signal.SIGKILL)
        if "serve" in victims:
            assert self.box.process is not None
            self.box.process.wait()
            self.box.start()
            return {}
        return {name: before[name] for name in victims}

    def _recover(self, before: dict[str, int] | None = None) -> None:
        """Waits until all processes answer, those killed among them."""
        began = time.monotonic()
        for name, pid in (before or {}).items():
            wait_for(partial(self._is_another, name, pid), f"another {name}", BACK_WITHIN_SECONDS)
        wait_for(self._jobs_are_read, "the jobs process", BACK_WITHIN_SECONDS)
        self.box.wait_healthy(BACK_WITHIN_SECONDS)
        self.told.slowest_recovery_seconds = max(self.told.slowest_recovery_seconds, time.monotonic() - began)
        self._look_at_api()

    def _is_another(self, name: str, pid: int) -> bool:
        return self.box.entry(name)["pid"] not in (None, pid)

    def _jobs_are_read(self) -> bool:
        run = self.box.data_dir / "run"
        with suppress(OSError):
            holder = (run / "jobs.lock").read_text().strip()
            return holder == str(self.box.entry("jobs")["pid"]) and (run / "jobs.heartbeat").exists()
        return False

    def _look_at_api(self) -> None:
        """What programs are offered now is whole now."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.get(f"{self.box.url}/v1/models", headers=headers, trust_env=False, timeout=30)
        names = [model["id"] for model in answer.json()["data"]]
        self.auditor.look_at(names)

    # the end ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Nobody disturbs it any more: everything that was ordered has to come whole."""
        self.hub.faults.clear()
        with suppress(AssertionError):
            wait_for(self._is_over, "jobs", DONE_WITHIN_SECONDS)
        self.auditor.look()
        told, models = self.told, self.auditor.models
        jobs = self.auditor.jobs()
        told.done = Counter(kind for _, kind, state, _, _ in jobs if state == "done")
        told.unfinished = [f"{kind} {name}: {state}" for _, kind, state, _, name in jobs if state != "done"]
        listed = sorted(self.auditor.listed())
        told.not_listed = sorted(set(listed) ^ self.auditor.ordered())
        files = {file.name for name in listed for file in self.promised.variant(name) or ()}
        matrix = self._matrix
        told.matrix_chunks = read_files(matrix).integer("imatrix.chunk_count") if matrix.exists() else None
        expected = {matrix.parent, matrix, *(models / each for each in (".making", ".measuring", ".quarantine"))}
        told.left = sorted(
            str(path.relative_to(models))
            for path in models.rglob("*")
            if path.name not in files and path not in expected
        )
        told.scan = self._scan()
        told.wrong = list(self.auditor.wrong)
        told.mismatches = self.auditor.n_mismatches
        told.unreadable = self.auditor.n_unreadable
        told.looks, told.digests = self.auditor.n_looks, self.auditor.n_digests

    @property
    def _matrix(self) -> Path:
        # Whoever only asks which benchmarks there are has no Django set up.
        from inference.jobs import imatrix

        return self.auditor.models / imatrix.FOLDER / f"{SOURCE}.imatrix.gguf"

    def _is_over(self) -> bool:
        return self.auditor.alarm.is_set() or not (self.auditor.under_way() or self.auditor.failed())

    def _scan(self) -> dict[str, Any]:
        found = json.loads(self.box.manage("scan_models", "--json"))
        # What it says of a matrix is right: it is no model.
        found["refused"].pop(str(self._matrix), None)
        return {what: names for what, names in found.items() if names and what != "unchanged"}
