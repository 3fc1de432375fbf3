"""What a worker held is there for others again, however it ended, and cards that it was not given it leaves alone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.worker_process import WorkerProcess
from tests.gpu.cards import Cards, devices
from tests.gpu.loads import MIB, loaded
from tests.gpu.subjects import SUBJECTS, WANTED, way, written
from tests.stack import wait_for

NOISE_BYTES = 64 * MIB
"""Of a desktop on the same card."""
ENDINGS: dict[str, Callable[[WorkerProcess], object]] = {
    "told to go": WorkerProcess.stop,
    "killed": lambda worker: (worker.process.send_signal(signal.SIGKILL), worker.process.wait()),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_worker_that_ended_leaves_nothing_on_the_cards(
    ending: str, models_folder: Path, tmp_path: Path, cards: Cards
) -> None:
    path = written(SUBJECTS["grouped-query"], models_folder)
    options = way(path, WANTED["whole"], devices(cards)).options
    before = cards.used_bytes()
    with loaded(path, tmp_path, cards, options) as load:
        held = cards.used_bytes()
        assert sum(held.values()) - sum(before.values()) >= sum(load.buffers().values()) - NOISE_BYTES
        ENDINGS[ending](load.worker)
        # The driver may still be at it when the process has gone.
        wait_for(lambda: back(cards, before), "the driver to give everything back")
        assert not load.held() or all(not each.is_told for each in load.held().values())


def back(cards: Cards, before: dict[str, int]) -> bool:
    return all(used - before[device] < NOISE_BYTES for device, used in cards.used_bytes().items())


def test_a_worker_holds_nothing_of_a_card_that_gets_no_layer(models_folder: Path, tmp_path: Path, cards: Cards) -> None:
    if len(cards.listed) < 2:
        pytest.skip("one card alone")
    path = written(SUBJECTS["grouped-query"], models_folder)
    options = way(path, WANTED["whole"], devices(cards)).options
    with loaded(path, tmp_path, cards, options) as load:
        assert set(load.held()) == set(load.buffers())


def test_a_worker_that_computes_in_ram_holds_nothing_of_any_card(
    models_folder: Path, tmp_path: Path, cards: Cards
) -> None:
    path = written(SUBJECTS["recurrent"], models_folder)
    before = cards.used_bytes()
    options = replace(way(path, WANTED["whole"], devices(cards)).options, n_gpu_layers=0, tensor_split=None)
    with loaded(path, tmp_path, cards, options) as load:
        assert load.ready["n_gpu_layers"] == 0
        assert back(cards, before), "it has opened a card that it does not use"
