"""A machine whose NVIDIA driver says what a test wants: our stub of the driver's library, under the real pynvml, in a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BASE_DIR = Path(__file__).resolve().parent.parent.parent
SOURCE = Path(__file__).with_name("stub.c")
GIB = 1 << 30

RTX_3060: dict[str, Any] = {
    "name": "NVIDIA GeForce RTX 3060",
    "bus_id": "00000000:0A:00.0",
    "total": 12 * GIB,
    "used": 1 * GIB,
    "utilisation": 40,
    "bandwidth": 25,
    "temperature": 61,
    "power": 120_500,
    "processes": "",
    "bus_width": 192,
    "memory_clock": 7501,
    "pcie_generation": 4,
    "pcie_lanes": 16,
}


def compile_stub(folder: Path) -> Path:
    """The folder that holds libnvidia-ml.so.1, built with the system's C compiler."""
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(SOURCE)], check=True
    )
    return folder


class Machine:
    """The child process and the file that scripts its driver."""

    def __init__(self, folder: Path, library: Path | None) -> None:
        self._script = folder / "nvml.txt"
        self._write([])
        self.environment = {**os.environ, "NVML_STUB": str(self._script)}
        self.environment.pop("LD_LIBRARY_PATH", None)
        if library is not None:
            self.environment["LD_LIBRARY_PATH"] = str(library)
        self._child = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.nvml.child"],
            cwd=BASE_DIR,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def has(self, *gpus: dict[str, Any], **top: Any) -> None:
        """From now on the driver says this; `top` are keys that belong to no card."""
        lines = [f"{key} {value}" for key, value in {"count": len(gpus), **top}.items()]
        for number, gpu in enumerate(gpus):
            lines += [f"gpu{number}.{key} {value}" for key, value in gpu.items()]
        self._write(lines)

    def _write(self, lines: Sequence[str]) -> None:
        # Replaced, not rewritten: the stub may be reading.
        fresh = self._script.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self._script)

    def ask(self, question: str) -> Any:
        """`read`: GpuReadings of one lasting session; `gpus`: nvidia_gpus(); `cards BUS…`: names of the cards that
        telemetry finds for gpu0, gpu1…, which llama.cpp sees there; `pass SECONDS`: time goes by; `imported`: whether pynvml is."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(question + "\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def close(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        assert self._child.wait(30) == 0
        self._child.stdout.close()
