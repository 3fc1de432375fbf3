"""The dry run's own child process, on a machine that has a GPU-type device: python -m tests.engine.dry_run_over_rpc HOST:PORT"""

from __future__ import annotations

import sys

import inference.engine.llama  # noqa: F401  llama.cpp must be loaded before a device registers
from inference.engine import dry_run
from tests.models_app.rpc_device import register

if __name__ == "__main__":
    register(sys.argv[1])
    dry_run.main()
