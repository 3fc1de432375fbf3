"""A variant's workers go by numbers of their own, and what was stored before there were purposes still means the same."""

from __future__ import annotations

import pytest

from inference.core.loads.options import BadOptions, LoadOptions
from inference.core.loads.purposes import PURPOSES, is_variant, resident_id, variant_of
from inference.core.planning.load_ways import digest


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("variant_id", [1, 7, 2**31])
def test_a_number_tells_the_variant_and_what_its_worker_is_for(variant_id: int, purpose: str) -> None:
    number = resident_id(variant_id, purpose)  # type: ignore[arg-type]
    assert variant_of(number) == (variant_id, purpose)
    assert is_variant(number) == (purpose == "chat")
    assert number < 2**53, "a page's script counts no further"


def test_nobody_names_a_variant_by_a_number_below_one() -> None:
    assert not any(is_variant(number) for number in (0, -1))


def test_the_usual_purpose_goes_unsaid() -> None:
    assert "purpose" not in LoadOptions().to_json()
    assert LoadOptions.from_json(LoadOptions().to_json()) == LoadOptions()
    reads = LoadOptions(purpose="imatrix")
    assert LoadOptions.from_json(reads.to_json()) == reads
    assert digest(reads) != digest(LoadOptions())


def test_a_purpose_that_is_none_is_refused() -> None:
    with pytest.raises(BadOptions):
        LoadOptions.from_json({"purpose": "mischief"})


def test_logits_of_every_token_of_a_step() -> None:
    assert LoadOptions().n_outputs is None
    assert LoadOptions(purpose="imatrix", n_batch=128, n_ubatch=512).n_outputs == 128
