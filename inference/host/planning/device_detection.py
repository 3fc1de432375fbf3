"""What this machine has to load on, asked once when the host starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from asgiref.sync import sync_to_async
from django.db import connections

from inference.core.loads.devices import DeviceId
from inference.core.loads.engine_devices import EngineDevices
from inference.engine.tools.children import ListedGpu, NoAnswer, list_gpus
from models_app.machines.engine_gpus import EngineGpu, this_machine_with

logger = logging.getLogger(__name__)


async def detect_devices(rpc_servers: Sequence[str], environment: Mapping[str, str]) -> EngineDevices:
    """The GPUs that workers can use, by the numbers of this machine's profile, where those that it lacked are entered.

    A child process asks llama.cpp, knowing nothing but `environment`. A server that does not answer is left out with a
    warning, for as long as this host runs: a box must not stand still because another one is switched off.
    """
    servers, listed = await _listed(rpc_servers, environment)
    listed = tuple(each for each in listed if each.memory_bytes)
    found = [EngineGpu(each.key, _name(each), each.memory_bytes or 0, each.is_remote) for each in listed]

    def write() -> tuple[int, ...]:
        try:
            return this_machine_with(found)[1]
        finally:
            connections.close_all()

    numbers = await sync_to_async(write, thread_sensitive=False)()
    in_order = sorted(zip(numbers, found, strict=True), key=lambda each: each[0])
    buses = tuple(
        (DeviceId.gpu(number), each.bus_id)
        for number, each in zip(numbers, listed, strict=True)
        if each.bus_id is not None and not each.is_remote
    )
    return EngineDevices(servers, tuple((DeviceId.gpu(number), gpu.key) for number, gpu in in_order), buses)


def _name(gpu: ListedGpu) -> str:
    return gpu.key if gpu.is_remote else gpu.name


async def _listed(
    rpc_servers: Sequence[str], environment: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[ListedGpu, ...]]:
    """All devices; where that fails, those of the servers that answer when asked alone."""
    try:
        return tuple(rpc_servers), await list_gpus(rpc_servers, environment)
    except NoAnswer as none:
        if not rpc_servers:
            _warn(none)
            return (), ()
    answering = tuple([server for server in rpc_servers if await _answers(server, environment)])
    try:
        return answering, await list_gpus(answering, environment)
    except NoAnswer as none:
        _warn(none)
        return (), ()


async def _answers(server: str, environment: Mapping[str, str]) -> bool:
    try:
        await list_gpus([server], environment)
    except NoAnswer as none:
        _warn(none)
        return False
    return True


def _warn(none: NoAnswer) -> None:
    logger.warning("devices not listed", extra={"event": "devices_unlisted", "detail": none.detail})
