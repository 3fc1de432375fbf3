"""Asks child processes about files and devices that may crash whoever asks llama.cpp.

The asking side alone: nothing here loads llama.cpp. Each child reads one JSON line and writes one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions

DRY_RUN_ARGV = (sys.executable, "-m", "inference.engine.tools.dry_run_process")
DEVICES_ARGV = (sys.executable, "-m", "inference.engine.llama.devices")
LONGEST_LINE = 1 << 20
_ROOT = Path(__file__).resolve().parents[3]


class ChildFailed(Exception):
    """A child gave no answer. `detail` is a sentence for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class DryRunFailed(ChildFailed):
    """The buffers of a load could not be found out."""


class NoAnswer(ChildFailed):
    """The devices could not be listed."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """Compute and output buffers by device: `ram`, `gpu0` ….

    Weights and cache are not here: a dry run reports none, and the header tells them exactly.
    """

    compute_bytes: Mapping[str, int]
    n_gpu_layers: int


@dataclass(frozen=True, slots=True)
class ListedGpu:
    """A GPU that llama.cpp can use here, in the order in which a worker counts them."""

    key: str
    """llama.cpp's name of its buffers: `CUDA0`, `RPC0[host:port]`."""
    name: str
    memory_bytes: int | None
    free_bytes: int | None
    is_remote: bool
    bus_id: str | None


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Tells whether a file is still the one that was looked at."""

    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str = ""
    """Where known it counts alone: the same bytes may lie elsewhere."""


def cache_key(files: Iterable[FileIdentity], options: LoadOptions, engine_version: str, devices: Sequence[str]) -> str:
    """Equal for dry runs that must come out equal. `devices`: names of the machine's, in their order."""
    identities = [file.sha256 or f"{file.path}\0{file.size_bytes}\0{file.mtime_ns}" for file in files]
    spelled = json.dumps([identities, options.to_json(), engine_version, list(devices)], sort_keys=True)
    return hashlib.sha256(spelled.encode()).hexdigest()


def engine_version() -> str:
    """llama-cpp-python's, which fixes llama.cpp's."""
    return metadata.version("llama-cpp-python")


async def dry_run(
    path: Path,
    options: LoadOptions,
    environment: Mapping[str, str],
    *,
    engine_devices: EngineDevices | None = None,
    timeout_seconds: float = 30,
    argv: Sequence[str] = DRY_RUN_ARGV,
) -> DryRun:
    """Asks a child process that knows nothing but `environment`. Raises DryRunFailed, also when time runs out."""
    request = {"path": str(path), "options": options.to_json(), **(engine_devices or EngineDevices()).to_json()}
    try:
        answer, exit_code = await _ask(argv, request, environment, timeout_seconds)
    except asyncio.TimeoutError:
        raise DryRunFailed(f"the dry run of {path.name} took longer than {timeout_seconds:.0f} seconds") from None
    except OSError as error:
        raise DryRunFailed(f"the dry run of {path.name} could not be started: {error.strerror}") from None
    try:
        reply = json.loads(answer[:LONGEST_LINE])
        if "detail" in reply:
            raise DryRunFailed(str(reply["detail"]))
        sizes = {str(device): int(size) for device, size in reply["compute_bytes"].items()}
        return DryRun(sizes, int(reply["n_gpu_layers"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DryRunFailed(f"the dry run of {path.name} ended with code {exit_code} and no answer") from None


async def list_gpus(
    rpc_servers: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout_seconds: float = 20,
    argv: Sequence[str] = DEVICES_ARGV,
) -> tuple[ListedGpu, ...]:
    """The GPUs of this machine and of `rpc_servers`. Raises NoAnswer, also when time runs out."""
    try:
        answer, exit_code = await _ask(argv, {"rpc_servers": list(rpc_servers)}, environment, timeout_seconds)
    except asyncio.TimeoutError:
        raise NoAnswer(f"Listing the devices took longer than {timeout_seconds:.0f} seconds.") from None
    except OSError as error:
        raise NoAnswer(f"The devices could not be listed: {error.strerror}.") from None
    try:
        reply = json.loads(answer[:LONGEST_LINE])
        if "detail" in reply:
            raise NoAnswer(str(reply["detail"]))
        return tuple(_listed(row) for row in reply["devices"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoAnswer(f"Listing the devices ended with code {exit_code} and no answer.") from None


def _listed(row: Mapping[str, Any]) -> ListedGpu:
    return ListedGpu(
        key=str(row["key"]),
        name=str(row["name"]),
        memory_bytes=None if row["memory_bytes"] is None else int(row["memory_bytes"]),
        free_bytes=None if row["free_bytes"] is None else int(row["free_bytes"]),
        is_remote=bool(row["is_remote"]),
        bus_id=None if row["bus_id"] is None else str(row["bus_id"]),
    )


async def _ask(
    argv: Sequence[str], request: Mapping[str, Any], environment: Mapping[str, str], timeout_seconds: float
) -> tuple[bytes, int | None]:
    """The child's answer and exit code. Raises OSError, asyncio.TimeoutError; the child is gone in any case."""
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment),
        cwd=_ROOT,
        start_new_session=True,
        limit=LONGEST_LINE,
    )
    try:
        line = json.dumps(request).encode() + b"\n"
        answer, _ = await asyncio.wait_for(child.communicate(line), timeout_seconds)
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return answer, child.returncode
