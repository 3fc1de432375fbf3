"""What a worker holds besides its buffers grows with its first long prompts and full batches, and then stands still."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine.worker_process import WorkerProcess
from tests.gpu.cards import Cards, devices
from tests.gpu.findings import Findings
from tests.gpu.loads import MIB, Loaded, loaded
from tests.gpu.subjects import SUBJECTS, WANTED, way, written

LONG_PROMPT_TOKENS = 600
MOST_GROWN_BYTES = 1024 * MIB
NOISE_BYTES = 16 * MIB
"""What the host takes no notice of (inference.host.workers.workers)."""


def read_long_prompts(worker: WorkerProcess, n_slots: int) -> None:
    """One alone, then as many at once as there are slots; all different, so that none is reused."""
    words = "down the river the boats went by and nobody said a word " * 60
    prompts = [f"{'abcdefghijklmnop'[number]} {words}" for number in range(n_slots)]
    assert len(worker.tokenize(prompts[0])) >= LONG_PROMPT_TOKENS
    assert worker.answer(prompt="q " + words, max_tokens=2, temperature=0)[-1]["type"] == "done"
    with ExitStack() as calls:
        asked = [calls.enter_context(worker.generate(prompt=each, max_tokens=8, temperature=0)) for each in prompts]
        for call in asked:
            assert call.next("done")


def seen(load: Loaded) -> dict[str, int]:
    return {device: held.n_bytes for device, held in load.held().items()}


@pytest.mark.parametrize(
    "wanted", ["whole, four people, quantized cache", "half of its layers", "two thirds of the room"]
)
@pytest.mark.parametrize("subject", ["grouped-query", "experts", "hybrid"])
def test_what_a_worker_holds_grows_once(
    subject: str, wanted: str, models_folder: Path, tmp_path: Path, cards: Cards, findings: Findings
) -> None:
    path = written(SUBJECTS[subject], models_folder)
    options = way(path, WANTED[wanted], devices(cards)).options
    with loaded(path, tmp_path, cards, options) as load:
        at_first = seen(load)
        read_long_prompts(load.worker, options.n_seq_max)
        grown = seen(load)
        read_long_prompts(load.worker, options.n_seq_max)
        at_last = seen(load)
    for device, n_bytes in at_first.items():
        more_bytes = grown[device] - n_bytes
        print(f"\n{subject}, {wanted}, {device}: {more_bytes / MIB:.0f} MiB more after long prompts", end=" ")
        findings.grown_bytes.append(more_bytes)
        assert more_bytes <= MOST_GROWN_BYTES
        assert at_last[device] - grown[device] <= NOISE_BYTES, "it grows again each time"
