"""The variants of one model beside each other on a variant's page."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from inference.jobs.texts import TEXT_NAME
from inference.web.models.siblings import HEIGHT, WIDTH, Comparison, Row, plot, siblings
from models_app.hardware import Budget, Device, Profile
from models_app.models import Job, Quality, Repository, Variant

GIB = 1 << 30


def row(name: str, gib: float, loss: float | None, speed: float | None = 10.0) -> Row:
    comparison = Comparison.NOT_MEASURED if loss is None else Comparison.COMPARED
    return Row(
        pk=1, name=name, label=name, size_bytes=int(gib * GIB), size=f"{gib} GiB", is_own=False, perplexity="",
        comparison=comparison, divergence="", same_top="", decode="", prefill="", load="", loss=loss, speed=speed,
    )  # fmt: skip


def box(gib: float) -> Profile:
    return Profile("box", Device("RAM", "ram", 64 * GIB, budget=Budget(n_bytes=int(gib * GIB))))


def test_larger_lies_right_worse_lies_high_and_faster_is_larger() -> None:
    found = plot([row("Q8_0", 8, 0.0, 10), row("Q4_K_M", 4, 0.1, 20), row("Q2_K", 2, 0.8, 30)], None)
    assert found is not None
    big, middle, small = found.dots
    assert small.x < middle.x < big.x
    assert small.y < middle.y < big.y == found.bottom
    assert big.radius < middle.radius < small.radius
    assert all(0 < dot.x < WIDTH and 0 < dot.y < HEIGHT for dot in found.dots)


def test_the_budget_is_a_line_where_it_is_near_and_words_where_it_is_not() -> None:
    rows = [row("Q8_0", 8, 0.0), row("Q4_0", 4, 0.1)]
    near, far = plot(rows, box(6)), plot(rows, box(60))
    assert near is not None
    assert far is not None
    assert near.budget_x is not None
    assert near.dots[1].x < near.budget_x < near.dots[0].x
    assert (far.budget_x, far.budget) == (None, "60.0 GiB")


def test_one_alone_is_not_plotted() -> None:
    assert plot([row("Q8_0", 8, 0.0), row("Q4_0", 4, None)], None) is None


@pytest.fixture
def family(db: None) -> list[Variant]:
    folder = Repository.objects.create(name="/models", kind="folder")
    names = {"m-Q8_0": 8 * GIB, "m-Q4_K_M": 4 * GIB, "other-Q8_0": 8 * GIB}
    return [
        Variant.objects.create(
            repository=folder,
            name=name,
            size_bytes=size,
            architecture="llama",
            n_params=7,
            quantization=name.split("-")[1],
        )
        for name, size in names.items()
    ]


def measured(variant: Variant, reference: Variant | None = None, **others: Any) -> None:
    Quality.objects.create(
        variant=variant, text=TEXT_NAME, n_tokens=100, perplexity=9.5, perplexity_error=0.2, engine_version="1",
        reference=reference, reference_name=reference.name if reference else "", **others,
    )  # fmt: skip


def test_siblings_are_the_variants_of_the_same_model(family: list[Variant]) -> None:
    best, small, _ = family
    measured(best, decode_tokens_per_second=20.0)
    measured(small, best, kl_divergence=0.034, kl_error=0.001, same_top=0.91)
    found = siblings(small)
    assert [(each.name, each.divergence, each.is_own) for each in found.rows] == [
        ("m-Q8_0", "the reference", False),
        ("m-Q4_K_M", "0.0340", True),
    ]
    assert found.plot is not None
    assert found.measured is not None


def test_what_was_compared_with_another_sibling_is_to_be_measured_again(family: list[Variant]) -> None:
    eight, four, _ = family
    measured(eight, decode_tokens_per_second=20.0)
    original = Variant.objects.create(
        repository=eight.repository,
        name="m-F16",
        size_bytes=16 * GIB,
        architecture="llama",
        n_params=7,
        quantization="F16",
    )
    measured(four, original, kl_divergence=0.04, kl_error=0.001, same_top=0.9)
    found = siblings(four)
    assert [(each.label, each.divergence, each.loss) for each in found.rows] == [
        ("F16", "", None),
        ("Q8_0", "measure again", None),
        ("Q4_K_M", "0.0400", 0.04),
    ]


def test_measurements_on_another_text_are_not_compared(family: list[Variant]) -> None:
    best, small, _ = family
    measured(best)
    measured(small, best, kl_divergence=0.04, kl_error=0.001, same_top=0.9)
    Quality.objects.filter(variant=small).update(text="Another text")
    row = next(each for each in siblings(small).rows if each.is_own)
    assert (row.divergence, row.perplexity, row.same_top, row.loss) == ("measure again", "", "", None)


def test_the_page_draws_them_and_offers_to_measure(client: Client, family: list[Variant]) -> None:
    best, small, _ = family
    measured(best)
    measured(small, best, kl_divergence=0.034, kl_error=0.001, same_top=0.91)
    client.force_login(User.objects.create_user("owner", is_staff=True))
    page = client.get(f"/models/{small.name}/").content.decode()
    assert '<svg class="plot"' in page
    assert "Measure again" in page
    assert "9.50 ± 0.20" in page
    client.force_login(User.objects.create_user("guest"))
    page = client.get(f"/models/{small.name}/").content.decode()
    assert '<svg class="plot"' in page
    assert "Measure again" not in page


def test_measuring_is_a_job_that_is_started_once(client: Client, family: list[Variant], settings: Any) -> None:
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    client.force_login(User.objects.create_user("owner", is_staff=True))
    for _ in range(2):
        response = client.post(f"/models/{family[0].name}/measure/")
        assert response["Location"] == f"/models/{family[0].name}/"
    job = Job.objects.get()
    assert (job.kind, job.spec, job.unit) == ("measure", {"variant_id": family[0].pk}, "chunks")
    assert "Being measured" in client.get(f"/models/{family[0].name}/").content.decode()


def test_only_staff_may_measure(client: Client, family: list[Variant]) -> None:
    client.force_login(User.objects.create_user("guest"))
    assert client.post(f"/models/{family[0].name}/measure/").status_code == 403
    assert not Job.objects.exists()


def test_two_of_one_quantization_are_told_apart_by_their_names(family: list[Variant]) -> None:
    best, small, _ = family
    Variant.objects.create(
        repository=best.repository, name="m-Q4_K_M-2", size_bytes=4 * GIB, architecture="llama", n_params=7,
        quantization="Q4_K_M",
    )  # fmt: skip
    assert [each.label for each in siblings(small).rows] == ["Q8_0", "m-Q4_K_M", "m-Q4_K_M-2"]
