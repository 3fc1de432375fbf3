from __future__ import annotations

import pytest

from inference.core.loads.engine_devices import EngineDevices, seen_alone
from inference.core.loads.options import LoadOptions

DEVICES = EngineDevices(("a:1", "b:2"), (("gpu0", "CUDA0"), ("gpu1", "RPC0[a:1]"), ("gpu2", "RPC0[b:2]")))


def test_devices_of_other_machines_are_told_apart() -> None:
    assert DEVICES.remote == ("gpu1", "gpu2")
    assert EngineDevices().remote == ()


@pytest.mark.parametrize(
    ("options", "gpus", "servers", "split"),
    [
        (LoadOptions(n_gpu_layers=0), [], (), None),
        (LoadOptions(n_gpu_layers=9), ["gpu0", "gpu1", "gpu2"], ("a:1", "b:2"), None),
        (LoadOptions(n_gpu_layers=9, tensor_split=(4, 0, 4)), ["gpu0", "gpu2"], ("b:2",), (4, 4)),
        (LoadOptions(n_gpu_layers=9, tensor_split=(8,)), ["gpu0"], (), (8,)),
        (LoadOptions(n_gpu_layers=9, tensor_split=(0, 8)), ["gpu1"], ("a:1",), (8,)),
    ],
)
def test_a_gpu_that_gets_no_layer_is_left_alone(
    options: LoadOptions, gpus: list[str], servers: tuple[str, ...], split: tuple[int, ...] | None
) -> None:
    needed, left = DEVICES.needed_for(options)
    assert [device for device, _ in needed.gpus or ()] == gpus
    assert needed.rpc_servers == servers
    assert left.tensor_split == split
    assert left.n_gpu_layers == options.n_gpu_layers


def test_devices_that_were_never_detected_stay_as_they_are() -> None:
    assert EngineDevices(("a:1",)).needed_for(LoadOptions(n_gpu_layers=0)) == (
        EngineDevices(("a:1",)),
        LoadOptions(n_gpu_layers=0),
    )


@pytest.mark.parametrize(
    ("keys", "visible", "expected"),
    [
        (("CUDA1",), None, ("1", {"CUDA1": "CUDA0"})),
        (("CUDA2", "RPC0[a:1]", "CUDA0"), None, ("0,2", {"CUDA0": "CUDA0", "CUDA2": "CUDA1"})),
        (("CUDA1",), "3,GPU-8932f937", ("GPU-8932f937", {"CUDA1": "CUDA0"})),
        (("CUDA0",), None, None),
        (("CUDA1", "CUDA0"), "1,0", None),
        (("Vulkan1", "RPC0[a:1]"), None, None),
        ((), None, None),
        (("CUDA2",), "0,1", None),
    ],
)
def test_cards_before_those_that_are_used_are_hidden(
    keys: tuple[str, ...], visible: str | None, expected: tuple[str, dict[str, str]] | None
) -> None:
    assert seen_alone(keys, visible) == expected
