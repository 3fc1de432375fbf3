"""/models/NAME/requantize/: what could be made of a variant, and the order to make it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from inference.core.planning.fit import Fit
from inference.engine.tools import quantize
from inference.web.plans.what_if import BadQuestion
from inference.web.requantize.question import read_question
from inference.web.requantize.targets import Targets, targets
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB
from models_app.models import HardwareProfile, Job, Repository, Variant
from tests.gguf_builder import SHAPES, TINY, build

pytestmark = pytest.mark.django_db

CARD = {"name": "RTX 3060 Ti", "memory_bytes": 8 * GIB, "bandwidth_bytes_per_second": 1008 * 10**9}
SHAPE = next(shape for shape in TINY if shape.name == "tiny-gqa")


@pytest.fixture(autouse=True)
def box(settings: Any, tmp_path: Path) -> HardwareProfile:
    settings.MODELS_DIR = tmp_path / "models"
    settings.DISK_RESERVE_BYTES = 0
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    settings.HOST_SOCKET = str(tmp_path / "nobody.sock")
    return HardwareProfile.objects.create(
        name="this machine", is_this_machine=True, gpus=[CARD], ram_bytes=64 * GIB, n_cores=8
    )


@pytest.fixture
def large(tmp_path: Path) -> Variant:
    """An F16 of 8 billion parameters, a few KB on the disk."""
    return add_model(build(tmp_path / "big-F16.gguf", SHAPES["llama-8b"], quantization="F16")).variant


@pytest.fixture
def small(tmp_path: Path) -> Variant:
    return add_model(build(tmp_path / "tiny-F16.gguf", SHAPE, quantization="F16", body="random")).variant


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_user("owner", is_staff=True))
    return client


def told(variant: Variant, **query: str) -> Targets:
    return targets(variant, read_question(query))


def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.web.requantize.targets.free_bytes", lambda _: 1 << 50)


def test_to_fit_is_the_largest_type_that_runs_on_the_card_as_a_whole(
    large: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty(monkeypatch)
    found = told(large, goal="fit", ctx="8192", slots="1")
    assert found.chosen is not None
    assert found.chosen.badge.fit is Fit.WHOLE
    assert found.reason == "The largest that is smaller and fits on the GPU as a whole with 1 × 8,192 tokens."
    larger = [row for row in found.rows if row.n_bytes > found.chosen.n_bytes and not row.problem]
    assert larger
    assert all(row.badge.fit is not Fit.WHOLE for row in larger if "_K" in row.type)


def test_more_context_means_a_smaller_type(large: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty(monkeypatch)
    short, long = (told(large, ctx=ctx, slots="1").chosen for ctx in ("2048", "32768"))
    assert short is not None
    assert long is not None
    assert long.n_bytes < short.n_bytes


def test_what_is_pinned_is_counted_as_taken(large: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty(monkeypatch)
    alone = told(large, ctx="4096", slots="1").chosen
    pinned = {
        "name": "other", "pinned": True, "reserved_bytes": 2 * GIB,
        "devices": [{"device": "gpu0", "weights_bytes": 2 * GIB, "kv_bytes": 0, "compute_bytes": 0, "overhead_bytes": 0}],
    }  # fmt: skip
    monkeypatch.setattr("inference.web.requantize.targets.status_now", lambda: {"residents": [pinned]})
    crowded = told(large, ctx="4096", slots="1")
    assert alone is not None
    assert crowded.chosen is not None
    assert crowded.chosen.n_bytes < alone.n_bytes - 0.5 * GIB
    assert crowded.beside == "Beside what is pinned: other."


def test_where_nothing_fits_that_is_said(large: Variant, box: HardwareProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty(monkeypatch)
    box.gpus = [{**CARD, "memory_bytes": 1 * GIB}]
    box.save()
    found = told(large, ctx="4096", slots="1")
    assert found.chosen is None
    assert found.reason.startswith("Nothing that can be made of it fits on the GPU")


def test_by_size_is_the_largest_that_keeps_within_it(large: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty(monkeypatch)
    found = told(large, goal="size", size="5 GiB")
    assert found.chosen is not None
    assert found.chosen.n_bytes <= 5 * GIB
    assert found.chosen.n_bytes >= 4.5 * GIB
    nothing = told(large, goal="size", size="1 GiB")
    assert (nothing.chosen, nothing.reason) == (None, "Nothing that can be made of it is as small as 1 GiB.")


def test_by_quality_is_a_type_that_has_it(large: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty(monkeypatch)
    found = told(large, goal="quality", quality="high").chosen
    assert found is not None
    assert found.type == "Q6_K"


def test_a_full_disk_is_told_before_anything_starts(large: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.web.requantize.targets.free_bytes", lambda _: 4 * GIB)
    rows = {row.type: row.problem_words for row in told(large).rows}
    assert rows["Q8_0"] == "The disk has no room: 4 GiB are free."


def test_types_that_need_an_importance_matrix_say_so(large: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty(monkeypatch)
    rows = {row.type: row.problem_words for row in told(large).rows}
    assert rows["IQ2_XXS"] == "Needs an importance matrix."
    assert rows["Q4_K_M"] == ""


def test_a_source_that_is_quantized_itself_is_warned_of_and_a_better_one_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty(monkeypatch)
    worn, plain = (
        add_model(build(tmp_path / f"model-{name}.gguf", SHAPES["llama-8b"], quantization=name)).variant
        for name in ("Q4_K_M", "F16")
    )
    found = told(worn, goal="type", type="Q3_K_M")
    assert "quantizing it a second time loses more" in found.caution
    assert [each.name for each in found.better] == [plain.name]
    assert "larger and no better" in told(worn, goal="type", type="Q8_0").caution
    assert told(plain, goal="type", type="Q3_K_M").caution == ""


def test_where_it_came_from_is_asked_for_a_better_source(
    tmp_path: Path, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty(monkeypatch)
    worn = add_model(build(tmp_path / "model-Q4_K_M.gguf", SHAPES["llama-8b"], quantization="Q4_K_M")).variant
    address = f"/models/{worn.name}/requantize/?goal=type&type=Q3_K_M"
    found_here = staff.get(address).content.decode()
    assert 'href="/models/find/?q=' in found_here
    assert "data-sources-url" not in found_here

    worn.repository = Repository.objects.create(name="owner/Model-GGUF", kind=Repository.Kind.HUB)
    worn.save()
    downloaded = staff.get(address).content.decode()
    assert 'href="/models/hub/owner/Model-GGUF/"' in downloaded
    assert 'data-sources-url="/models/hub/owner/Model-GGUF/sources.json?than=Q4_K_M"' in downloaded


def test_a_target_like_q2_k_is_warned_of(large: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    plenty(monkeypatch)
    rows = {row.type: row.cautions for row in told(large).rows}
    assert any("noticeably worse" in each for each in rows["Q2_K"])
    assert rows["Q4_K_M"] == ()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"goal": "magic"}, "goal"),
        ({"goal": "size"}, "size"),
        ({"goal": "size", "size": "many"}, "size"),
        ({"ctx": "1"}, "ctx"),
        ({"slots": "1000"}, "slots"),
        ({"type": "Q9_Z"}, "type"),
        ({"output_type": "q9"}, "output_type"),
        ({"imatrix": "relative.gguf"}, "imatrix"),
        ({"imatrix": "/nowhere/imatrix.gguf"}, "imatrix"),
    ],
)
def test_a_question_that_makes_no_sense_gets_a_sentence_for_its_field(query: dict[str, str], field: str) -> None:
    with pytest.raises(BadQuestion) as bad:
        read_question(query)
    assert list(bad.value.problems) == [field]


# the page -----------------------------------------------------------------------------------------------------


def test_the_page_shows_every_type_with_its_size_and_what_it_would_take(staff: Client, small: Variant) -> None:
    page = staff.get(f"/models/{small.name}/requantize/").content.decode()
    for words in ("Q4_K_M", "IQ2_XXS", "Needs an importance matrix.", ">fits</span>", "tokens/s"):
        assert words in page


def test_only_staff_may_see_it_and_order(client: Client, small: Variant) -> None:
    client.force_login(User.objects.create_user("guest"))
    assert client.get(f"/models/{small.name}/requantize/").status_code == 403
    assert client.post(f"/models/{small.name}/requantize/", {"type": "Q8_0"}).status_code == 403
    assert not Job.objects.exists()


def test_an_order_starts_a_job_and_says_so(staff: Client, small: Variant) -> None:
    response = staff.post(
        f"/models/{small.name}/requantize/",
        {"type": "Q5_K_M", "output_type": "q8_0", "pure": "on", "goal": "fit", "ctx": "2048"},
    )
    assert (response.status_code, response["Location"]) == (302, f"/models/{small.name}/")
    job = Job.objects.get()
    assert (job.kind, job.variant) == ("requantize", small)
    assert job.spec["name"] == "tiny-Q5_K_M-pure"
    assert job.spec["recipe"] == {
        "type": "Q5_K_M", "output_type": "q8_0", "embedding_type": None, "pure": True, "keep_split": False,
    }  # fmt: skip


def test_two_orders_do_not_get_the_same_name(staff: Client, small: Variant) -> None:
    for _ in range(2):
        staff.post(f"/models/{small.name}/requantize/", {"type": "Q8_0"})
    assert sorted(job.spec["name"] for job in Job.objects.all()) == ["tiny-Q8_0", "tiny-Q8_0-2"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"type": "Q8_0", "name": "../etc/passwd"}, "Letters, digits, dots"),
        ({"type": "Q8_0", "name": "x" * 300}, "Letters, digits, dots"),
        ({"type": "Q8_0", "name": "upload"}, "the address of another page"),
        ({"type": "Q8_0", "name": "TINY-f16"}, "already"),
        ({"type": "Q8_0", "name": "x-00001-of-00002"}, "part of a split model"),
        ({"type": "IQ2_XXS"}, "Needs an importance matrix."),
        ({"type": "NVFP4"}, "no type that llama.cpp can make"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused_and_what_was_typed_stays(
    form: dict[str, str], said: str, staff: Client, small: Variant
) -> None:
    response = staff.post(f"/models/{small.name}/requantize/", {**form, "pure": "on"})
    assert response.status_code == 422
    page = response.content.decode()
    assert said in page
    assert form.get("name", "") in page
    assert not Job.objects.exists()


def test_a_child_that_fails_leaves_a_page_that_says_so(
    staff: Client, small: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise quantize.QuantizeFailed("The dry run failed.")

    monkeypatch.setattr("inference.web.requantize.targets.dry_run", failing)
    page = staff.get(f"/models/{small.name}/requantize/?pure=on&output_type=q5_0")
    assert page.status_code == 200
    assert "The dry run failed." in page.content.decode()


def test_a_variant_whose_files_are_gone_says_so(staff: Client, small: Variant) -> None:
    Path(small.shards.get().path).unlink()
    page = staff.get(f"/models/{small.name}/requantize/").content.decode()
    assert "cannot be planned" in page


def test_an_importance_matrix_is_computed_by_a_job_and_offered_after(
    staff: Client, small: Variant, settings: Any
) -> None:
    for _ in range(2):
        staff.post(f"/models/{small.name}/imatrix/")
    job = Job.objects.get(kind="imatrix")
    assert job.spec == {"variant_id": small.pk, "name": small.name, "text": None}
    path = Path(settings.MODELS_DIR) / "imatrix" / f"{small.name}.imatrix.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a matrix")
    page = staff.get(f"/models/{small.name}/requantize/").content.decode()
    assert f'<option value="{path}">' in page
    assert "Being computed" in page


def test_a_text_that_is_not_there_is_said(staff: Client, small: Variant) -> None:
    page = staff.post(f"/models/{small.name}/imatrix/", {"text": "/nowhere/text.txt"}, follow=True).content.decode()
    assert "There is no such text on this machine" in page
    assert not Job.objects.exists()
