"""Brings a model into memory, and says in plain words why it could not."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.core.loads.vocabulary import FailureReason
from inference.core.planning.header import BadGguf, Header, read_files
from inference.engine.llama import Context, Layout, LoadFailed, Log, Model
from inference.engine.llama.devices import NoDevice, add_rpc_servers, chosen_gpus, layout_of, see_alone
from inference.engine.llama.footprint import DeviceName
from inference.engine.llama.log_lines import LoadFault, load_faults, refused_buffer

_MIB = 1 << 20


class CannotLoad(Exception):
    """A variant cannot be loaded. `detail` is a sentence for a person."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: FailureReason = reason
        self.detail = detail


def check_file(path: Path) -> Header:
    """Reads the header before llama.cpp does, which trusts it. Raises CannotLoad."""
    try:
        return read_files(path)
    except FileNotFoundError as error:
        raise CannotLoad("bad_file", f"the file {error.filename} does not exist") from None
    except OSError as error:
        raise CannotLoad("bad_file", f"the file {error.filename or path} cannot be read: {error.strerror}") from None
    except BadGguf as bad:
        raise CannotLoad("bad_file", f"{path.name} is damaged or not a GGUF: {bad}") from None


def prepare(options: LoadOptions, engine_devices: EngineDevices) -> tuple[Layout, tuple[DeviceName, ...]]:
    """Where the weights go, and the names of the GPUs that may be used. Blocks while RPC servers answer. Raises CannotLoad."""
    try:
        wanted = see_alone(engine_devices.gpus)
        add_rpc_servers(engine_devices.rpc_servers)
        chosen = chosen_gpus(wanted)
        return layout_of(options, [device for device, _ in chosen]), tuple(name for _, name in chosen)
    except NoDevice as none:
        # Another machine may be back in a moment.
        raise CannotLoad("crashed", str(none)) from None


def load(
    path: Path,
    options: LoadOptions,
    engine_devices: EngineDevices,
    log: Log,
    on_progress: Callable[[float], None],
    on_node: Callable[[int, bool], bool] | None = None,
) -> tuple[Model, Context, tuple[DeviceName, ...]]:
    """Loads weights and makes a context; blocks. Raises CannotLoad.

    The names are those of the GPUs used. `on_node`: see llama.Context.
    """
    layout, gpus = prepare(options, engine_devices)
    try:
        model = Model.load(path, log, layout=layout, on_progress=on_progress)
        if not model.has_vocabulary:
            raise CannotLoad("unsupported", f"{path.name} carries no vocabulary, so there is no text to give it")
        if model.has_encoder:
            raise CannotLoad("unsupported", f"{path.name} is an encoder-decoder model; only decoders are served")
        context = Context(model, options, options.n_threads or physical_cores(), log, on_node=on_node)
        if not context.remembers:
            raise CannotLoad("unsupported", f"{path.name} is an embedding model: it generates no text")
        return model, context, gpus
    except LoadFailed as failed:
        raise refusal(path.name, failed.lines, gpus) from None


def refusal(name: str, lines: Sequence[str], gpus: Sequence[DeviceName]) -> CannotLoad:
    """Why llama.cpp gave no model or no context of the file `name`: `lines` are its last errors, `gpus` those that it was to use."""
    faults = [load_faults(line) for line in lines]
    reason = next((line for line, found in zip(lines, faults, strict=True) if found), None)
    reason = reason or (lines[-1] if lines else "llama.cpp gave no reason")
    refused = next(filter(None, map(refused_buffer, lines)), None)
    if refused is not None:
        device = next((gpu.name for gpu in gpus if refused.buffer.startswith(gpu.buffers)), "This machine")
        detail = (
            f"{device} had no room for {refused.n_bytes / _MIB:,.0f} MiB that {name} needs. "
            "Another program may have taken it while the model was loading."
        )
        return CannotLoad("out_of_memory", detail)
    if any(LoadFault.OUT_OF_MEMORY in found for found in faults):
        return CannotLoad("out_of_memory", f"There is not enough memory for {name}: {reason}")
    if any(LoadFault.UNSUPPORTED in found for found in faults):
        return CannotLoad("unsupported", f"this llama.cpp cannot run {name}: {reason}")
    return CannotLoad("bad_file", f"llama.cpp refused {name}: {reason}")


def physical_cores() -> int:
    """Cores that this process may use, hyper-threads counted once: more threads than that slow decoding down."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set()
    for number in allowed:
        siblings = str(number)
        with suppress(OSError):
            siblings = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list").read_text().strip()
        cores.add(siblings)
    return max(1, len(cores))
