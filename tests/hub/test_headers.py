"""Headers of files that are not here: few requests, few bytes, and nothing taken on trust."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models_app.gguf import BadGguf, read_files
from models_app.hub.errors import ConnectionDropped
from models_app.hub.headers import FIRST_RANGE_BYTES, OpenRange, RangeBody, Traffic, read_file
from models_app.hub.names import RemoteFile
from models_app.hub.session import Hub
from tests.gguf_builder import SHAPES, TINY, Shape, broken, build
from tests.hub import Cut, HubServer, NoRanges

NAME = "owner/model-GGUF"


def record(path: Path) -> RemoteFile:
    return RemoteFile(path.name, path.stat().st_size, None)


def serve(hub: HubServer, settings: Any, *paths: Path) -> OpenRange:
    settings.HUB_ENDPOINT = hub.endpoint
    hub.add(NAME, {path.name: path for path in paths}, sha256={path.name: "0" * 64 for path in paths})
    client = Hub(hub.endpoint)

    def open_range(path: str, start: int, end: int) -> Any:
        return client.open(NAME, "main", path, start, end, chunk_bytes=65_536)

    return open_range


@dataclass(frozen=True)
class LocalBody:
    start: int
    chunks: Iterator[bytes]


def locally(folder: Path, chunk_bytes: int = 1000, ignore_start: bool = False) -> OpenRange:
    @contextmanager
    def open_range(path: str, start: int, end: int) -> Iterator[RangeBody]:
        raw = (folder / path).read_bytes()[0 if ignore_start else start : end]
        yield LocalBody(
            0 if ignore_start else start, (raw[at : at + chunk_bytes] for at in range(0, len(raw), chunk_bytes))
        )

    return open_range


def test_an_ordinary_header_takes_one_range_and_little_more_than_its_own_bytes(
    hub: HubServer, settings: Any, starter_path: Path
) -> None:
    reading = Traffic()
    header = read_file(serve(hub, settings, starter_path), record(starter_path), reading)

    assert header == read_files(starter_path)
    assert reading.n_requests == 1
    assert len(hub.seen("cdn")) == 1
    assert reading.n_bytes < header.data_offset + (1 << 20)


def test_a_header_that_is_longer_than_the_first_range_is_read_on(tmp_path: Path, tiny: Shape) -> None:
    padding = ("x" * 4_000_000,) * 10
    path = build(
        tmp_path / "long.gguf", tiny, metadata={f"general.note{n}": text for n, text in enumerate(padding[:7])}
    )
    whole = read_files(path)
    path_2 = build(tmp_path / "longer.gguf", tiny, metadata={"tokenizer.ggml.tokens": tuple(["y" * 30_000] * 1200)})
    reading = Traffic()

    assert read_file(locally(tmp_path, 1 << 20), record(path)) == whole
    assert read_file(locally(tmp_path, 1 << 20), record(path_2), reading) == read_files(path_2)
    assert path_2.stat().st_size > FIRST_RANGE_BYTES
    assert reading.n_requests == 2


@pytest.fixture
def tiny() -> Shape:
    return TINY[0]


@pytest.mark.parametrize("chunk_bytes", [1, 7, 4096])
def test_it_does_not_matter_how_the_bytes_are_cut(tmp_path: Path, tiny: Shape, chunk_bytes: int) -> None:
    path = build(tmp_path / "m.gguf", tiny, vocabulary="synthetic")

    assert read_file(locally(tmp_path, chunk_bytes), record(path)) == read_files(path)
    assert read_file(locally(tmp_path, chunk_bytes, ignore_start=True), record(path)) == read_files(path)


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(
    hub: HubServer, settings: Any, starter_path: Path
) -> None:
    hub.faults.add(NoRanges())
    assert read_file(serve(hub, settings, starter_path), record(starter_path)) == read_files(starter_path)


def test_a_connection_that_is_cut_off_is_followed_by_another_and_not_for_ever(
    hub: HubServer, settings: Any, starter_path: Path
) -> None:
    open_range, file = serve(hub, settings, starter_path), record(starter_path)
    hub.faults.add(Cut(after_bytes=100_000), Cut(after_bytes=100_000))
    assert read_file(open_range, file) == read_files(starter_path)
    assert next(seen.range for seen in hub.seen("cdn")) == f"bytes=0-{FIRST_RANGE_BYTES - 1}"
    assert len({seen.range for seen in hub.seen("cdn")}) == 3

    hub.faults.add(Cut(after_bytes=100_000, times=None))
    with pytest.raises(ConnectionDropped):
        read_file(open_range, file)


def test_an_80_layer_header_is_read_from_a_hole_of_a_file(hub: HubServer, settings: Any, tmp_path: Path) -> None:
    path = build(tmp_path / "large.gguf", SHAPES["llama-70b"])
    assert path.stat().st_size > 4 << 30
    header = read_file(serve(hub, settings, path), record(path))

    assert header == read_files(path)


@pytest.mark.parametrize("what", sorted(broken()))
def test_what_is_refused_on_the_disk_is_refused_here(tmp_path: Path, what: str) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(broken()[what])

    with pytest.raises(BadGguf):
        read_file(locally(tmp_path), record(path))


def test_a_record_that_promises_more_than_comes_is_an_error(tmp_path: Path, tiny: Shape) -> None:
    path = build(tmp_path / "m.gguf", tiny)
    (tmp_path / "cut.gguf").write_bytes(path.read_bytes()[:300])

    with pytest.raises(BadGguf, match="ends inside"):
        read_file(locally(tmp_path), RemoteFile("cut.gguf", path.stat().st_size, None))
