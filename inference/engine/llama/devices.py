"""The devices that llama.cpp can use here, those of other machines included. Speaks to ggml's registry.

python -m inference.engine.llama.devices          one JSON line in (`{"rpc_servers": [...]}`), one out (`{"devices": [...]}`)

A driver crashes when it pleases, and ggml ends the process where an RPC server does not speak its language: whoever only
wants to know asks a process of its own (inference.engine.tools.children).
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from inference.core.loads.devices import DeviceId
from inference.core.loads.engine_devices import cuda_number, seen_alone
from inference.core.loads.options import LoadOptions
from inference.engine.llama import Layout, cuda_driver, ggml
from inference.engine.llama.footprint import DeviceName

_CPU, _GPU, _INTEGRATED_GPU = 0, 1, 2
"""ggml-backend.h's enum ggml_backend_dev_type."""
DeviceKind = Literal["cpu", "gpu", "integrated_gpu", "other"]
_KINDS: dict[int, DeviceKind] = {_CPU: "cpu", _GPU: "gpu", _INTEGRATED_GPU: "integrated_gpu"}
_TAKE_LAYERS = ("gpu", "integrated_gpu")
_VISIBLE, _VIRTUAL = "CUDA_VISIBLE_DEVICES", "GGML_CUDA_DEVICES"
"""By the second ggml makes several devices of a card: its numbers are then not CUDA's."""
_CONNECT_SECONDS = 3.0
_MOST_LAYERS = 512
"""LLAMA_MAX_LAYERS."""


class NoDevice(Exception):
    """The message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class GgmlDevice:
    """A device of ggml's registry, as far as it is known without asking its driver."""

    handle: int
    kind: DeviceKind
    key: str
    """llama.cpp's name of its buffers, the same in every process that adds the same servers: `CUDA0`, `RPC0[host:port]`."""
    name: str
    """For a person."""
    registry: str
    """The backend that offers it: `CUDA`, `Vulkan`, `RPC…`."""

    @property
    def is_remote(self) -> bool:
        """Whether another machine has it."""
        return self.registry.startswith("RPC")


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """What a device's driver says of it."""

    memory_bytes: int | None
    free_bytes: int | None
    """None also of CUDA's cards."""
    bus_id: str | None
    """Of a PCI device: `0000:01:00.0`."""


def add_rpc_servers(endpoints: Iterable[str]) -> None:
    """Makes the devices behind `host:port` llama.cpp's own. Adding a server again changes nothing. Blocks. Raises NoDevice."""
    for endpoint in endpoints:
        _check_listening(endpoint)
        add_server = ggml.add_rpc_server_function()
        if add_server is None:
            raise NoDevice("This build of llama.cpp cannot use RPC servers; build it with GGML_RPC=ON.")
        registry = add_server(endpoint.encode())
        if registry is None:
            raise NoDevice(f"The RPC server {endpoint} offers no device.")
        ggml.register(registry)


def _check_listening(endpoint: str) -> None:
    """Raises NoDevice where nobody listens: ggml would abort the process."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise NoDevice(f"{endpoint!r} is no RPC server; write host:port.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise NoDevice(f"The RPC server {endpoint} does not answer: {error.strerror or error}.") from None


def devices() -> tuple[GgmlDevice, ...]:
    """All devices that llama.cpp has found or been given. It looks once, at the first call."""
    return tuple(_device(ggml.device_at(number)) for number in range(ggml.device_count()))


def _device(handle: int) -> GgmlDevice:
    buffers = ggml.device_buffer_type(handle)
    name = ggml.device_name(handle)
    return GgmlDevice(
        handle=handle,
        kind=_KINDS.get(ggml.device_type(handle), "other"),
        key=_decoded(ggml.buffer_type_name(buffers) if buffers else name),
        name=_decoded(ggml.device_description(handle)) or _decoded(name),
        registry=_decoded(ggml.registry_name(ggml.device_registry(handle))),
    )


def driver_facts(device: GgmlDevice) -> DriverFacts:
    """Asks the device's driver, CUDA's own where that can be: ggml would have CUDA make a context for the answer.

    May block, and may take a part of the device for as long as the process lives: a worker asks about no device that it does
    not use.
    """
    number = cuda_number(device.key) if _VIRTUAL not in os.environ else None
    card = None if number is None else cuda_driver.card(number)
    if card is not None:
        return DriverFacts(card.memory_bytes, None, card.bus_id)
    properties = ggml.device_properties(device.handle)
    return DriverFacts(
        memory_bytes=properties.memory_total or None,
        free_bytes=properties.memory_free if properties.memory_total else None,
        bus_id=_decoded(properties.device_id) or None,
    )


def _decoded(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "replace")


def gpus(found: Sequence[GgmlDevice] | None = None) -> tuple[GgmlDevice, ...]:
    """What layers can go to, as llama.cpp chooses (llama.cpp, default device selection), but local ones before remote ones."""
    found = devices() if found is None else found
    local = list(_without_doubles(each for each in found if each.kind == "gpu" and not each.is_remote))
    local = local or [each for each in found if each.kind == "integrated_gpu"][:1]
    return (*local, *(each for each in found if each.kind == "gpu" and each.is_remote))


def _without_doubles(found: Iterable[GgmlDevice]) -> Iterator[GgmlDevice]:
    """Leaves out a card that a second backend offers: none offers one twice."""
    found = tuple(found)
    if len({each.registry for each in found}) < 2:
        yield from found
        return
    seen = set()
    for each in found:
        bus_id = driver_facts(each).bus_id
        if bus_id is None or bus_id not in seen:
            seen.add(bus_id)
            yield each


def see_alone(wanted: Sequence[tuple[str, str]] | None) -> Sequence[tuple[str, str]] | None:
    """Hides the cards before those `wanted` from this process, and returns these by the names that they have then.

    `wanted`: EngineDevices.gpus. To be called before llama.cpp looks for devices: it looks once.
    """
    changed = seen_alone((key for _, key in wanted or ()), os.environ.get(_VISIBLE))
    if wanted is None or changed is None or _VIRTUAL in os.environ:
        return wanted
    os.environ[_VISIBLE], renamed = changed
    return tuple((ours, renamed.get(key, key)) for ours, key in wanted)


def chosen_gpus(wanted: Sequence[tuple[str, str]] | None) -> tuple[tuple[GgmlDevice, DeviceName], ...]:
    """The GPUs of EngineDevices.gpus, or all there are. Raises NoDevice."""
    if wanted is None:
        present = gpus()
        wanted = [(DeviceId.gpu(number), each.key) for number, each in enumerate(present)]
    else:
        present = tuple(each for each in devices() if each.kind in _TAKE_LAYERS)
    by_key = {each.key: each for each in present}
    gone = [key for _, key in wanted if key not in by_key]
    if gone:
        raise NoDevice(f"The device {gone[0]} is gone.")
    return tuple((by_key[key], DeviceName(ours, by_key[key].name, key)) for ours, key in wanted)


def layout_of(options: LoadOptions, chosen: Sequence[GgmlDevice]) -> Layout:
    """`options` in llama.cpp's terms, with those GPUs alone that get layers: llama.cpp would prepare the others too.

    Raises NoDevice where `tensor_split` names more GPUs than there are.
    """
    split = options.tensor_split or ()
    if any(split[len(chosen) :]):
        raise NoDevice(f"The layers are to go to {len(split)} GPUs, and there are {len(chosen)}.")
    n_cpu_moe = min(options.n_cpu_moe, _MOST_LAYERS)
    parts = shares(split[: len(chosen)])
    used = list(chosen) if options.n_gpu_layers != 0 else []
    if used and parts:
        used = [each for each, part in zip(used, parts, strict=False) if part]
    return Layout(
        n_gpu_layers=options.n_gpu_layers,
        gpus=tuple(each.handle for each in used),
        tensor_split=tuple(part for part in parts if part),
        overrides=((_experts(n_cpu_moe), ggml.cpu_buffer_type()),) if n_cpu_moe else (),
    )


def _experts(n_layers: int) -> str:
    """llama.cpp's --n-cpu-moe in one expression (common.h, LLM_FFN_EXPS_REGEX): it tries each on every tensor."""
    numbers = "|".join(map(str, range(n_layers)))
    return rf"blk\.({numbers})\.ffn_(up|down|gate|gate_up)_(ch|)exps"


def shares(layers_by_gpu: Sequence[int]) -> tuple[float, ...]:
    """llama.cpp's `tensor_split` that gives each GPU exactly these layers: it counts the output as one more, after the last."""
    if not layers_by_gpu:
        return ()
    last = max((number for number, count in enumerate(layers_by_gpu) if count), default=len(layers_by_gpu) - 1)
    return tuple(float(count + (number == last)) for number, count in enumerate(layers_by_gpu))


def main() -> None:
    # Libraries print to descriptor 1 as they please: only the answer belongs there.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        request = json.loads(sys.stdin.buffer.readline())
        add_rpc_servers(request["rpc_servers"])
        listed = [
            {"key": each.key, "name": each.name, "is_remote": each.is_remote, **asdict(driver_facts(each))}
            for each in gpus()
        ]
        reply: dict[str, Any] = {"devices": listed}
    except NoDevice as none:
        reply = {"detail": str(none)}
    answer.write(json.dumps(reply) + "\n")
    answer.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
