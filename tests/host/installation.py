"""A data folder with models in it, for the tests that start `manage.py runhost` as a process."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.host.cast import DEADLINE_SECONDS

MANAGE = [sys.executable, str(Path(__file__).resolve().parents[2] / "manage.py")]
SMALL = """
from models_app.models import Repository, Shard, Variant
from pathlib import Path
Variant.objects.update(n_ctx_seq=512, n_seq_max=2)
broken = Variant.objects.create(repository=Repository.objects.get(), name="broken", size_bytes=5)
Shard.objects.create(variant=broken, path={broken!r}, size_bytes=5)
"""


class Installation:
    """A data folder with the starter (variant 1) and a broken file (variant 2)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "HOSTUI_DATA_DIR": str(folder), "HOSTUI_DRAIN_SECONDS": "20"}

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MANAGE, *arguments], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def socket(self) -> str:
        socket = str(self.folder / "run" / "host.sock")
        assert len(socket) < 90
        return socket

    @contextmanager
    def host(self, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """A running host that answers. Whatever is left of it at the end is killed."""
        process = subprocess.Popen(
            [*MANAGE, "runhost"], env={**self.environment, **environment}, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        children: list[psutil.Process] = []
        try:
            asyncio.run(self._until_it_answers(process))
            yield process
        finally:
            if process.poll() is None:
                children = psutil.Process(process.pid).children(recursive=True)
                process.kill()
            process.communicate()
            psutil.wait_procs(children, timeout=DEADLINE_SECONDS)

    async def _until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        async def ask() -> None:
            while True:
                assert process.poll() is None, "the host ended"
                try:
                    _, writer = await asyncio.open_unix_connection(self.socket)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

        await asyncio.wait_for(ask(), DEADLINE_SECONDS)


@contextmanager
def prepared(starter_path: Path) -> Iterator[Path]:
    """A data folder to copy: its database is made once for all that start from the same."""
    with tempfile.TemporaryDirectory(prefix="runhost-") as name:
        folder = Path(name)
        broken = folder / "broken.gguf"
        broken.write_bytes(b"hello")
        installation = Installation(folder)
        for arguments in (
            ("migrate", "--verbosity", "0"),
            ("add_model", str(starter_path)),
            ("shell", "--verbosity", "0", "-c", SMALL.format(broken=str(broken))),
        ):
            done = installation.manage(*arguments)
            assert done.returncode == 0, done.stderr
        yield folder


@contextmanager
def installed(prepared_folder: Path) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="runhost-") as name:
        shutil.copytree(prepared_folder, name, dirs_exist_ok=True)
        yield Installation(Path(name))


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Those with a variant, and the one that waits for the next load where it is there already."""
    return psutil.Process(process.pid).children()
