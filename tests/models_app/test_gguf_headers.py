"""Sound headers: what they say, however their bytes arrive."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.gguf import BadGguf, Header, LongArray, ShardName, combine, parse, read_files, read_header, shard_paths
from tests.gguf_builder import SHAPES, Raw, build, header, key_value, tensor_row
from tests.models_app.conftest import Oracle
from tests.properties import examples


def feed(data: bytes, extra_bytes: int) -> tuple[Header, list[tuple[int, int]]]:
    """Parses `data`, giving `extra_bytes` more than asked for; the header and the (offset, length) of each request."""
    steps = parse(len(data))
    requests = []
    try:
        need = next(steps)
        while True:
            assert need.offset >= 0
            assert need.offset + need.n_bytes <= len(data)
            requests.append((need.offset, need.n_bytes))
            need = steps.send(data[need.offset : need.offset + need.n_bytes + extra_bytes])
    except StopIteration as done:
        return done.value, requests


def test_the_starter_says_what_it_is(starter_path: Path) -> None:
    found = read_files(starter_path)
    assert found.architecture == "llama"
    assert found.n_layers == 30
    assert found.n_ctx_train == 8192
    assert found.n_embd == 576
    assert found.n_heads == (9,) * 30
    assert found.n_kv_heads == (3,) * 30
    assert found.key_length == found.value_length == 64
    assert found.n_vocab == 49152
    assert found.quantization == "Q4_1"
    assert found.n_params == 134_515_008
    assert found.size_label == "135M"
    assert found.licence == "apache-2.0"
    assert found.chat_template is not None
    assert "<|im_start|>" in found.chat_template
    assert found.sliding_window is found.n_experts is found.split_count is None
    assert len(found.tensors) == 272
    assert {tensor.layer for tensor in found.tensors} == {None, *range(30)}
    assert found.size_bytes == starter_path.stat().st_size


def test_every_real_header_is_read_as_llama_cpp_reads_it(
    starter_path: Path, vocabularies: list[Path], oracle: Oracle, tmp_path: Path
) -> None:
    assert len(vocabularies) >= 19
    synthetic = [build(tmp_path / f"{shape.name}.gguf", shape) for shape in SHAPES.values()]
    paths = [starter_path, *vocabularies, *synthetic]
    for path, truth in zip(paths, oracle(paths), strict=True):
        assert truth is not None, path
        found = read_files(path)
        assert found.version == truth["version"]
        assert found.alignment == truth["alignment"]
        assert found.data_offset == truth["data_offset"]
        assert list(found.metadata) == truth["keys"]
        mine = [[tensor.name, tensor.type.number, tensor.offset, tensor.n_bytes] for tensor in found.tensors]
        assert mine == truth["tensors"], path


def test_big_arrays_are_left_in_the_file_and_can_be_read_there(starter_path: Path) -> None:
    tokens = read_files(starter_path).metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, LongArray)
    assert (tokens.element_type, tokens.n_elements) == (8, 49152)
    with starter_path.open("rb") as file:
        file.seek(tokens.offset)
        raw = file.read(tokens.n_bytes)
    position, words = 0, []
    while position < len(raw):
        (length,) = struct.unpack_from("<Q", raw, position)
        words.append(raw[position + 8 : position + 8 + length].decode())
        position += 8 + length
    assert len(words) == 49152
    assert words[:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def test_small_values_of_every_type_come_back() -> None:
    numbers = {
        "u8": (0, "<B", 200),
        "i8": (1, "<b", -100),
        "u16": (2, "<H", 60000),
        "i16": (3, "<h", -30000),
        "u32": (4, "<I", 4_000_000_000),
        "i32": (5, "<i", -2_000_000_000),
        "f32": (6, "<f", 0.5),
        "bool": (7, "<?", True),
        "u64": (10, "<Q", 1 << 63),
        "i64": (11, "<q", -(1 << 62)),
        "f64": (12, "<d", 1e300),
    }
    entries = [key_value(key, Raw(kind, struct.pack(form, value))) for key, (kind, form, value) in numbers.items()]
    entries += [
        key_value(f"many {key}", Raw(9, struct.pack("<IQ", kind, 2) + struct.pack(form, value) * 2))
        for key, (kind, form, value) in numbers.items()
    ]
    entries += [
        key_value("text", "größe"),
        key_value("texts", ("a", "")),
        key_value("none", Raw(9, struct.pack("<IQ", 8, 0))),
    ]
    data = header(entries)
    found = read_header(io.BytesIO(data), len(data))
    for key, (_, _, value) in numbers.items():
        assert found.metadata[key] == value
        assert found.metadata[f"many {key}"] == (value, value)
    assert found.text("text") == "größe"
    assert found.metadata["texts"] == ("a", "")
    assert found.metadata["none"] == ()


def test_text_that_is_not_utf8_does_not_make_a_value_unreadable() -> None:
    data = header([key_value("general.name", Raw(8, struct.pack("<Q", 3) + b"a\xffb"))])
    assert read_header(io.BytesIO(data), len(data)).name == "a\ufffdb"


def test_facts_of_a_wrong_type_are_unknown() -> None:
    data = header(
        [
            key_value("general.architecture", "llama"),
            key_value("llama.block_count", "thirty"),
            key_value("llama.context_length", True),
            key_value("general.tags", 5),
            key_value("tokenizer.chat_template", 1),
        ]
    )
    found = read_header(io.BytesIO(data), len(data))
    assert found.n_layers is found.n_ctx_train is found.chat_template is found.n_kv_heads is found.n_params is None
    assert found.tags == ()


def test_an_absurd_layer_count_builds_nothing() -> None:
    data = header(
        [
            key_value("general.architecture", "llama"),
            key_value("llama.block_count", 4_000_000_000),
            key_value("llama.attention.head_count", 8),
        ]
    )
    assert read_header(io.BytesIO(data), len(data)).n_heads is None


def test_heads_are_told_per_layer(tmp_path: Path) -> None:
    hybrid = read_files(build(tmp_path / "jamba.gguf", SHAPES["tiny-jamba"]))
    assert hybrid.n_kv_heads == (0, 0, 2, 0, 0, 0, 2, 0)
    assert read_files(build(tmp_path / "mqa.gguf", SHAPES["tiny-mqa"])).n_kv_heads == (1,) * 4


@examples(40)
@given(extra_bytes=st.integers(0, 5000))
def test_bytes_may_arrive_in_pieces_of_any_size(extra_bytes: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "pieces.gguf"
    if not path.exists():
        build(
            path, SHAPES["tiny-gqa"], vocabulary="synthetic", metadata={"long": tuple(f"word {n}" for n in range(3000))}
        )
    data = path.read_bytes()
    found, _ = feed(data, extra_bytes)
    assert found == read_header(io.BytesIO(data), len(data))


def test_an_ordinary_header_takes_one_request_of_four_megabytes(starter_path: Path) -> None:
    _, requests = feed(starter_path.read_bytes(), extra_bytes=4 * 1024 * 1024)
    assert len(requests) == 1


def test_fixed_size_arrays_are_skipped_without_asking_for_their_bytes() -> None:
    scores = Raw(9, struct.pack("<IQ", 6, 1_000_000) + b"\0" * 4_000_000)
    data = header([key_value("scores", scores), key_value("general.name", "after")])
    found, requests = feed(data, extra_bytes=0)
    assert found.name == "after"
    assert sum(length for _, length in requests) < 200


def test_split_files_read_as_one(tmp_path: Path) -> None:
    whole = read_files(build(tmp_path / "whole.gguf", SHAPES["tiny-gqa"]))
    first = build(tmp_path / "model.gguf", SHAPES["tiny-gqa"], split=3)
    assert first.name == "model-00001-of-00003.gguf"
    for path in shard_paths(first):
        folded = read_files(path)
        assert [(t.name, t.shape, t.n_bytes) for t in folded.tensors] == [
            (t.name, t.shape, t.n_bytes) for t in whole.tensors
        ]
        assert {tensor.shard for tensor in folded.tensors} == {0, 1, 2}
        assert folded.n_params == whole.n_params
        assert folded.size_bytes == sum(path.stat().st_size for path in shard_paths(first))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    first = build(tmp_path / "model.gguf", SHAPES["tiny-gqa"], split=3)
    shard_paths(first)[1].unlink()
    with pytest.raises(FileNotFoundError) as caught:
        read_files(first)
    assert str(caught.value.filename).endswith("model-00002-of-00003.gguf")


def test_shards_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    first = build(tmp_path / "model.gguf", SHAPES["tiny-gqa"], split=3)
    headers = [read_header(io.BytesIO(path.read_bytes()), path.stat().st_size) for path in shard_paths(first)]
    for wrong in (
        [headers[0]],
        headers[:2],
        [headers[0], headers[2], headers[1]],
        [headers[0], headers[1], headers[1]],
    ):
        with pytest.raises(BadGguf):
            combine(wrong)


def test_a_shard_under_another_name_is_refused(tmp_path: Path) -> None:
    first = build(tmp_path / "model.gguf", SHAPES["tiny-gqa"], split=2)
    lonely = first.rename(tmp_path / "lonely.gguf")
    with pytest.raises(BadGguf, match="split into 2 files"):
        read_files(lonely)


def test_shard_names_are_told_from_others() -> None:
    assert ShardName.parse("a-b-00002-of-00010.gguf") == ShardName("a-b", 2, 10)
    for name in (
        "a.gguf",
        "a-1-of-2.gguf",
        "a-00003-of-00002.gguf",
        "a-00000-of-00002.gguf",
        "-00001-of-00002.gguf.part",
    ):
        assert ShardName.parse(name) is None


def test_tensors_without_dimensions_are_single_numbers() -> None:
    head = header([key_value("general.architecture", "llama")], [tensor_row("scale", (), 0, 0)])
    data = head + b"\0" * (-len(head) % 32 + 4)
    (tensor,) = read_header(io.BytesIO(data), len(data)).tensors
    assert (tensor.n_elements, tensor.n_bytes) == (1, 4)
