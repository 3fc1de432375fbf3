from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

Oracle = Callable[[Sequence[Path]], list[dict[str, Any] | None]]
LoadInLlama = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def ggml_type_count(llama_sdist: Path) -> int:
    text = (llama_sdist / "vendor/llama.cpp/ggml/include/ggml.h").read_text()
    match = re.search(r"GGML_TYPE_COUNT\s*=\s*(\d+)", text)
    assert match
    return int(match[1])


def _ask(type_count: int, paths: Sequence[Path]) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.models_app.gguf_oracle", str(type_count)],
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def ggml_types(ggml_type_count: int) -> list[list[Any]]:
    """ggml's own table: number, name, block elements, block bytes."""
    table: list[list[Any]] = _ask(ggml_type_count, [])[0]
    return table


@pytest.fixture(scope="session")
def oracle(ggml_type_count: int) -> Oracle:
    """What llama.cpp's own reader makes of files, in a child process; None where it refuses."""
    return lambda paths: _ask(ggml_type_count, paths)[1:]


def load_in_child(path: Path, **options: Any) -> dict[str, Any]:
    """Loads a file with the real llama.cpp in a child process and returns what tests.models_app.llama_child.run says."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.models_app.llama_child", str(path), json.dumps(options)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


@pytest.fixture(scope="session")
def load_in_llama() -> LoadInLlama:
    return load_in_child


@pytest.fixture(scope="session")
def vocabularies(llama_sdist: Path) -> list[Path]:
    return sorted((llama_sdist / "vendor/llama.cpp/models").glob("ggml-vocab-*.gguf"))


@contextmanager
def serving_device(log: IO[bytes] | None = None) -> Iterator[str]:
    """The endpoint of a GPU-type device, served by a CPU process for as long as the block lasts."""
    with device_process(log) as (endpoint, _):
        yield endpoint


@contextmanager
def device_process(log: IO[bytes] | None = None, n_clients: int = 1) -> Iterator[tuple[str, int]]:
    """The same, for so many workers at once; and the process that holds what they allocate."""
    command = [sys.executable, "-m", "tests.models_app.rpc_device", str(n_clients)]
    pipe = subprocess.PIPE
    # What is freed goes back to the system at once, so that the process's size tells what is allocated.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, cwd=ROOT, env=environment) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield f"127.0.0.1:{server.stdout.readline().strip()}", server.pid
        server.stdin.close()
        assert server.wait(timeout=30) == 0


@pytest.fixture(scope="session")
def rpc_device() -> Iterator[str]:
    with serving_device() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def two_rpc_devices(rpc_device: str) -> Iterator[tuple[str, str]]:
    with serving_device() as endpoint:
        yield rpc_device, endpoint
