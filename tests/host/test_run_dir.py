"""One host per data folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from inference.core.loads.resident_id import ResidentId
from inference.host.run_dir import HostIsRunning, RunDir


def test_a_second_host_learns_who_holds_the_lock(tmp_path: Path) -> None:
    first = RunDir(str(tmp_path / "host.sock"), tmp_path / "host.lock")
    first.lock()
    with pytest.raises(HostIsRunning) as refused:
        RunDir(str(tmp_path / "host.sock"), tmp_path / "host.lock").lock()
    assert refused.value.pid == os.getpid()
    first.close()
    again = RunDir(str(tmp_path / "host.sock"), tmp_path / "host.lock")
    again.lock()
    again.close()


def test_sockets_of_an_earlier_host_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("host.sock", "worker-1-7.sock", "serve.json", "serve.sock"):
        (tmp_path / name).touch()
    run_dir = RunDir(str(tmp_path / "host.sock"), tmp_path / "host.lock")
    run_dir.lock()
    run_dir.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host.lock", "serve.json", "serve.sock"]
    run_dir.close()


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    run_dir = RunDir(str(folder / "host.sock"), tmp_path / "host.lock")
    run_dir.lock()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    run_dir.close()


def test_workers_sockets_lie_beside_the_hosts(tmp_path: Path) -> None:
    run_dir = RunDir(str(tmp_path / "host.sock"), tmp_path / "host.lock")
    assert run_dir.worker_socket(ResidentId(3), 12) == str(tmp_path / "worker-3-12.sock")
    assert run_dir.worker_socket(ResidentId(3, "imatrix"), 13) == str(tmp_path / "worker-3.imatrix-13.sock")
