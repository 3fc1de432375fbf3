"""Starting and ending a worker: what it reports, what it refuses to load, and that it never outlives its host."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.worker_process import PATIENCE_SECONDS, ROOT, WorkerProcess, text

pytestmark = pytest.mark.live


def test_ready_tells_what_was_loaded(starter_path: Path, tmp_path: Path) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=512, n_seq_max=2) as worker:
        ready = worker.report("ready")
        assert (ready["n_ctx"], ready["n_ctx_seq"], ready["n_seq_max"]) == (1024, 512, 2)
        assert (ready["n_layers"], ready["n_ctx_train"], ready["mode"]) == (30, 8192, "chat")
        assert 0.9 < ready["weights_bytes"] / starter_path.stat().st_size < 1.1
        # 30 layers, keys and values, 3 heads of 64, two bytes each
        assert ready["kv_bytes"] == 1024 * 30 * 2 * 3 * 64 * 2
        assert ready["compute_bytes"] > 0
        assert ready["load_seconds"] > 0
        assert stat.S_IMODE(worker.path.stat().st_mode) == 0o600


def test_options_reach_llama_cpp(starter_path: Path, tmp_path: Path) -> None:
    options = {"n_ctx_seq": 256, "n_seq_max": 1, "type_k": "q8_0", "type_v": "q8_0", "n_threads": 1, "n_batch": 32}
    with WorkerProcess(starter_path, tmp_path, **options) as worker:
        assert worker.report("ready")["kv_bytes"] < 256 * 30 * 2 * 3 * 64 * 2 * 0.6
        assert text(worker.answer("word " * 100, temperature=0, max_tokens=3))


def test_the_end_of_standard_input_ends_a_ready_worker_in_the_middle_of_an_answer(
    starter_path: Path, tmp_path: Path
) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=512, n_seq_max=1) as worker:
        worker.report("ready")
        with worker.generate(prompt="On", max_tokens=500, logit_bias={"0": -100, "2": -100}) as call:
            call.next("token")
            children = _children(worker.process.pid)
            assert children, "the renderer"
            assert worker.stop() == 0
            for child in children:
                _wait_for_end(child)


def test_killing_a_worker_leaves_no_process_behind(starter_path: Path, tmp_path: Path) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=512, n_seq_max=1) as worker:
        worker.report("ready")
        children = _children(worker.process.pid)
        worker.process.kill()
        for child in children:
            _wait_for_end(child)


def test_the_end_of_standard_input_ends_a_loading_worker(starter_path: Path, tmp_path: Path) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=8192, n_seq_max=8) as worker:
        worker.report("loading")
        assert worker.stop() == 0


def test_an_interrupt_from_the_terminal_is_left_to_the_host(starter_path: Path, tmp_path: Path) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=256, n_seq_max=1) as worker:
        worker.report("ready")
        worker.process.send_signal(signal.SIGINT)
        assert text(worker.answer("Hello", temperature=0, max_tokens=2))


# files that cannot be loaded ----------------------------------------------------------------------------------


def _damaged(starter: Path, folder: Path, kind: str) -> Path:
    path = folder / "model.gguf"
    with starter.open("rb") as file:
        head = bytearray(file.read(4 * 1024 * 1024))
    if kind == "missing":
        return path
    if kind == "a folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("# not a model\n" * 1000)
    elif kind == "truncated":
        path.write_bytes(head)
    elif kind == "huge tensor count":
        head[8:16] = struct.pack("<Q", 2**62)
        path.write_bytes(head)
    elif kind == "huge string":
        head[24:32] = struct.pack("<Q", 2**40)
        path.write_bytes(head)
    elif kind == "lost shard":
        path = folder / "model-00001-of-00002.gguf"
        path.write_bytes(head)
    elif kind == "unknown architecture":
        path.write_bytes(_minimal_gguf("marvin"))
    return path


def _minimal_gguf(architecture: str) -> bytes:
    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    body = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    body += string("general.architecture") + struct.pack("<I", 8) + string(architecture)
    return body + b"\0" * (-len(body) % 32)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "bad_file"),
        ("a folder", "bad_file"),
        ("empty", "bad_file"),
        ("text", "bad_file"),
        ("truncated", "bad_file"),
        ("huge tensor count", "bad_file"),
        ("huge string", "bad_file"),
        ("lost shard", "bad_file"),
        ("unknown architecture", "unsupported"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_reported_with_the_reason(
    starter_path: Path, tmp_path: Path, kind: str, reason: str
) -> None:
    with WorkerProcess(_damaged(starter_path, tmp_path, kind), tmp_path) as worker:
        failed = worker.report("failed")
        assert failed["reason"] == reason
        assert "model" in failed["detail"]
        assert worker.process.wait(PATIENCE_SECONDS) == 1


def test_too_little_memory_is_called_that(starter_path: Path, tmp_path: Path) -> None:
    with WorkerProcess(starter_path, tmp_path, n_ctx_seq=16_384, n_seq_max=16) as worker:
        # The KV cache asks for 6 GB at once.
        resource.prlimit(worker.process.pid, resource.RLIMIT_AS, (2 << 30, 2 << 30))
        failed = worker.report("failed")
        assert failed["reason"] == "out_of_memory"
        assert starter_path.name in failed["detail"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b'{"type": "launch"}\n',
        b'{"type": "launch", "path": 1, "socket": "s", "options": {}}\n',
        b'{"type": "launch", "path": "p", "socket": "s", "options": {"n_ctx_seq": -1}}\n',
        b'{"type": "launch", "path": "p", "socket": "s", "options": {"rpc_servers": "evil"}}\n',
    ],
)
def test_a_launch_line_that_makes_no_sense_is_refused(line: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inference.engine.worker"],
        cwd=ROOT,
        input=line,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    failed = json.loads(done.stdout)
    assert (failed["type"], failed["reason"]) == ("failed", "bad_options")


def test_a_socket_that_cannot_be_created_is_refused(starter_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with WorkerProcess(starter_path, folder, n_ctx_seq=256, n_seq_max=1) as worker:
        assert worker.report("failed")["reason"] == "bad_options"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait_for_end(pid: int) -> None:
    descriptor = os.pidfd_open(pid) if _exists(pid) else None
    if descriptor is not None:
        ended, _, _ = select.select([descriptor], [], [], PATIENCE_SECONDS)
        os.close(descriptor)
        assert ended, f"process {pid} is still there"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
