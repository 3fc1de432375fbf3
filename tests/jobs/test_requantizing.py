"""The kind `requantize`, with the real llama.cpp: what it makes, and what it leaves behind however it ends."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from inference.core.planning.recipe import Recipe
from inference.engine.tools import quantize
from inference.jobs import register_kinds
from inference.jobs import requantize as requantize_job
from inference.jobs.orders import Order, base_name, proposed_name
from models_app import jobs
from models_app.catalog import register
from models_app.catalog.register import add_model
from models_app.intake.scan import scan_models
from models_app.jobs.runner import Runner
from models_app.models import Job, Variant
from tests.gguf_builder import TINY, build

SHAPE = next(shape for shape in TINY if shape.name == "tiny-gqa")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any, db: None) -> Path:
    settings.MODELS_DIR = tmp_path / "models"
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    settings.DISK_RESERVE_BYTES = 0
    return Path(settings.MODELS_DIR)


@pytest.fixture
def source(tmp_path: Path) -> Variant:
    return add_model(build(tmp_path / "tiny-F16.gguf", SHAPE, quantization="F16", body="random")).variant


def order(source: Variant, recipe: Recipe, **others: Any) -> Job:
    made = Order(source.pk, proposed_name(source.name, recipe), recipe, **others)
    return jobs.start("requantize", made.to_json(), "A test", variant=source)


def done(job: Job) -> Job:
    Runner("box", send=lambda _: None).work(job.pk)
    return Job.objects.get(pk=job.pk)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_variant_comes_of_it_with_its_digest_and_where_it_came_from(source: Variant, folder: Path) -> None:
    job = done(order(source, Recipe("Q4_K_M")))
    assert (job.state, job.reason) == (Job.State.DONE, "")
    made = job.variant
    assert made is not None
    assert (made.name, made.quantization, made.origin) == ("tiny-Q4_K_M", "Q4_K_M", Variant.Origin.QUANTIZED)
    assert (made.made_from, made.repository) == (source, source.repository)
    assert (made.recipe["type"], made.recipe["pure"], made.recipe["imatrix"]) == ("Q4_K_M", False, None)
    (shard,) = made.shards.all()
    assert shard.path == str(folder / "tiny-Q4_K_M.gguf")
    assert shard.sha256 == hashlib.sha256(Path(shard.path).read_bytes()).hexdigest()
    assert files(folder) == ["tiny-Q4_K_M.gguf"]


def test_a_split_source_stays_split_where_that_is_wished(tmp_path: Path, folder: Path) -> None:
    path = build(tmp_path / "tiny-F16.gguf", SHAPE, quantization="F16", body="random", split=2)
    source = add_model(path).variant
    made = done(order(source, Recipe("Q8_0", keep_split=True))).variant
    assert made is not None
    assert files(folder) == ["tiny-Q8_0-00001-of-00002.gguf", "tiny-Q8_0-00002-of-00002.gguf"]
    assert [shard.number for shard in made.shards.all()] == [1, 2]
    assert all(shard.sha256 for shard in made.shards.all())


def test_it_is_listed_once_by_a_scan_and_not_before_it_is_whole(
    source: Variant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def check(path: Path, environment: Any) -> Any:
        seen.append(scan_models(folder).added)
        return iter(())

    monkeypatch.setattr(quantize, "check", check)
    done(order(source, Recipe("Q8_0")))
    assert seen == [[]]
    assert scan_models(folder).added == []


def test_too_full_a_disk_is_waited_for(source: Variant, folder: Path, settings: Any) -> None:
    settings.DISK_RESERVE_BYTES = 1 << 60
    job = done(order(source, Recipe("Q8_0")))
    assert job.state == Job.State.WAITING
    assert "The disk is too full" in job.reason
    assert files(folder) == []


def test_a_disk_that_fills_up_meanwhile_is_waited_for(
    source: Variant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise quantize.QuantizeFailed("The disk is full.", disk_full=True)
        yield

    monkeypatch.setattr(quantize, "quantize", full)
    job = done(order(source, Recipe("Q8_0")))
    assert (job.state, job.reason) == (Job.State.WAITING, "The disk is full. It goes on when there is room.")


def test_a_type_that_needs_an_importance_matrix_is_refused_without_one(source: Variant, folder: Path) -> None:
    job = done(order(source, Recipe("IQ2_XXS")))
    assert job.state == Job.State.FAILED
    assert "needs an importance matrix" in job.reason
    assert files(folder) == []


def test_a_damaged_source_is_refused_with_the_reason(source: Variant, folder: Path) -> None:
    path = Path(source.shards.get().path)
    path.write_bytes(path.read_bytes()[:-100])
    job = done(order(source, Recipe("Q8_0")))
    assert job.state == Job.State.FAILED
    assert "runs past the end of the file" in job.reason


def test_a_result_that_does_not_decode_is_thrown_away(
    source: Variant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(*_: Any) -> Any:
        raise quantize.QuantizeFailed("It says nothing.")
        yield

    monkeypatch.setattr(quantize, "check", check)
    job = done(order(source, Recipe("Q8_0")))
    assert job.state == Job.State.FAILED
    assert job.reason == "What came out cannot be used, and is thrown away: It says nothing."
    assert files(folder) == []
    assert not Variant.objects.filter(made_from=source).exists()


def test_cancelling_kills_the_child_and_leaves_nothing(
    source: Variant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    job = order(source, Recipe("Q8_0"))

    def work(source: Path, target: Path, *_: Any, **__: Any) -> Any:
        target.write_bytes(b"half")
        try:
            yield quantize.Started(2, 100)
            jobs.cancel(job)
            while True:
                yield None
        finally:
            closed.append(True)

    monkeypatch.setattr(quantize, "quantize", work)
    monkeypatch.setattr("models_app.jobs.attempt.WRITE_SECONDS", 0.0)
    assert done(job).state == Job.State.CANCELLED
    assert closed == [True]
    assert files(folder) == []


def test_an_attempt_that_was_killed_in_the_middle_begins_anew(source: Variant, folder: Path) -> None:
    job = order(source, Recipe("Q8_0"))
    left = folder / requantize_job.MAKING / f"{job.pk}-0123abcd"
    left.mkdir(parents=True)
    (left / "tiny-Q8_0.gguf").write_bytes(b"GGUF and half of the rest")
    assert done(job).state == Job.State.DONE
    assert files(folder) == ["tiny-Q8_0.gguf"]


@pytest.mark.parametrize("crash", ["before the name", "before the row"])
def test_an_attempt_that_was_killed_while_it_was_added_goes_on_there(
    crash: str, source: Variant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = order(source, Recipe("Q8_0"))

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if crash == "before the name":
            patched.setattr(Path, "rename", killed)
        else:
            patched.setattr(register, "add_model", killed)
        with pytest.raises(Killed):
            Runner("box", send=lambda _: None).work(job.pk)
    Job.objects.filter(pk=job.pk).update(state=Job.State.QUEUED, claimed_by="")
    monkeypatch.setattr(quantize, "quantize", killed)
    assert done(job).state == Job.State.DONE
    assert files(folder) == ["tiny-Q8_0.gguf"]
    assert Variant.objects.filter(made_from=source).count() == 1


def test_what_jobs_that_are_over_left_behind_is_swept_away(source: Variant, folder: Path) -> None:
    old = folder / requantize_job.MAKING / "999999-0123abcd"
    old.mkdir(parents=True)
    (old / "big.gguf").write_bytes(b"x")
    assert done(order(source, Recipe("Q8_0"))).state == Job.State.DONE
    assert not old.exists()


def test_a_name_that_was_taken_meanwhile_is_said_and_nothing_is_overwritten(source: Variant, folder: Path) -> None:
    folder.mkdir()
    (folder / "tiny-Q8_0.gguf").write_bytes(b"somebody's")
    job = done(order(source, Recipe("Q8_0")))
    assert job.state == Job.State.FAILED
    assert "Another file lies at" in job.reason
    assert (folder / "tiny-Q8_0.gguf").read_bytes() == b"somebody's"


def test_a_source_that_is_gone_is_said(source: Variant) -> None:
    job = order(source, Recipe("Q8_0"))
    shutil.rmtree(Path(source.shards.get().path).parent / "nothing", ignore_errors=True)
    source.delete()
    assert done(job).reason == "The variant that it was to be made of is gone from the inventory."


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("SmolLM2-135M-Instruct-Q4_1", "SmolLM2-135M-Instruct"),
        ("model-UD-Q4_K_XL", "model"),
        ("model-q8_0-2", "model"),
        ("F16", "F16"),
        ("llama", "llama"),
    ],
)
def test_names_lose_their_type(name: str, base: str) -> None:
    assert base_name(name) == base


def test_an_order_survives_its_job(settings: Any) -> None:
    register_kinds()
    wanted = Order(3, "x-Q4_0", Recipe("Q4_0", output_type="q8_0", pure=True), "/tmp/m.gguf", 2)
    assert Order.from_json(wanted.to_json()) == wanted
    assert django_settings.MODELS_DIR == settings.MODELS_DIR
