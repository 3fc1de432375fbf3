"""`python -m inference.engine.dry_run`: the buffers that loading a variant would take, exactly, and nothing loaded.

llama.cpp reads the header, makes the worker's context on the real devices without allocating, and logs what it would
reserve. A header is hostile input and drivers crash, so this runs in a process of its own: one JSON line in, one out.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from inference.core.options import LoadOptions

ARGV = (sys.executable, "-m", "inference.engine.dry_run")
_LONGEST_LINE = 1 << 20
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class DryRun:
    """Compute and output buffers by device: `ram`, `gpu0` ….

    Weights and cache are not here: a dry run reports none, and the header tells them exactly.
    """

    compute_bytes: Mapping[str, int]
    n_gpu_layers: int


class DryRunFailed(Exception):
    """`detail` is a sentence for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


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
    return metadata.version("llama-cpp-python")


async def dry_run(
    path: Path,
    options: LoadOptions,
    environment: Mapping[str, str],
    *,
    rpc_servers: Sequence[str] = (),
    gpus: Mapping[str, str] | None = None,
    timeout_seconds: float = 30,
    argv: Sequence[str] = ARGV,
) -> DryRun:
    """Asks a child process that knows nothing but `environment`. Raises DryRunFailed, also when time runs out.

    `rpc_servers` and `gpus` as in a worker's launch line.
    """
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment),
        cwd=_ROOT,
        start_new_session=True,
        limit=_LONGEST_LINE,
    )
    request: dict[str, Any] = {"path": str(path), "options": options.to_json(), "rpc_servers": list(rpc_servers)}
    if gpus is not None:
        request["gpus"] = dict(gpus)
    try:
        line = json.dumps(request).encode() + b"\n"
        answer, _ = await asyncio.wait_for(child.communicate(line), timeout_seconds)
    except asyncio.TimeoutError:
        raise DryRunFailed(f"the dry run of {path.name} took longer than {timeout_seconds:.0f} seconds") from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    return _understood(answer, path, child.returncode)


def _understood(answer: bytes, path: Path, exit_code: int | None) -> DryRun:
    try:
        reply = json.loads(answer[:_LONGEST_LINE])
        if "detail" in reply:
            raise DryRunFailed(str(reply["detail"]))
        sizes = {str(device): int(size) for device, size in reply["compute_bytes"].items()}
        return DryRun(sizes, int(reply["n_gpu_layers"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DryRunFailed(f"the dry run of {path.name} ended with code {exit_code} and no answer") from None


def _attempt(request: Mapping[str, Any]) -> DryRun:
    """In the child. Raises DryRunFailed."""
    # Whoever only asks must not load llama.cpp.
    from inference.engine.llama import Context, LoadFailed, Log, Model
    from inference.engine.loading import CannotLoad, Site, check_file

    try:
        path, options = Path(request["path"]), LoadOptions.from_json(request["options"])
        header = check_file(path)
        log = Log()
        layout, gpus = Site.from_json(request).prepare(options)
        model = Model.load(path, log, layout=layout, no_alloc=True)
        Context(model, options, 1, log)
    except (KeyError, TypeError, ValueError) as error:
        raise DryRunFailed(f"the request makes no sense: {error}") from None
    except CannotLoad as error:
        raise DryRunFailed(error.detail) from None
    except LoadFailed as error:
        raise DryRunFailed(error.lines[-1] if error.lines else error.what) from None
    devices = log.buffers.devices(gpus, header)
    compute = {device["device"]: device["compute_bytes"] for device in devices}
    return DryRun(compute, log.buffers.n_gpu_layers)


def main() -> None:
    # Libraries print to descriptor 1 as they please: only the answer belongs there.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        reply: dict[str, Any] = asdict(_attempt(json.loads(sys.stdin.buffer.readline(_LONGEST_LINE))))
    except DryRunFailed as failed:
        reply = {"detail": failed.detail}
    answer.write(json.dumps(reply) + "\n")
    answer.flush()
    # Nothing is left to save, and freeing contexts without memory is a path that llama.cpp hardly ever takes.
    os._exit(0)


if __name__ == "__main__":
    main()
