"""A variant's workers are told apart by what they are for, and what was stored before there were purposes still means the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inference.core.loads.options import BadOptions, LoadOptions
from inference.core.loads.purposes import PURPOSES
from inference.core.loads.resident_id import ResidentId
from inference.core.planning.load_ways import digest
from inference.core.scheduling import events
from inference.core.scheduling.scheduler import Scheduler
from tests.core.scheduler_world import ram, variant


def test_a_variants_workers_are_told_apart_and_stand_in_order() -> None:
    named = [ResidentId(7, "imatrix"), ResidentId(10), ResidentId(7)]
    assert sorted(named) == [ResidentId(7), ResidentId(7, "imatrix"), ResidentId(10)]
    assert len({*named, ResidentId(7)}) == 3


def test_each_has_a_text_of_its_own_for_keys_and_file_names() -> None:
    texts = [str(ResidentId(number, purpose)) for number in (1, 7, 17) for purpose in PURPOSES]
    assert texts[:2] == ["1", "1.imatrix"]
    assert len(set(texts)) == len(texts)


def test_a_variant_is_loaded_for_each_purpose_and_counted_apart() -> None:
    chats = variant(7, 30)
    reads = replace(chats, resident_id=ResidentId(7, "imatrix"), size_bytes=20, transient=True)
    scheduler = Scheduler((ram(),))
    started = []
    for ticket, facts in enumerate((chats, reads), 1):
        effects = scheduler.handle(events.LeaseAsked(0.0, ticket, facts, "ann"))
        started += [each for each in effects if isinstance(each, events.StartWorker)]
    assert [each.facts.resident_id for each in started] == [ResidentId(7), ResidentId(7, "imatrix")]
    assert scheduler.reserved_bytes == 50
    effects = scheduler.handle(events.UnloadAsked(1.0, 3, ResidentId(7, "imatrix")))
    assert events.StopWorker(ResidentId(7, "imatrix"), started[1].launch) in effects
    assert scheduler.residencies[ResidentId(7)].state == "loading"


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
