"""Silent exhaustion is noticed, named with its cure, and forgotten when it is over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.monitoring.alarms import (
    BASELINE_SAMPLES,
    SUSTAINED_SAMPLES,
    Alarm,
    Alarms,
    DeviceLoad,
    Remedy,
    RunningVariant,
)

GB = 10**9
CARD = DeviceLoad("gpu0", 4 * GB, 3 * GB, utilisation_percent=60, bandwidth_percent=60)
SPILLING = replace(CARD, used_bytes=int(3.99 * GB), utilisation_percent=99, bandwidth_percent=3)


def way(layers: int, gpu_bytes: int) -> LoadWay:
    return LoadWay(LoadOptions(n_gpu_layers=layers), {"gpu0": gpu_bytes, RAM: GB})


FAST = RunningVariant(
    ResidentId(1),
    4096,
    1,
    30.0,
    {"gpu0": int(3.6 * GB)},
    n_gpu_layers=33,
    ways=(way(33, int(3.6 * GB)), way(31, int(3.5 * GB)), way(29, int(2.5 * GB)), way(20, 2 * GB)),
)
SLOW = replace(FAST, tokens_per_second=2.0)


def told(alarms: Alarms, running: RunningVariant, load: DeviceLoad, n: int) -> tuple[Alarm, ...]:
    standing: tuple[Alarm, ...] = ()
    for _ in range(n):
        standing = alarms.observe([running], [load])
    return standing


def healthy() -> Alarms:
    alarms = Alarms()
    assert told(alarms, FAST, CARD, BASELINE_SAMPLES) == ()
    return alarms


def test_a_spilling_card_is_named_with_the_layers_that_cure_it() -> None:
    alarms = healthy()
    assert told(alarms, SLOW, SPILLING, SUSTAINED_SAMPLES - 1) == ()
    (alarm,) = told(alarms, SLOW, SPILLING, 1)
    assert (alarm.kind, alarm.device, alarm.n_gpu_layers) == ("spilling", "gpu0", 33)
    assert (alarm.tokens_per_second, alarm.baseline_tokens_per_second) == (2.0, pytest.approx(30.0))
    # 31 layers would free 0.1 GB where 0.39 GB are too much.
    assert alarm.remedy == Remedy(29, int(3.6 * GB) - int(2.5 * GB))


@pytest.mark.parametrize(
    "harmless",
    [
        replace(SPILLING, used_bytes=int(3.8 * GB)),
        replace(SPILLING, utilisation_percent=40),
        replace(SPILLING, bandwidth_percent=60),
        replace(SPILLING, used_bytes=None),
        replace(SPILLING, utilisation_percent=None),
        replace(SPILLING, bandwidth_percent=None),
    ],
)
def test_each_sign_alone_and_each_unknown_is_no_alarm(harmless: DeviceLoad) -> None:
    assert told(healthy(), SLOW, harmless, 50) == ()


def test_a_full_card_that_is_as_fast_as_ever_is_no_alarm() -> None:
    assert told(healthy(), FAST, SPILLING, 50) == ()


def test_only_the_same_context_and_load_are_compared() -> None:
    alarms = healthy()
    assert told(alarms, replace(SLOW, n_ctx_seq=65536), SPILLING, 50) == ()
    assert told(alarms, replace(SLOW, slots_busy=2), SPILLING, 50) == ()
    assert told(alarms, SLOW, SPILLING, 50)


def test_a_first_load_into_the_trap_is_measured_by_the_prediction() -> None:
    assert told(Alarms(), SLOW, SPILLING, 50) == ()
    (alarm,) = told(Alarms(), replace(SLOW, predicted_tokens_per_second=25.0), SPILLING, SUSTAINED_SAMPLES)
    assert alarm.baseline_tokens_per_second == 25.0


@pytest.mark.parametrize(
    ("running", "load"),
    [(FAST, CARD), (SLOW, CARD), (FAST, SPILLING), (replace(SLOW, slots_busy=0, tokens_per_second=0.0), CARD)],
)
def test_an_alarm_clears_by_itself(running: RunningVariant, load: DeviceLoad) -> None:
    alarms = healthy()
    assert told(alarms, SLOW, SPILLING, SUSTAINED_SAMPLES)
    assert told(alarms, running, load, SUSTAINED_SAMPLES - 1)
    assert told(alarms, running, load, 1) == ()


def test_an_alarm_leaves_with_its_variant() -> None:
    alarms = healthy()
    assert told(alarms, SLOW, SPILLING, SUSTAINED_SAMPLES)
    assert alarms.observe([], [SPILLING]) == ()
    assert told(alarms, SLOW, SPILLING, 1) == ()


def test_without_a_way_that_leaves_room_there_is_no_remedy() -> None:
    alarms = healthy()
    (alarm,) = told(alarms, replace(SLOW, ways=FAST.ways[:2]), SPILLING, SUSTAINED_SAMPLES)
    assert alarm.remedy is None


def test_a_box_that_swaps_is_named() -> None:
    alarms = Alarms()
    in_ram = replace(FAST, bytes_by_device={RAM: GB})
    calm = DeviceLoad(RAM, 8 * GB, 6 * GB, swap_in_bytes_per_second=0.0)
    told(alarms, in_ram, calm, BASELINE_SAMPLES)
    slow, swapping = replace(in_ram, tokens_per_second=1.0), replace(calm, swap_in_bytes_per_second=5e6)
    (alarm,) = told(alarms, slow, swapping, SUSTAINED_SAMPLES)
    assert (alarm.kind, alarm.device, alarm.remedy) == ("swapping", RAM, None)


@given(
    samples=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 9.0, 11.0, 30.0]),
            st.sampled_from([0, 1]),
            st.sampled_from([CARD, SPILLING, replace(SPILLING, used_bytes=None)]),
        ),
        max_size=80,
    )
)
def test_an_alarm_always_stands_on_sustained_signs_and_a_slow_answer(
    samples: list[tuple[float, int, DeviceLoad]],
) -> None:
    alarms = Alarms()
    signs = 0
    before: tuple[Alarm, ...] = ()
    for speed, slots, load in samples:
        standing = alarms.observe([replace(FAST, tokens_per_second=speed, slots_busy=slots)], [load])
        signs = signs + 1 if slots and load is SPILLING else signs if not slots else 0
        if standing and not before:
            assert signs >= SUSTAINED_SAMPLES
            (alarm,) = standing
            assert alarm.tokens_per_second < alarm.baseline_tokens_per_second / 3
        before = standing
