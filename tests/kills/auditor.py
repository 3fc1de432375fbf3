"""Looks without pause at what the box lists and at what lies in its folder for models, while processes are killed."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.kills.promised import Promised

PAUSE_SECONDS = 0.02
MISMATCH = "is not what the Hub's record says"
"""How a download may fail: the Hub sent other bytes."""
_SHARDS = """
SELECT variant.name, shard.path, shard.size_bytes, shard.sha256
FROM models_app_variant AS variant LEFT JOIN models_app_shard AS shard ON shard.variant_id = variant.id
ORDER BY variant.id, shard.number
"""
_JOBS = """
SELECT id, kind, state, reason, coalesce(json_extract(spec, '$.name'), json_extract(spec, '$.files[0].name'), '')
FROM models_app_job ORDER BY id
"""
MAKE_VARIANTS = ("download", "requantize", "upload", "import")
NEED_NO_DIGEST = ("brought-", "sent-")
"""A file that was taken in by a process which then died has none until it is verified; what is in it is looked at all the same."""


class Auditor:
    """A thread within the block. `wrong` says what should never have been seen, each once; `alarm` is set with the first."""

    def __init__(self, data_dir: Path, promised: Promised) -> None:
        self.models = data_dir / "models"
        self.wrong: list[str] = []
        self.alarm = threading.Event()
        self.n_looks = 0
        self.n_digests = 0
        self.n_mismatches = 0
        """Downloads that were told to have come otherwise than the Hub's record says."""
        self.n_unreadable = 0
        """Looks at the database that it refused."""
        self._promised = promised
        self._database = data_dir / "hostui.sqlite3"
        self._whole: dict[Path, tuple[int, int, int]] = {}
        """Files found right, by what would change if they did."""
        self._jobs: dict[int, str] = {}
        """The last state seen of each."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="auditor")

    def __enter__(self) -> Auditor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _keep_looking(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_SECONDS):
                self.look()
        except BaseException as error:
            self.say(f"the auditor broke: {error!r}")
            raise

    def look(self) -> None:
        """Once, at everything."""
        with self._lock:
            self._look_at_jobs()
            self._look_at_listing()
            for path in self.models.glob("*.gguf"):
                self._look_at_file(path)
            self.n_looks += 1

    def look_at(self, names: list[str]) -> None:
        """At variants that somebody was just told of."""
        for name in names:
            for file in self._promised.variant(name) or ():
                with self._lock:
                    if not self._look_at_file(self.models / file.name):
                        self.say(f"{name} is offered without {file.name}")

    # looking ---------------------------------------------------------------------------------------------------

    def _look_at_listing(self) -> None:
        listed: dict[str, list[tuple[str, int, str]]] = {}
        for name, path, size_bytes, sha256 in self._rows(_SHARDS):
            if self._promised.variant(name) is not None:
                listed.setdefault(name, []).append((path, size_bytes, sha256))
            elif path is None or Path(path).parent == self.models:
                self.say(f"{name} is listed and nobody ordered it")
        for name, shards in listed.items():
            files = self._promised.variant(name) or ()
            right: list[tuple[Any, ...]] = [
                (str(self.models / file.name), file.size_bytes, file.sha256) for file in files
            ]
            if name.startswith(NEED_NO_DIGEST):
                right = [(*told, found[2] and digest) for (*told, digest), found in zip(right, shards, strict=False)]
            if shards != right:
                self.say(f"{name} is listed as {shards}")
            for path, _, _ in shards:
                if not self._look_at_file(Path(path)):
                    self.say(f"{name} is listed without {path}")

    def _look_at_file(self, path: Path) -> bool:
        """Whether it is there. One that is not what was promised is said."""
        try:
            stat = path.stat()
            seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._whole.get(path) == seen:
                return True
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return False
        self.n_digests += 1
        promised = self._promised.file(path.name)
        if promised is None or (stat.st_size, digest) != (promised.size_bytes, promised.sha256):
            self.say(f"{path.name} has {stat.st_size} bytes and SHA-256 {digest}, instead of {promised}")
        self._whole[path] = seen
        return True

    def _look_at_jobs(self) -> None:
        rows = self.jobs()
        if not rows:
            return
        for number, kind, state, reason, name in rows:
            before = self._jobs.get(number)
            if state == "failed" and kind == "download" and MISMATCH in reason:
                self.n_mismatches += state != before
            elif state in ("failed", "cancelled") and state != before:
                self.say(f"{kind} {name}: {state}, {reason}")
            if before == "done" and state != "done":
                self.say(f"{kind} {name}: was done and is {state}")
            self._jobs[number] = state
        if lost := self._jobs.keys() - {row[0] for row in rows}:
            self.say(f"jobs that are gone: {sorted(lost)}")

    def say(self, what: str) -> None:
        """What should never be."""
        if what not in self.wrong:
            self.wrong.append(what)
        self.alarm.set()

    # asking the database ----------------------------------------------------------------------------------------

    def jobs(self) -> list[tuple[Any, ...]]:
        """Number, kind, state, reason and variant's name of each; nothing at a moment at which the database cannot be read."""
        return self._rows(_JOBS)

    def ordered(self) -> set[str]:
        """Variants that jobs were to make."""
        return {name for _, kind, _, _, name in self.jobs() if kind in MAKE_VARIANTS}

    def listed(self) -> set[str]:
        """Variants in the inventory that were ordered."""
        return {row[0] for row in self._rows(_SHARDS)} & self._promised.names()

    def under_way(self) -> Counter[str]:
        """How many jobs of each kind have not ended."""
        return Counter(kind for _, kind, state, _, _ in self.jobs() if state in ("queued", "running", "waiting"))

    def failed(self) -> list[str]:
        """Variants' names of jobs that wait for somebody who tries again."""
        return [name for _, _, state, _, name in self.jobs() if state == "failed"]

    def running(self) -> Counter[str]:
        return Counter(kind for _, kind, state, _, _ in self.jobs() if state == "running")

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=5)) as database:
                return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            self.n_unreadable += 1
            return []
