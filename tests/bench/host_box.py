"""A box of which only the host runs, with variants of its own: `manage.py runhost` in a data folder that goes with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

import psutil

from inference.core.loads.options import LoadOptions
from inference.host.api.client import HostClient
from tests.bench.box import LOG_LINES, BoxFailed
from tests.stack import BASE_DIR, is_gone, wait_for

START_SECONDS = 60.0
END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class HostBox:
    process: subprocess.Popen[bytes]
    socket: str
    variants: Mapping[str, int]
    """Ids by name."""
    data_dir: Path
    seen: dict[int, psutil.Process] = field(default_factory=dict)
    """Every process found below the host so far."""

    @property
    def client(self) -> HostClient:
        return HostClient(self.socket)

    def look(self) -> None:
        """Remembers the processes that are below the host now, itself included."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            for process in [root, *root.children(recursive=True)]:
                self.seen.setdefault(process.pid, process)

    def end(self) -> list[psutil.Process]:
        """Ends the host as its supervisor's end would, and returns what is left of its processes after END_SECONDS."""
        self.look()
        assert self.process.stdin is not None
        self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        with suppress(AssertionError):
            wait_for(lambda: all(map(is_gone, self.seen.values())), "processes to end", END_SECONDS)
        return [process for process in self.seen.values() if not is_gone(process)]


def variant_row(name: str, path: Path, options: LoadOptions, **fields: Any) -> dict[str, Any]:
    """A variant that is loaded with these options and no lesser ones. `fields` go before them."""
    return {
        "name": name,
        "path": str(path),
        "n_ctx_seq": options.n_ctx_seq,
        "n_seq_max": options.n_seq_max,
        "may_quantize_kv": False,
        **fields,
    }


@contextmanager
def running_host(
    variants: Sequence[Mapping[str, Any]], *, gpu_budget: str | None = None, **variables: str
) -> Iterator[HostBox]:
    """Answers inside the block. A fault inside shows the last lines of its log; whatever it left is ended."""
    data_dir = Path(tempfile.mkdtemp(prefix="hostui-bench-"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HOSTUI_") and k != "DATABASE_URL"}
    environment = {
        **clean,
        "HOSTUI_DATA_DIR": str(data_dir),
        "HOSTUI_LIFELINE": "stdin",
        "DJANGO_SETTINGS_MODULE": "hostui.settings",
        **variables,
    }
    log = data_dir / "runhost.log"
    try:
        prepared = _prepare({"variants": [dict(each) for each in variants], "gpu_budget": gpu_budget}, environment)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(BASE_DIR / "manage.py"), "runhost"],
                cwd=BASE_DIR,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        box = HostBox(process, prepared["host_socket"], prepared["variants"], data_dir)
        try:
            wait_for(lambda: process.poll() is not None or Path(box.socket).exists(), "the host", START_SECONDS)
            yield box
        except BaseException:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
            print("--- runhost", *lines, sep="\n", file=sys.stderr)
            raise
        finally:
            for left in box.end():
                with suppress(psutil.NoSuchProcess):
                    left.kill()
    finally:
        rmtree(data_dir, ignore_errors=True)


def _prepare(wanted: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.host_setup"],
        cwd=BASE_DIR,
        env=dict(environment),
        input=json.dumps(wanted) + "\n",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BoxFailed(f"setting up the variants failed:\n{done.stderr}")
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed
