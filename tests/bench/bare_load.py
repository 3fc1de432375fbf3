"""Runs the bare loader: the least that any program must do to serve a file with llama.cpp."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from inference.core.loads.options import LoadOptions


@dataclass(frozen=True, slots=True)
class BareLoad:
    """What one run took, and what it found out about the model."""

    seconds: float
    """From the spawn to the line that says a token was decoded."""
    phases_ms: dict[str, float]
    end_of_generation: tuple[int, ...]
    """Tokens at which llama.cpp ends an answer."""

    @property
    def ban(self) -> dict[int, float]:
        """A logit bias with which no answer ends early, so that every request makes the same number of tokens."""
        return dict.fromkeys(self.end_of_generation, -100.0)


def bare_load(program: Path, model: Path, options: LoadOptions, n_threads: int) -> BareLoad:
    """Raises subprocess.CalledProcessError where the model cannot be loaded; the program has said why."""
    numbers = (options.n_ctx, options.n_seq_max, options.n_batch, options.n_ubatch, n_threads)
    command = [str(program), str(model), *map(str, numbers)]
    spawned = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        timed = process.stdout.readline()
        seconds = time.perf_counter() - spawned
        rest = process.stdout.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return BareLoad(seconds, json.loads(timed), tuple(json.loads(rest)["end_of_generation"]))
