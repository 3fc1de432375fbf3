"""`python -m inference.engine.tools.dry_run_process`: the buffers that loading a variant would take, exactly, and nothing loaded.

llama.cpp reads the header, makes the worker's context on the real devices without allocating, and logs what it would
reserve. A header is hostile input and drivers crash, so this runs in a process of its own: inference.engine.tools.children asks.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.core.planning.imatrix_memory import sums_bytes
from inference.engine.llama import Context, LoadFailed, Log, Model
from inference.engine.serving.loading import CannotLoad, check_file, prepare
from inference.engine.tools.children import LONGEST_LINE, DryRun, DryRunFailed


def _attempt(request: Mapping[str, Any]) -> DryRun:
    """Raises DryRunFailed."""
    try:
        path, options = Path(request["path"]), LoadOptions.from_json(request["options"])
        header = check_file(path)
        log = Log()
        layout, gpus = prepare(options, EngineDevices.from_json(request))
        model = Model.load(path, log, layout=layout, no_alloc=True)
        Context(model, options, 1, log)
    except (KeyError, TypeError, ValueError) as error:
        raise DryRunFailed(f"the request makes no sense: {error}") from None
    except CannotLoad as error:
        raise DryRunFailed(error.detail) from None
    except LoadFailed as error:
        raise DryRunFailed(error.lines[-1] if error.lines else error.what) from None
    devices = log.buffers.devices(gpus, header, sums_bytes(header) if options.purpose == "imatrix" else 0)
    compute = {device["device"]: device["compute_bytes"] for device in devices}
    return DryRun(compute, log.buffers.n_gpu_layers)


def main() -> None:
    # Libraries print to descriptor 1 as they please: only the answer belongs there.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        reply: dict[str, Any] = asdict(_attempt(json.loads(sys.stdin.buffer.readline(LONGEST_LINE))))
    except DryRunFailed as failed:
        reply = {"detail": failed.detail}
    answer.write(json.dumps(reply) + "\n")
    answer.flush()
    # Nothing is left to save, and freeing contexts without memory is a path that llama.cpp hardly ever takes.
    os._exit(0)


if __name__ == "__main__":
    main()
