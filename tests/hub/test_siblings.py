"""Headers of one repository's variants: the vocabulary is fetched once, and never taken for another's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from models_app.gguf import BadGguf, read_files
from models_app.hub.headers import OpenRange, Traffic
from models_app.hub.names import RemoteFile, contents
from models_app.hub.session import Hub
from models_app.hub.siblings import SiblingHeaders
from tests.gguf_builder import SHAPES, TINY, build
from tests.hub import HubServer, NoRanges, Stall
from tests.stack import wait_for

NAME = "owner/model-GGUF"
LARGE = SHAPES["llama-8b"]


def record(path: Path) -> RemoteFile:
    return RemoteFile(path.name, path.stat().st_size, None)


def serve(hub: HubServer, settings: Any, *paths: Path) -> OpenRange:
    settings.HUB_ENDPOINT = hub.endpoint
    hub.add(NAME, {path.name: path for path in paths}, sha256={path.name: "0" * 64 for path in paths})
    client = Hub(hub.endpoint)

    def open_range(path: str, start: int, end: int) -> Any:
        return client.open(NAME, "main", path, start, end, chunk_bytes=65_536)

    return open_range


@pytest.fixture
def vocabularies(llama_sdist: Path) -> Path:
    return llama_sdist / "vendor" / "llama.cpp" / "models"


@pytest.fixture
def vocabulary(vocabularies: Path) -> Path:
    return vocabularies / "ggml-vocab-llama-bpe.gguf"


def test_a_further_header_is_read_around_the_vocabulary(
    hub: HubServer, settings: Any, tmp_path: Path, vocabulary: Path
) -> None:
    paths = [
        build(tmp_path / f"m-{name}.gguf", LARGE, quantization=name, vocabulary=vocabulary)
        for name in ("Q4_0", "Q4_K_M", "Q8_0")
    ]
    siblings, whole, around = SiblingHeaders(serve(hub, settings, *paths)), Traffic(), Traffic()

    assert siblings.read_variant([record(paths[0])], whole) == read_files(paths[0])
    assert siblings.read_variant([record(paths[1])], around) == read_files(paths[1])
    assert siblings.read_variant([record(paths[2])]) == read_files(paths[2])
    assert (whole.n_requests, around.n_requests) == (1, 2)
    assert whole.n_bytes > 7_000_000
    assert around.n_bytes < 500_000
    assert len(hub.seen("cdn")) == 5


@pytest.mark.parametrize(
    "different",
    [
        {"vocabulary": "ggml-vocab-qwen2.gguf"},
        {"metadata": {"general.name": "a name of another length"}},
        {"metadata": {"tokenizer.ggml.scores": tuple(float(number) for number in range(2_000))}},
        {"metadata": {"general.another": "x" * 70_000}},
    ],
    ids=["another vocabulary", "a shift before it", "an array more", "a long value"],
)
def test_a_header_that_is_different_is_read_whole(
    hub: HubServer, settings: Any, tmp_path: Path, vocabularies: Path, vocabulary: Path, different: dict[str, Any]
) -> None:
    first = build(tmp_path / "first-Q4_0.gguf", LARGE, vocabulary=vocabulary)
    other = different.get("vocabulary")
    second = build(
        tmp_path / "second-Q4_0.gguf",
        LARGE,
        vocabulary=vocabularies / other if other else vocabulary,
        metadata=different.get("metadata"),
    )
    siblings = SiblingHeaders(serve(hub, settings, first, second))

    assert siblings.read_variant([record(first)]) == read_files(first)
    assert siblings.read_variant([record(second)]) == read_files(second)


def test_small_headers_take_one_request_each(hub: HubServer, settings: Any, tmp_path: Path) -> None:
    paths = [build(tmp_path / f"m-{name}.gguf", TINY[0], quantization=name) for name in ("Q4_0", "Q8_0")]
    siblings = SiblingHeaders(serve(hub, settings, *paths))

    for path in paths:
        assert siblings.read_variant([record(path)]) == read_files(path)
    assert len(hub.seen("cdn")) == 2


def test_shards_have_one_header_together(hub: HubServer, settings: Any, tmp_path: Path, vocabulary: Path) -> None:
    whole = build(tmp_path / "m-Q4_0.gguf", LARGE, vocabulary=vocabulary)
    first = build(tmp_path / "m-Q8_0.gguf", LARGE, quantization="Q8_0", vocabulary=vocabulary, split=3)
    shards = sorted(tmp_path.glob("m-Q8_0-*.gguf"))
    siblings = SiblingHeaders(serve(hub, settings, whole, *shards))
    (variant,) = contents([record(path) for path in shards]).variants

    assert siblings.read_variant([record(whole)]) == read_files(whole)
    assert siblings.read_variant(variant.files) == read_files(first)
    assert len(hub.seen("cdn")) == 1 + 2 + 2


def test_one_that_failed_leaves_the_whole_reading_to_the_next(
    hub: HubServer, settings: Any, tmp_path: Path, vocabulary: Path
) -> None:
    broken = tmp_path / "broken-Q4_0.gguf"
    broken.write_bytes(b"<!doctype html>" * 100)
    paths = [
        build(tmp_path / f"m-{name}.gguf", LARGE, quantization=name, vocabulary=vocabulary) for name in ("Q4_0", "Q8_0")
    ]
    siblings = SiblingHeaders(serve(hub, settings, broken, *paths))

    with pytest.raises(BadGguf):
        siblings.read_variant([record(broken)])
    for path in paths:
        assert siblings.read_variant([record(path)]) == read_files(path)
    with pytest.raises(BadGguf):
        siblings.read_variant([record(broken)])


def test_several_threads_read_one_whole_and_the_others_around_it(
    hub: HubServer, settings: Any, tmp_path: Path, vocabulary: Path
) -> None:
    names = ("Q4_0", "Q5_0", "Q8_0", "F16")
    paths = [build(tmp_path / f"m-{name}.gguf", LARGE, quantization=name, vocabulary=vocabulary) for name in names]
    siblings = SiblingHeaders(serve(hub, settings, *paths))

    with ThreadPoolExecutor(4) as pool:
        headers = list(pool.map(lambda path: siblings.read_variant([record(path)]), paths))
    assert headers == [read_files(path) for path in paths]
    assert len(hub.seen("cdn")) == 1 + 3 * 2


def test_a_server_that_ignores_ranges_is_understood(
    hub: HubServer, settings: Any, tmp_path: Path, vocabulary: Path
) -> None:
    paths = [
        build(tmp_path / f"m-{name}.gguf", LARGE, quantization=name, vocabulary=vocabulary) for name in ("Q4_0", "Q8_0")
    ]
    siblings = SiblingHeaders(serve(hub, settings, *paths))
    with hub.faults.during(NoRanges()):
        for path in paths:
            assert siblings.read_variant([record(path)]) == read_files(path)


def test_nobody_stands_still_behind_one_that_stalls(
    hub: HubServer, settings: Any, tmp_path: Path, vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models_app.hub.siblings.PATIENCE_SECONDS", 0.0)
    paths = [
        build(tmp_path / f"m-{name}.gguf", LARGE, quantization=name, vocabulary=vocabulary) for name in ("Q4_0", "Q8_0")
    ]
    siblings = SiblingHeaders(serve(hub, settings, *paths))
    hub.faults.add(Stall(path=paths[0].name, after_bytes=1000))
    with ThreadPoolExecutor(1) as pool:
        stalled = pool.submit(siblings.read_variant, [record(paths[0])])
        wait_for(lambda: hub.seen("cdn"), "the first request")
        assert siblings.read_variant([record(paths[1])]) == read_files(paths[1])
        hub.faults.go_on()
        assert stalled.result() == read_files(paths[0])
