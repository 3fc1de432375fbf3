"""A card that has no more memory: the worker ends with a sentence that says so, while it loads and in the middle of an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.host.workers.exits import failure_of
from models_app.units import format_bytes
from tests.engine.worker_process import PATIENCE_SECONDS, Message, WorkerProcess
from tests.gpu.cards import Cards, devices
from tests.gpu.loads import MIB, loaded
from tests.gpu.neighbour import neighbour
from tests.gpu.subjects import SUBJECTS, WANTED, way, written
from tests.gpu.test_ending import back


@pytest.mark.parametrize("left_bytes", [128 * MIB, 1024 * MIB], ids=["not even a context", "not all of the model"])
def test_a_load_that_finds_the_card_full_says_so(
    left_bytes: int, models_folder: Path, tmp_path: Path, cards: Cards
) -> None:
    path = written(SUBJECTS["grouped-query"], models_folder)
    options = way(path, WANTED["whole"], devices(cards)).options
    engine_devices, options = cards.engine_devices.needed_for(options)
    ((device, _),) = engine_devices.gpus or ()
    before = cards.used_bytes()
    with neighbour(cards.listed[device].bus_id or "", left_bytes):
        with WorkerProcess(path, tmp_path, gpus=dict(engine_devices.gpus or ()), **options.to_json()) as worker:
            failed = _last_words(worker)
            if failed is None:  # ggml ended the process
                ended = failure_of(worker.process.wait(PATIENCE_SECONDS), _log(worker), False)
                reason, detail = ended.reason, ended.detail
            else:
                assert failed["type"] == "failed", f"it loaded, with {format_bytes(left_bytes)} free"
                reason, detail = failed["reason"], failed["detail"]
        print(f"\n{detail}", end=" ")
        assert reason == "out_of_memory"
    assert back(cards, before)


def _last_words(worker: WorkerProcess) -> Message | None:
    """None where it ended without any."""
    while (report := worker.reports.get(timeout=PATIENCE_SECONDS)) is not None:
        if report["type"] in ("failed", "ready"):
            break
    return report


def _log(worker: WorkerProcess) -> list[str]:
    return worker.log.read_text(encoding="utf-8", errors="replace").splitlines()


def test_an_answer_for_which_the_card_has_nothing_left_ends_or_comes_whole(
    models_folder: Path, tmp_path: Path, cards: Cards
) -> None:
    path = written(SUBJECTS["hybrid"], models_folder)
    options = way(path, WANTED["whole"], devices(cards)).options
    with loaded(path, tmp_path, cards, options) as load:
        (device,) = load.buffers()
        words = "down the river the boats went by and nobody said a word " * 60
        with neighbour(cards.listed[device].bus_id or "", 0):
            with load.worker.generate(prompt=words, max_tokens=2, temperature=0) as call:
                replies = list(call)
            if replies and replies[-1]["type"] == "done":
                print("\nit had taken all it needed by its warm-up", end=" ")
                return
            ended = failure_of(load.worker.process.wait(PATIENCE_SECONDS), _log(load.worker), False)
        print(f"\n{ended.detail}", end=" ")
        assert ended.reason == "out_of_memory"
