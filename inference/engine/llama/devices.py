"""The devices that llama.cpp can use here, those of other machines included. Speaks to ggml's registry.

python -m inference.engine.llama.devices          one JSON line in (`{"rpc_servers": [...]}`), one out (`{"devices": [...]}`)

A driver crashes when it pleases, and ggml ends the process where an RPC server does not speak its language: whoever only
wants to know asks a process of its own (inference.engine.tools.children).
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from inference.core.loads.engine_devices import cuda_number, seen_alone
from inference.core.loads.options import LoadOptions
from inference.engine.llama import LIBRARY, Layout, cuda_driver
from inference.engine.llama.footprint import DeviceName

_CPU, _GPU, _INTEGRATED_GPU = 0, 1, 2
"""ggml-backend.h's enum ggml_backend_dev_type."""
_KINDS = {_CPU: "cpu", _GPU: "gpu", _INTEGRATED_GPU: "integrated_gpu"}
_TAKE_LAYERS = ("gpu", "integrated_gpu")
_VISIBLE, _VIRTUAL = "CUDA_VISIBLE_DEVICES", "GGML_CUDA_DEVICES"
"""By the second ggml makes several devices of a card: its numbers are then not CUDA's."""
_CONNECT_SECONDS = 3.0
_MOST_LAYERS = 512
"""LLAMA_MAX_LAYERS."""


class NoDevice(Exception):
    """The message is a sentence for a person."""


class _Properties(ctypes.Structure):
    """ggml-backend.h's ggml_backend_dev_props."""

    _fields_: ClassVar = [
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("caps", ctypes.c_bool * 5),
    ]


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(LIBRARY, name)
    function.restype, function.argtypes = result, arguments
    return function


_text, _handle, _size = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
_dev_count = _function("ggml_backend_dev_count", _size)
_dev_get = _function("ggml_backend_dev_get", _handle, _size)
_dev_type = _function("ggml_backend_dev_type", ctypes.c_int, _handle)
_dev_name = _function("ggml_backend_dev_name", _text, _handle)
_dev_description = _function("ggml_backend_dev_description", _text, _handle)
_dev_props = _function("ggml_backend_dev_get_props", None, _handle, ctypes.POINTER(_Properties))
_dev_reg = _function("ggml_backend_dev_backend_reg", _handle, _handle)
_dev_buffers = _function("ggml_backend_dev_buffer_type", _handle, _handle)
_buffers_name = _function("ggml_backend_buft_name", _text, _handle)
_cpu_buffers = _function("ggml_backend_cpu_buffer_type", _handle)
_reg_name = _function("ggml_backend_reg_name", _text, _handle)
_reg_by_name = _function("ggml_backend_reg_by_name", _handle, _text)
_reg_address = _function("ggml_backend_reg_get_proc_address", _handle, _handle, _text)
_register = _function("ggml_backend_register", None, _handle)


@dataclass(frozen=True, slots=True)
class Device:
    """What can be told of a device without asking its driver."""

    handle: int
    kind: str
    """`cpu`, `gpu`, `integrated_gpu` or `other`."""
    key: str
    """llama.cpp's name of its buffers, the same in every process that adds the same servers: `CUDA0`, `RPC0[host:port]`."""
    name: str
    """For a person."""
    registry: str
    """The backend that offers it: `CUDA`, `Vulkan`, `RPC…`."""

    @property
    def is_remote(self) -> bool:
        return self.registry.startswith("RPC")


@dataclass(frozen=True, slots=True)
class Properties:
    """What its driver tells of a device."""

    memory_bytes: int | None
    free_bytes: int | None
    """None also of CUDA's cards."""
    bus_id: str | None
    """Of a PCI device: `0000:01:00.0`."""


def add_rpc_servers(endpoints: Iterable[str]) -> None:
    """Makes the devices behind `host:port` llama.cpp's own. Adding a server again changes nothing. Blocks. Raises NoDevice."""
    for endpoint in endpoints:
        _check_listening(endpoint)
        registry = _reg_by_name(b"RPC")
        address = _reg_address(registry, b"ggml_backend_rpc_add_server") if registry else None
        if not address:
            raise NoDevice("This build of llama.cpp cannot use RPC servers; build it with GGML_RPC=ON.")
        added = ctypes.CFUNCTYPE(_handle, _text)(address)(endpoint.encode())
        if not added:
            raise NoDevice(f"The RPC server {endpoint} offers no device.")
        _register(added)


def _check_listening(endpoint: str) -> None:
    """ggml aborts the process where nobody listens."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise NoDevice(f"{endpoint!r} is no RPC server; write host:port.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise NoDevice(f"The RPC server {endpoint} does not answer: {error.strerror or error}.") from None


def devices() -> tuple[Device, ...]:
    return tuple(_device(_dev_get(number)) for number in range(_dev_count()))


def _device(handle: int) -> Device:
    buffers = _dev_buffers(handle)
    name = _dev_name(handle)
    return Device(
        handle=handle,
        kind=_KINDS.get(_dev_type(handle), "other"),
        key=_decoded(_buffers_name(buffers) if buffers else name),
        name=_decoded(_dev_description(handle)) or _decoded(name),
        registry=_decoded(_reg_name(_dev_reg(handle))),
    )


def properties(device: Device) -> Properties:
    """May block, and may take a part of the device for as long as the process lives: whoever serves asks about no device that it
    does not use. ggml would have CUDA make a context for the answer, so CUDA's driver is asked instead where it can be."""
    number = cuda_number(device.key) if _VIRTUAL not in os.environ else None
    told = None if number is None else cuda_driver.card(number)
    if told is not None:
        return Properties(told.memory_bytes, None, told.bus_id)
    props = _Properties()
    _dev_props(device.handle, ctypes.byref(props))
    return Properties(
        memory_bytes=props.memory_total or None,
        free_bytes=props.memory_free if props.memory_total else None,
        bus_id=_decoded(props.device_id) or None,
    )


def _decoded(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "replace")


def gpus(found: Sequence[Device] | None = None) -> tuple[Device, ...]:
    """What layers can go to, as llama.cpp chooses (llama.cpp, default device selection), but local ones before remote ones."""
    found = devices() if found is None else found
    local = list(_without_doubles(each for each in found if each.kind == "gpu" and not each.is_remote))
    local = local or [each for each in found if each.kind == "integrated_gpu"][:1]
    return (*local, *(each for each in found if each.kind == "gpu" and each.is_remote))


def _without_doubles(found: Iterable[Device]) -> Iterator[Device]:
    """One card may be offered by two backends, but by none twice."""
    found = tuple(found)
    if len({each.registry for each in found}) < 2:
        yield from found
        return
    seen = set()
    for each in found:
        bus_id = properties(each).bus_id
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


def chosen_gpus(wanted: Sequence[tuple[str, str]] | None) -> tuple[tuple[Device, DeviceName], ...]:
    """The GPUs of EngineDevices.gpus, or all there are. Raises NoDevice."""
    if wanted is None:
        present = gpus()
        wanted = [(f"gpu{number}", each.key) for number, each in enumerate(present)]
    else:
        present = tuple(each for each in devices() if each.kind in _TAKE_LAYERS)
    by_key = {each.key: each for each in present}
    gone = [key for _, key in wanted if key not in by_key]
    if gone:
        raise NoDevice(f"The device {gone[0]} is gone.")
    return tuple((by_key[key], DeviceName(ours, by_key[key].name, key)) for ours, key in wanted)


def layout_of(options: LoadOptions, chosen: Sequence[Device]) -> Layout:
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
        overrides=((_experts(n_cpu_moe), _cpu_buffers()),) if n_cpu_moe else (),
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
            {"key": each.key, "name": each.name, "is_remote": each.is_remote, **asdict(properties(each))}
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
