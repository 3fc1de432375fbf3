"""What a worker inherits, and what is kept of what it says."""

from __future__ import annotations

from pathlib import Path

from inference.host.workers.environment import worker_environment
from inference.host.workers.log import LARGEST_LOG_BYTES, WorkerLog


def test_a_worker_gets_libraries_and_devices_but_no_secrets() -> None:
    environment = {
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": "/lib",
        "CUDA_VISIBLE_DEVICES": "0",
        "GGML_VK_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "2",
        "PYTHONPATH": "/src",
        "DATABASE_URL": "postgres://user:secret@box/db",
        "HOSTUI_DATA_DIR": "/data",
        "HOSTUI_REDIS_URL": "redis://box",
        "HOSTUI_LIFELINE": "stdin",
        "DJANGO_SETTINGS_MODULE": "hostui.settings",
        "HF_TOKEN": "hf_secret",
        "SECRET_KEY": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "SSH_AUTH_SOCK": "/tmp/agent",
        "LD_PRELOAD": "/tmp/evil.so",
    }
    assert set(worker_environment(environment)) == {
        "CUDA_DEVICE_ORDER",
        "GGML_NO_BACKTRACE",
        "GLIBC_TUNABLES",
        "PATH",
        "LANG",
        "LD_LIBRARY_PATH",
        "CUDA_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "PYTHONPATH",
    }


def test_the_log_never_grows_beyond_twice_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "worker-1.log"
    log = WorkerLog(path)
    for _ in range(5 * LARGEST_LOG_BYTES // 65_536):
        log.write(b"x" * 65_535 + b"\n")
    log.close()
    assert path.stat().st_size <= LARGEST_LOG_BYTES
    assert path.with_name("worker-1.log.1").stat().st_size <= LARGEST_LOG_BYTES
    assert len(list(path.parent.iterdir())) == 2


def test_the_last_lines_are_kept_whole_across_chunks(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "worker-1.log")
    for chunk in (b"first\nsec", b"ond\nthi", b"rd"):
        log.write(chunk)
    log.close()
    assert log.tail() == ["first", "second", "third"]


def test_a_log_that_cannot_be_written_loses_only_the_file(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    log = WorkerLog(tmp_path / "logs" / "worker-1.log")
    log.write(b"still heard\n")
    assert log.tail()[0] == "still heard"
