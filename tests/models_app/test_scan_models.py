from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from models_app.catalog.register import add_model
from models_app.intake.scan import ScanReport, scan_models
from models_app.models import Shard, Variant
from tests.gguf_builder import SHAPES, broken, build

pytestmark = pytest.mark.django_db


def found(report: ScanReport) -> dict[str, list[str]]:
    """What the report says, without what is empty."""
    kinds = ("added", "missing", "returned", "moved", "changed", "broken", "unchanged")
    return {kind: getattr(report, kind) for kind in kinds if getattr(report, kind)}


def test_new_files_are_added_from_all_folders_below(tmp_path: Path) -> None:
    build(tmp_path / "one.gguf", SHAPES["tiny-gqa"])
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    build(tmp_path / "deep" / "deeper" / "two.GGUF", SHAPES["tiny-moe"])
    build(tmp_path / "deep" / "three.gguf", SHAPES["tiny-mla"], split=3)
    report = scan_models(tmp_path)
    assert sorted(report.added) == ["one-Q4_0", "three-Q4_0", "two-Q4_0"]
    assert report.refused == {}
    assert found(scan_models(tmp_path)) == {"unchanged": ["one-Q4_0", "three-Q4_0", "two-Q4_0"]}


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    build(tmp_path / ".cache" / "hidden.gguf", SHAPES["tiny-gqa"])
    build(tmp_path / ".hidden.gguf", SHAPES["tiny-gqa"])
    build(tmp_path / "coming.gguf.part", SHAPES["tiny-gqa"])
    (tmp_path / "readme.md").write_text("hello")
    report = scan_models(tmp_path)
    assert found(report) == {}
    assert report.refused == {}


def test_files_that_cannot_be_added_are_reported_and_do_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a-broken.gguf").write_bytes(broken()["truncated body"])
    first = build(tmp_path / "b-incomplete.gguf", SHAPES["tiny-gqa"], split=3)
    first.with_name("b-incomplete-00003-of-00003.gguf").unlink()
    build(tmp_path / "c-good.gguf", SHAPES["tiny-gqa"])
    (tmp_path / "d-folder.gguf").mkdir()
    (tmp_path / "e-nowhere.gguf").symlink_to(tmp_path / "nowhere")
    report = scan_models(tmp_path)
    assert report.added == ["c-good-Q4_0"]
    assert list(report.refused) == [str(tmp_path / "a-broken.gguf"), str(first), str(tmp_path / "e-nowhere.gguf")]
    assert "incomplete" in report.refused[str(tmp_path / "a-broken.gguf")]
    assert "b-incomplete-00003-of-00003.gguf is missing" in report.refused[str(first)]


def test_a_name_that_is_not_utf8_stops_no_scan(tmp_path: Path) -> None:
    good = build(tmp_path / "good.gguf", SHAPES["tiny-gqa"])
    os.link(good, os.fsencode(tmp_path) + b"/bad\xff.gguf")
    out = StringIO()
    call_command("scan_models", str(tmp_path), stdout=out)
    told = out.getvalue().encode().decode()
    assert "Added good-Q4_0." in told
    assert f"Not added: {tmp_path}/bad\N{REPLACEMENT CHARACTER}.gguf: its path is too long or not valid UTF-8" in told


def test_what_is_no_ordinary_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    report = scan_models(tmp_path)
    assert report.refused == {str(tmp_path / "pipe.gguf"): "it is no ordinary file"}


def test_a_variant_whose_file_goes_is_marked_and_comes_back(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    variant = add_model(path).variant
    away = path.rename(tmp_path / "tiny.gguf.away")
    assert found(scan_models(tmp_path)) == {"missing": ["tiny-Q4_0"]}
    variant.refresh_from_db()
    since = variant.missing_since
    assert since is not None
    assert not variant.is_usable
    scan_models(tmp_path)
    variant.refresh_from_db()
    assert variant.missing_since == since
    away.rename(path)
    assert found(scan_models(tmp_path)) == {"returned": ["tiny-Q4_0"]}
    variant.refresh_from_db()
    assert variant.is_usable


def test_one_missing_shard_makes_the_variant_missing(tmp_path: Path) -> None:
    first = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], split=2)
    add_model(first)
    second = first.with_name("tiny-00002-of-00002.gguf")
    second.rename(tmp_path / "away")
    report = scan_models(tmp_path)
    assert found(report) == {"missing": ["tiny-Q4_0"]}
    assert report.refused == {}
    assert Shard.objects.count() == 2


def test_variants_outside_the_folder_are_looked_at_too(tmp_path: Path, starter_path: Path) -> None:
    add_model(starter_path)
    assert found(scan_models(tmp_path / "not-there-yet")) == {"unchanged": ["SmolLM2-135M-Instruct-Q4_1"]}


def test_a_moved_file_keeps_its_variant(tmp_path: Path) -> None:
    variant = add_model(build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"], split=2), name="mine").variant
    Variant.objects.update(pinned=True)
    (tmp_path / "elsewhere").mkdir()
    for path in tmp_path.glob("*.gguf"):
        path.rename(tmp_path / "elsewhere" / path.name.replace("tiny", "renamed"))
    assert found(scan_models(tmp_path)) == {"moved": ["mine"]}
    variant.refresh_from_db()
    assert variant.pinned
    assert variant.missing_since is None
    paths = [shard.path for shard in variant.shards.all()]
    assert paths == [str(path) for path in sorted((tmp_path / "elsewhere").iterdir())]
    assert Variant.objects.count() == 1


def test_two_files_that_swap_places_keep_their_own_facts(tmp_path: Path) -> None:
    dense = build(tmp_path / "dense.gguf", SHAPES["tiny-gqa"])
    latent = build(tmp_path / "latent.gguf", SHAPES["tiny-mla"])
    first, second = add_model(dense).variant, add_model(latent).variant
    dense.rename(tmp_path / "x")
    latent.rename(dense)
    (tmp_path / "x").rename(latent)
    assert found(scan_models(tmp_path)) == {"changed": ["dense-Q4_0", "latent-Q4_0"]}
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.architecture, second.architecture) == ("deepseek2", "llama")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    variant = add_model(path).variant
    build(path, SHAPES["tiny-moe"])
    assert found(scan_models(tmp_path)) == {"changed": ["tiny-Q4_0"]}
    n_params = variant.n_params
    variant.refresh_from_db()
    assert variant.n_params != n_params
    assert variant.size_bytes == path.stat().st_size == variant.shards.get().size_bytes


def test_a_file_that_breaks_is_marked_and_heals(tmp_path: Path) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    variant = add_model(path).variant
    sound = path.read_bytes()
    path.write_bytes(sound[:-500])
    for _ in range(2):
        assert found(scan_models(tmp_path)) == {"broken": ["tiny-Q4_0"]}
    variant.refresh_from_db()
    assert "incomplete" in variant.problem
    assert not variant.is_usable
    path.write_bytes(sound)
    report = scan_models(tmp_path)
    assert found(report) == {"changed": ["tiny-Q4_0"]}
    variant.refresh_from_db()
    assert variant.is_usable


def test_no_wish_is_touched_and_no_row_deleted(tmp_path: Path) -> None:
    for number in range(3):
        add_model(build(tmp_path / f"{number}.gguf", SHAPES["tiny-gqa"]))
    wishes: dict[str, Any] = {"n_ctx_seq": 128, "n_seq_max": 2, "n_gpu_layers": 7, "pinned": True, "enabled": False}
    Variant.objects.update(**wishes)
    (tmp_path / "0.gguf").unlink()
    build(tmp_path / "1.gguf", SHAPES["tiny-moe"])
    (tmp_path / "2.gguf").write_bytes(b"not a gguf at all, whatever its name")
    scan_models(tmp_path)
    assert Variant.objects.filter(**wishes).count() == 3
    assert Shard.objects.count() == 3


def test_an_unchanged_inventory_costs_a_handful_of_queries(tmp_path: Path, django_assert_max_num_queries: Any) -> None:
    for number in range(20):
        add_model(build(tmp_path / f"{number}.gguf", SHAPES["tiny-gqa"]))
    with django_assert_max_num_queries(4):
        assert len(scan_models(tmp_path).unchanged) == 20


def test_the_command_scans_the_data_folder_and_speaks_in_sentences(tmp_path: Path, settings: Any) -> None:
    settings.MODELS_DIR = tmp_path / "models"
    (tmp_path / "models").mkdir()
    build(tmp_path / "models" / "tiny.gguf", SHAPES["tiny-gqa"])
    (tmp_path / "models" / "page.gguf").write_bytes(broken()["an html page"])
    out = StringIO()
    call_command("scan_models", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "Added tiny-Q4_0."
    assert lines[1].startswith(f"Not added: {tmp_path / 'models' / 'page.gguf'}: this is not a GGUF file")
    assert lines[2] == "Unchanged: 0."


def test_the_command_prints_json(tmp_path: Path) -> None:
    build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    out = StringIO()
    call_command("scan_models", str(tmp_path), "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert report["added"] == ["tiny-Q4_0"]
    assert report["missing"] == report["unchanged"] == []
    assert report["refused"] == {}


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not a folder"):
        call_command("scan_models", str(tmp_path / "nowhere"))


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    os.symlink(tmp_path, tmp_path / "loop")
    assert scan_models(tmp_path).added == ["tiny-Q4_0"]
