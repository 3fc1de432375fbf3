from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from inference.engine.tools.children import ListedGpu, NoAnswer, list_gpus
from inference.host.workers.environment import worker_environment
from models_app.hardware import Device
from models_app.hardware.nvidia import nvidia_gpus

HERE = Path(__file__).parent


def why_not(cards: Sequence[Device], listed: Sequence[ListedGpu]) -> str | None:
    """Why there is nothing to test here; None where there is. `cards`: the driver's, `listed`: those that llama.cpp can use."""
    if not cards:
        return "no NVIDIA driver answers here, or it has no card"
    if not any(each.key.startswith("CUDA") for each in listed):
        return f"the llama.cpp that is installed cannot use {cards[0].name}; build it with CUDA (HOSTUI_ACCEL=cuda)"
    return None


def main() -> int:
    try:
        listed = asyncio.run(list_gpus((), worker_environment(os.environ)))
    except NoAnswer as none:
        listed, failed = (), none.detail
    else:
        failed = None
    reason = failed or why_not(nvidia_gpus(), listed)
    if reason is not None:
        print(f"tests/gpu did not run: {reason}.".replace("..", "."))
        return 0
    # Of the plugins that happen to be installed none may have a say.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    own = ["-c", str(HERE / "pytest.ini"), "--confcutdir", str(HERE), "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    return int(pytest.main([*own, "-s", "-v", *sys.argv[1:], str(HERE)]))


if __name__ == "__main__":
    sys.exit(main())
