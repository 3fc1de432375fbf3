"""Hostile and broken files end in BadGguf: quickly, in little memory, and never in anything else."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from models_app.gguf import BadGguf, Header, parse, read_header
from models_app.gguf.values import MOST_BUILT_BYTES, MOST_STRINGS
from models_app.memory import Allocation, Cells, estimate, kv_bytes_per_token
from tests.gguf_builder import SHAPES, Raw, broken, build, header, key_value, tensor_row
from tests.models_app.conftest import Oracle
from tests.properties import examples

BROKEN = broken()


def read(data: bytes) -> Header:
    return read_header(io.BytesIO(data), len(data))


class Zeros(io.RawIOBase):
    """A file of `size_bytes` that begins with `head` and goes on with zeros; counts what was read of it."""

    def __init__(self, head: bytes, size_bytes: int) -> None:
        self.head, self.size_bytes, self.position, self.bytes_read = head, size_bytes, 0, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        size = min(size, self.size_bytes - self.position)
        piece = self.head[self.position : self.position + size]
        self.position += size
        self.bytes_read += size
        return piece + b"\0" * (size - len(piece))


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files_are_refused_with_a_reason_and_a_place(what: str) -> None:
    data = BROKEN[what]
    with pytest.raises(BadGguf) as caught:
        read(data)
    assert len(caught.value.reason) > 10
    assert 0 <= caught.value.offset <= len(data)
    assert (f"(at byte {caught.value.offset})" in str(caught.value)) == (caught.value.offset > 0)


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files_are_refused_in_little_memory(what: str) -> None:
    data = BROKEN[what]
    tracemalloc.start()
    try:
        with pytest.raises(BadGguf):
            read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 256 * 1024 + 4 * len(data)


def test_every_cut_of_a_sound_file_is_refused(tmp_path: Path) -> None:
    data = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"]).read_bytes()
    whole = read(data)
    for length in (*range(0, whole.data_offset, 7), whole.data_offset, len(data) // 2, len(data) - 33):
        with pytest.raises(BadGguf):
            read(data[:length])


def test_a_server_that_sends_less_than_it_announced_is_noticed(tmp_path: Path) -> None:
    data = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"]).read_bytes()
    steps = parse(len(data))
    next(steps)
    with pytest.raises(BadGguf, match="ends inside"):
        steps.send(data[:10])


def test_endless_empty_strings_stop_at_a_bound() -> None:
    count = 1 << 29
    head = header([key_value("tokens", Raw(9, struct.pack("<IQ", 8, count)))])
    file = Zeros(head, 1 << 40)
    with pytest.raises(BadGguf, match="strings"):
        read_header(file, file.size_bytes)
    assert file.bytes_read < 8 << 20


def test_many_long_vocabularies_stop_at_the_same_bound() -> None:
    each = MOST_STRINGS // 8
    array = struct.pack("<IQ", 8, each) + b"\0" * (8 * each)
    data = header([key_value(f"tokens {number}", Raw(9, array)) for number in range(9)])
    with pytest.raises(BadGguf, match="strings"):
        read(data)


def test_a_gigabyte_of_text_is_not_kept() -> None:
    head = header([key_value("general.name", Raw(8, struct.pack("<Q", 1 << 30)))])
    file = Zeros(head, 1 << 40)
    tracemalloc.start()
    try:
        with pytest.raises(BadGguf, match="at most"):
            read_header(file, file.size_bytes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert file.bytes_read < 8 << 20


def test_text_in_many_small_pieces_stops_at_a_bound() -> None:
    piece = "x" * (1 << 20)
    entries = [key_value(f"key {number}", piece) for number in range(MOST_BUILT_BYTES // len(piece) + 1)]
    with pytest.raises(BadGguf, match="more than"):
        read(header(entries))


def test_memory_stays_bounded_for_a_very_long_tensor_table() -> None:
    rows = [tensor_row(f"{number:063d}", (1,), 0, number * 32) for number in range(20_000)]
    head = header([key_value("general.architecture", "llama")], rows)
    file = Zeros(head, len(head) + (1 << 30))
    tracemalloc.start()
    try:
        assert len(read_header(file, file.size_bytes).tensors) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, starter_path: Path, vocabularies: list[Path]) -> list[bytes]:
    """Heads of real and synthetic files, long enough to hold the whole header where that is small."""
    folder = tmp_path_factory.mktemp("sound")
    shapes = [build(folder / f"{shape.name}.gguf", shape) for shape in SHAPES.values() if shape.name.startswith("tiny")]
    heads = []
    for path in [*shapes, starter_path, *vocabularies]:
        with path.open("rb") as file:
            heads.append(file.read(128 * 1024))
    return heads


_slow_is_fine = examples(300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_slow_is_fine
@given(st.data())
def test_mutated_real_files_are_read_or_refused(sound: list[bytes], data: st.DataObject) -> None:
    mutated = bytearray(data.draw(st.sampled_from(sound)))
    reach = data.draw(st.sampled_from([64, 1024, 16 * 1024, len(mutated)]))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, min(reach, len(mutated)) - 8))
        patch = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([(1 << 64) - 1, 1 << 63, 1 << 40, 1 << 31, 0]).map(lambda n: struct.pack("<Q", n)),
            )
        )
        mutated[at : at + len(patch)] = patch
    size_bytes = data.draw(st.sampled_from([len(mutated), len(mutated) // 2, 1 << 40]))
    file = Zeros(bytes(mutated), size_bytes)
    refusal, found = None, None
    try:
        found = read_header(file, size_bytes)
    except BadGguf as error:
        refusal = error
    assert file.bytes_read <= 64 << 20
    if refusal is not None:
        assert 0 <= refusal.offset <= size_bytes
    if found is not None:
        assert all(
            found.data_offset <= tensor.offset <= size_bytes - tensor.n_bytes and tensor.n_bytes > 0
            for tensor in found.tensors
        )
        _touch_every_fact(found)


def _touch_every_fact(found: Header) -> None:
    for name in dir(found):
        if not name.startswith("_"):
            getattr(found, name)
    kv_bytes_per_token(found)
    estimate(found, Allocation(Cells(4096, 2)))


@_slow_is_fine
@given(st.binary(max_size=400))
def test_noise_after_the_magic_is_refused_or_empty(noise: bytes) -> None:
    try:
        found = read(b"GGUF" + noise)
    except BadGguf:
        return
    _touch_every_fact(found)


def test_whatever_is_accepted_llama_cpp_accepts_too(oracle: Oracle, tmp_path: Path) -> None:
    """Mutations, one per byte of a small header: none that we let through may be refused by llama.cpp."""
    original = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"]).read_bytes()
    end = read(original).data_offset
    accepted = []
    for at in range(0, end, 3):
        for byte in (0x00, 0x01, 0xFF):
            mutated = bytearray(original)
            mutated[at] = byte
            try:
                read(bytes(mutated))
            except BadGguf:
                continue
            accepted.append(tmp_path / f"{at}-{byte}.gguf")
            with accepted[-1].open("wb") as file:
                file.write(mutated[:end])
                file.truncate(len(mutated))
    assert len(accepted) > 100
    refused = [path.name for path, truth in zip(accepted, oracle(accepted), strict=True) if truth is None]
    assert refused == []
