"""A host with workers on the cards, and NVML as the judge of what they hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from inference.core.loads.options import LoadOptions
from tests.gpu.cards import Cards, cuda_cards
from tests.gpu.subjects import SUBJECTS, written

LOOK_SECONDS = 0.05
CONTEXT_BYTES = 100 << 20
"""No process that uses a card holds less."""
VARIANTS = ("multi-head", "grouped-query", "experts", "latent attention")
"""Each between 1.5 and 2.5 GiB on a card."""
OPTIONS = LoadOptions(n_ctx_seq=4096, n_seq_max=2)
NEEDED = ("django", "channels", "unfold", "psutil", "httpx")
"""What a host imports and an engine does not."""


def what_is_missing() -> str | None:
    missing = [name for name in NEEDED if not _is_installed(name)]
    return f"a host needs packages that are not installed here: {', '.join(missing)}" if missing else None


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # what sys.modules says of one that must not be imported
        return False


def rows(models_folder: Path, **fields: Any) -> list[dict[str, Any]]:
    """The variants, wholly on cards."""
    from tests.bench.host_box import variant_row

    return [
        variant_row(
            name.replace(" ", "-"), written(SUBJECTS[name], models_folder), OPTIONS, may_leave_gpu=False, **fields
        )
        for name in VARIANTS
    ]


class Judge:
    """Looks at the cards all the time: what the processes below `root` hold, by card."""

    def __init__(self, cards: Cards, root: int, budgets: Mapping[str, int]) -> None:
        self.most_bytes = dict.fromkeys(cards.listed, 0)
        self.n_looks = 0
        self.n_over = 0
        self.faults: list[str] = []
        self.is_told = True
        """By the driver of each process; False: at least once only by what the card's use had grown by."""
        self._cards = cards
        self._root = psutil.Process(root)
        self._budgets = budgets
        self._before = cards.used_bytes()
        self._ended = threading.Event()

    def look(self) -> None:
        ours = {self._root.pid}
        with suppress(psutil.NoSuchProcess):
            ours |= {each.pid for each in self._root.children(recursive=True)}
        for device, reading in self._cards.read().items():
            if reading.process_bytes:
                held = sum(n_bytes for pid, n_bytes in reading.process_bytes.items() if pid in ours)
            else:
                held = max(0, (reading.used_bytes or 0) - self._before[device])
                # A card that nobody uses has no processes to tell of.
                self.is_told = self.is_told and held < CONTEXT_BYTES
            self.most_bytes[device] = max(self.most_bytes[device], held)
            if held > self._budgets[device]:
                self.n_over += 1
                ours_here = {pid: n_bytes for pid, n_bytes in (reading.process_bytes or {}).items() if pid in ours}
                self.faults.append(f"look {self.n_looks}: {held} bytes of {device}, by process {ours_here}")
        self.n_looks += 1

    def watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.look()

    def end(self) -> None:
        self._ended.set()


@contextmanager
def judging(root: int, budgets: Mapping[str, int]) -> Iterator[Judge]:
    """A session with the driver of its own, in a thread of its own."""
    cards = cuda_cards()
    judge = Judge(cards, root, budgets)
    thread = threading.Thread(target=judge.watch, name="judge")
    thread.start()
    try:
        yield judge
    finally:
        judge.end()
        thread.join()
        cards.close()


def on_cards(residents: Sequence[Mapping[str, Any]], device: str) -> int:
    """What the ledger counts of a card."""
    return sum(each["bytes_by_device"].get(device, 0) for each in residents)
