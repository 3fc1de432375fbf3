"""What is told of killed boxes is worth something only if whoever watches them would see it."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.kills.auditor import Auditor
from tests.kills.promised import File, Promised
from tests.kills.writers import CannotWatch, Writers, watch

WHOLE = b"every byte of it"
_WRITER = (
    "import sys; file = open(sys.argv[1], 'ab', buffering=0)\nfor _ in sys.stdin: file.write(b'x'); print(flush=True)"
)


class Writer:
    """A process that adds a byte each time it is told to."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def write(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def begin() -> Iterator[Callable[[Path], Writer]]:
    begun: list[Writer] = []

    def begin(path: Path) -> Writer:
        begun.append(Writer(path))
        return begun[-1]

    yield begin
    for writer in begun:
        writer.kill()


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[Writers]:
    try:
        with watch(tmp_path) as writers:
            yield writers
    except CannotWatch as cannot:
        pytest.skip(f"who writes a file is not told here ({cannot}): that takes Linux and an administrator")


def test_two_processes_that_write_one_file_are_seen(
    writers: Writers, tmp_path: Path, begin: Callable[[Path], Writer]
) -> None:
    first, second = begin(tmp_path / "model.gguf.part"), begin(tmp_path / "model.gguf.part")
    first.write()
    writers.catch_up()
    assert writers.second == []
    second.write()
    writers.catch_up()
    assert len(writers.second) == 1, writers.second


def test_a_successor_of_the_dead_is_no_second_writer(
    writers: Writers, tmp_path: Path, begin: Callable[[Path], Writer]
) -> None:
    first = begin(tmp_path / "model.gguf.part")
    first.write()
    writers.catch_up()
    first.kill()
    begin(tmp_path / "model.gguf.part").write()
    writers.catch_up()
    assert (writers.second, writers.n_handed_on, writers.n_files) == ([], 1, 1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "hostui.sqlite3", isolation_level=None)) as database:
        database.executescript(
            """
            CREATE TABLE models_app_variant (id INTEGER PRIMARY KEY, name);
            CREATE TABLE models_app_shard (variant_id, number, path, size_bytes, sha256);
            CREATE TABLE models_app_job (id INTEGER PRIMARY KEY, kind, state, reason, spec);
            """
        )
        yield database


@pytest.fixture
def auditor(tmp_path: Path, database: sqlite3.Connection) -> Auditor:
    """One variant was ordered, its job is under way, and nothing is listed yet."""
    promised = Promised()
    promised.add("one", [File("one.gguf", len(WHOLE), hashlib.sha256(WHOLE).hexdigest())])
    database.execute("INSERT INTO models_app_job VALUES (1, 'download', 'running', '', '{\"name\": \"one\"}')")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "one.gguf.part").write_bytes(WHOLE[:3])
    auditor = Auditor(tmp_path, promised)
    auditor.look()
    assert auditor.wrong == []
    return auditor


def list_it(database: sqlite3.Connection, auditor: Auditor) -> None:
    promised = File("one.gguf", len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
    database.execute("INSERT INTO models_app_variant VALUES (1, 'one')")
    row = (str(auditor.models / promised.name), promised.size_bytes, promised.sha256)
    database.execute("INSERT INTO models_app_shard VALUES (1, 1, ?, ?, ?)", row)


def test_what_is_whole_and_listed_is_right(auditor: Auditor, database: sqlite3.Connection) -> None:
    (auditor.models / "one.gguf").write_bytes(WHOLE)
    list_it(database, auditor)
    auditor.look()
    assert (auditor.wrong, auditor.listed()) == ([], {"one"})


def test_a_file_that_bears_its_name_too_early_is_seen(auditor: Auditor) -> None:
    (auditor.models / "one.gguf").write_bytes(WHOLE[:3])
    auditor.look()
    assert "one.gguf has 3 bytes" in auditor.wrong[0]
    assert auditor.alarm.is_set()


def test_a_file_that_changes_after_it_was_right_is_seen(auditor: Auditor, database: sqlite3.Connection) -> None:
    (auditor.models / "one.gguf").write_bytes(WHOLE)
    list_it(database, auditor)
    auditor.look()
    (auditor.models / "one.gguf").write_bytes(WHOLE[::-1])
    auditor.look()
    assert len(auditor.wrong) == 1


def test_a_variant_that_is_listed_before_its_file_is_there_is_seen(
    auditor: Auditor, database: sqlite3.Connection
) -> None:
    list_it(database, auditor)
    auditor.look()
    assert "one is listed without" in auditor.wrong[0]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM models_app_job",
        "UPDATE models_app_job SET state = 'failed'",
        "INSERT INTO models_app_variant VALUES (9, 'nobody-ordered-it')",
    ],
)
def test_jobs_that_are_lost_or_fail_and_strange_variants_are_seen(
    auditor: Auditor, database: sqlite3.Connection, change: str
) -> None:
    database.execute("INSERT INTO models_app_job VALUES (2, 'download', 'done', '', '{\"name\": \"two\"}')")
    auditor.look()
    assert auditor.wrong == []
    database.execute(f"{change} WHERE id = 1" if "INSERT" not in change else change)
    auditor.look()
    assert len(auditor.wrong) == 1, auditor.wrong
