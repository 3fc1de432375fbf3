"""The virtual environment `.venv` and the record of what is in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hostui.setup.console import say
from hostui.setup.decisions import SetupFailed

PIP = "pip==26.3"


class VirtualEnvironment:
    """`root` is the clone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self._stamps = self.folder / "stamps"

    def recorded(self, name: str) -> str | None:
        """The key with which that step was last done, or None."""
        try:
            return (self._stamps / name).read_text()
        except OSError:
            return None

    def forget(self, name: str) -> None:
        """That step will be done again."""
        (self._stamps / name).unlink(missing_ok=True)

    @contextmanager
    def step(self, name: str, key: str) -> Iterator[bool]:
        """Yields whether the step has to be done; records it when the block ends without an exception."""
        path = self._stamps / name
        needed = self.recorded(name) != key
        if needed:
            self.forget(name)
        yield needed
        if needed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(key)

    def create(self) -> None:
        """Makes the environment with the Python that runs this. One that is there and whole is kept, whoever made it.

        Raises SetupFailed.
        """
        with self.step("venv", PIP) as needed:
            if needed:
                if not self._is_whole():
                    self._make()
                self.pip("install", "--upgrade", PIP)

    def _is_whole(self) -> bool:
        """Whether it has a pip that starts: an interrupted set-up leaves one that has none."""
        try:
            done = subprocess.run([str(self.python), "-m", "pip", "--version"], capture_output=True, check=False)
        except OSError:
            return False
        return done.returncode == 0

    def _make(self) -> None:
        version = ".".join(map(str, sys.version_info[:2]))
        say(f"Making {self.folder} with Python {version} …")
        base = getattr(sys, "_base_executable", sys.executable)
        command = [base, "-m", "venv", "--clear", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr or done.stdout
            if "ensurepip" in done.stdout + done.stderr:
                raise SetupFailed(f"Python {version} has no venv. Run: sudo apt-get install python{version}-venv")
            raise SetupFailed(f"cannot make {self.folder}: {said.strip()}")

    def pip_command(self, verb: str, *arguments: str) -> list[str]:
        quiet = ["--disable-pip-version-check", "--no-input"]
        if verb == "install":
            quiet.append("--root-user-action=ignore")
        return [str(self.python), "-m", "pip", verb, *quiet, *arguments]

    def pip(self, verb: str, *arguments: str) -> None:
        """Runs pip quietly; what it printed comes out only when it fails. Raises SetupFailed."""
        done = subprocess.run(
            self.pip_command(verb, "--quiet", *arguments),
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            say(done.stdout.strip())
            raise SetupFailed(f"pip {verb} failed; see above")
