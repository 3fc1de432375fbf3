"""Workers that end when they should not: bytes come back, the next request tries again, three in a row are enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.scheduler_world import World, variant


def test_bytes_come_back_and_the_next_request_starts_another() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    world.gone(one, "killed")
    assert world.state(one) == "failed"
    assert world.scheduler.reserved_bytes == 0
    ticket = world.ask(one)
    world.ready(one)
    assert ticket in world.leases


@pytest.mark.parametrize("reason", ["crashed", "out_of_memory"])
def test_a_crash_ends_the_leases_and_retries_the_queue(reason: str) -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    cut, waiting = world.ask(one), world.ask(one, "bob")
    world.gone(one, reason)
    world.ready(one)
    assert waiting in world.leases
    world.leave(cut)
    assert waiting in world.leases


def test_nobody_is_sent_to_a_worker_that_is_about_to_be_gone() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.resident(one)
    cut, waiting = world.ask(one), world.ask(one, "bob")
    world.ending(one)
    world.leave(cut)
    by_hand = world.load(one)
    assert waiting not in world.leases
    assert by_hand not in world.completed
    world.gone(one)
    world.ready(one)
    assert waiting in world.leases


@pytest.mark.parametrize("reason", ["bad_file", "unsupported", "out_of_memory", "timed_out", "bad_options"])
def test_a_load_that_would_fail_the_same_way_is_not_tried_again_blindly(reason: str) -> None:
    world = World()
    one = world.shelve(variant(1))
    ticket = world.ask(one)
    world.gone(one, reason)
    assert world.refused[ticket].reason == reason
    assert world.refused[ticket].is_final is False
    assert world.starts == [one]


@pytest.mark.parametrize("reason", ["crashed", "killed", "hung"])
def test_three_failures_in_a_row_stop_the_retries(reason: str) -> None:
    world = World()
    one = world.shelve(variant(1))
    ticket = world.ask(one)
    for _ in range(3):
        assert ticket not in world.refused
        world.gone(one, reason)
    assert world.refused[ticket].failures_in_a_row == 3
    assert world.refused[ticket].is_final is True
    later = world.ask(one)
    assert world.refused[later].kind == "failed"
    assert world.starts == [one] * 3


def test_loading_by_hand_forgets_the_failures() -> None:
    world = World()
    one = world.shelve(variant(1))
    world.ask(one)
    for _ in range(3):
        world.gone(one)
    by_hand = world.load(one)
    world.ready(one)
    assert by_hand in world.completed
    assert world.ask(one) in world.leases


def test_a_changed_file_or_an_unload_forgets_the_failures() -> None:
    for remedy in ("file", "unload"):
        world = World()
        one = world.shelve(variant(1))
        world.ask(one)
        for _ in range(3):
            world.gone(one)
        if remedy == "file":
            world.facts[one] = replace(world.facts[one], fingerprint="new")
        else:
            world.unload(one)
        assert world.ask(one) not in world.refused
        assert world.alive.keys() == {one}


def test_an_answer_that_survived_breaks_the_row() -> None:
    world = World()
    one = world.shelve(variant(1))
    for _ in range(5):
        ticket = world.ask(one)
        world.ready(one)
        world.leave(ticket)
        world.healthy(one)
        world.gone(one)
    assert world.residency(one).failures_in_a_row == 1
    assert world.refused == {}


def test_a_healthy_report_during_the_answer_proves_nothing() -> None:
    world = World()
    one = world.shelve(variant(1))
    for _ in range(3):
        world.ask(one)
        world.ready(one)
        world.healthy(one)
        world.gone(one)
    assert world.ask(one) in world.refused


def test_an_answer_that_kills_its_worker_every_time_is_stopped() -> None:
    world = World()
    one = world.shelve(variant(1))
    for _ in range(3):
        ticket = world.ask(one)
        world.ready(one)
        world.leave(ticket)  # The caller sees the broken connection before the host sees the exit.
        world.gone(one)
    assert world.ask(one) in world.refused


def test_a_failed_variant_makes_room_for_others() -> None:
    world = World()
    one, two = world.shelve(variant(1, 60)), world.shelve(variant(2, 60))
    world.resident(one)
    world.ask(one)
    waiting = world.ask(two, "bob")
    world.gone(one)
    world.ready(two)
    assert waiting in world.leases
