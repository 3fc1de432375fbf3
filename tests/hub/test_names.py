"""Which files of a repository are offered, as what, and which are refused."""

from __future__ import annotations

import pytest

from models_app.hub.names import RemoteFile, contents, fault, local_name
from models_app.models import validate_variant_name


def files(*paths: str, size_bytes: int = 10) -> list[RemoteFile]:
    return [RemoteFile(path, size_bytes, "a" * 64) for path in paths]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../model.gguf", "climbs"),
        ("a/../../model.gguf", "climbs"),
        ("a//model.gguf", "climbs"),
        ("./model.gguf", "climbs"),
        ("/etc/model.gguf", "absolute"),
        ("~/model.gguf", "absolute"),
        ("C:/model.gguf", "absolute"),
        ("\\\\server\\model.gguf", "absolute"),
        ("a\\model.gguf", "backslash"),
        ("CON.gguf", "reserved"),
        ("nul/model.gguf", "reserved"),
        ("a/com1.Q4_0.gguf", "reserved"),
        ("LPT9.gguf", "reserved"),
        ("a./model.gguf", "blank or a dot"),
        (" model.gguf", "blank or a dot"),
        ("mod\0el.gguf", "invisible"),
        ("mod\nel.gguf", "invisible"),
        ("mod\u202eel.gguf", "invisible"),
        ("", "empty"),
        ("mo:del.gguf", "forbid"),
        ("m" * 256 + ".gguf", "too long"),
        ("m/" * 600 + "m.gguf", "too long"),
        ("m\ud800.gguf", "not valid text"),
    ],
)
def test_a_hostile_name_is_refused_with_the_reason(path: str, reason: str) -> None:
    told = fault(path)
    assert told is not None
    assert reason in told
    if path.endswith(".gguf"):
        (refused,) = contents(files(path)).refused
        assert refused.reason == told


@pytest.mark.parametrize(
    "path", ["model.gguf", "Q4_K_M/model-00001-of-00002.gguf", "модель.gguf", "console.gguf", "a.b-c (1).gguf"]
)
def test_an_ordinary_name_is_taken(path: str) -> None:
    assert fault(path) is None


def test_names_that_some_file_system_takes_for_one_are_refused_together() -> None:
    found = contents(files("Model-Q4_0.gguf", "model-q4_0.GGUF", "caf\u00e9.gguf", "cafe\u0301.gguf", "other.gguf"))

    assert [variant.key for variant in found.variants] == ["other.gguf"]
    assert sorted(path for refused in found.refused for path in refused.paths) == sorted(
        ["Model-Q4_0.gguf", "model-q4_0.GGUF", "caf\u00e9.gguf", "cafe\u0301.gguf"]
    )


def test_shards_are_one_variant_in_their_order() -> None:
    found = contents(files(*(f"Q8_0/m-{number:05d}-of-00003.gguf" for number in (3, 1, 2)), "m-Q4_0.gguf"))

    small, large = found.variants
    assert (small.key, small.quantization, small.size_bytes) == ("m-Q4_0.gguf", "Q4_0", 10)
    assert (large.key, large.quantization, large.size_bytes) == ("Q8_0/m.gguf", "Q8_0", 30)
    assert [file.path[-14:-5] for file in large.files] == ["-of-00003"] * 3
    assert [file.path for file in large.files] == sorted(file.path for file in large.files)


@pytest.mark.parametrize(
    "paths",
    [
        ("m-00001-of-00003.gguf", "m-00003-of-00003.gguf"),
        ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m.gguf"),
        ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "m-00003-of-00003.gguf"),
        ("m-00001-of-99999.gguf",),
    ],
)
def test_an_incomplete_or_ambiguous_split_is_refused_whole(paths: tuple[str, ...]) -> None:
    found = contents(files(*paths))

    assert found.variants == ()
    assert sorted(path for refused in found.refused for path in refused.paths) == sorted(paths)


def test_files_that_are_no_models_are_told_apart() -> None:
    found = contents(files("mmproj-model-f16.gguf", "model-imatrix.gguf", "lora-x.gguf", "README.md", "model.gguf"))

    assert [variant.key for variant in found.variants] == ["model.gguf"]
    assert [refused.paths[0] for refused in found.others] == [
        "mmproj-model-f16.gguf",
        "model-imatrix.gguf",
        "lora-x.gguf",
    ]
    assert found.refused == ()


@pytest.mark.parametrize(
    ("repository", "key", "name"),
    [
        ("bartowski/Some-3B-GGUF", "Some-3B-Q4_K_M.gguf", "Some-3B-Q4_K_M"),
        ("unsloth/Some-3B-GGUF", "Q4_K_M/model.gguf", "Some-3B-Q4_K_M"),
        ("x/Some-3B-GGUF", "ggml-model-q4_0.gguf", "Some-3B-Q4_0"),
        ("x/Some_3B.gguf", "q8_0.gguf", "Some_3B-Q8_0"),
        ("x/y", "модель 7 (new).gguf", "7-new"),
        ("x/y", "模型.gguf", "y"),
        ("x/模型", "模型.gguf", "model"),
    ],
)
def test_the_local_name_is_ours_and_tells_the_model(repository: str, key: str, name: str) -> None:
    assert local_name(repository, key) == name
    validate_variant_name(name)
