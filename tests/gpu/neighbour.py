"""Another program on the card: `python -m tests.gpu.neighbour 0000:01:00.0 LEFT` takes its memory but for LEFT bytes, by the driver alone.

Prints `holds`, keeps it for as long as its standard input is open, and knows nothing of hostui.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIECES_BYTES = (64 << 20, 2 << 20)
"""Taken at a time, the large ones first: what is free may not be had in one piece."""


class _Driver:
    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")

    def __call__(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise OSError(f"{name} fails with code {code}")


def _take(place: str, left_bytes: int) -> None:
    driver = _Driver()
    device, context, pointer = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    driver("cuInit", 0)
    driver("cuDeviceGetByPCIBusId", ctypes.byref(device), place.encode())
    driver("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    driver("cuCtxSetCurrent", context)
    for piece_bytes in PIECES_BYTES:
        while True:
            driver("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
            if free.value < left_bytes + piece_bytes:
                break
            driver("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(piece_bytes))


@contextmanager
def neighbour(place: str, left_bytes: int) -> Iterator[int]:
    """Has taken its share inside the block, and is gone after it. Its process id."""
    command = [sys.executable, "-m", "tests.gpu.neighbour", place, str(left_bytes)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "holds\n":
            raise AssertionError(f"nothing could be taken of the card:\n{process.stderr.read()}")
        try:
            yield process.pid
        finally:
            process.stdin.close()


def main() -> None:
    _take(sys.argv[1], int(sys.argv[2]))
    print("holds", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
