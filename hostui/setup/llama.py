"""llama-cpp-python, compiled for this machine once and kept outside the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections import deque
from pathlib import Path

from hostui.setup import decisions, machine
from hostui.setup.console import ProgressLine, say
from hostui.setup.decisions import SetupFailed
from hostui.setup.environment import VirtualEnvironment

PACKAGE = "llama-cpp-python"
TAIL_LINES = 25


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser() / "hostui"


def install(environment: VirtualEnvironment, version: str) -> Path:
    """The wheel for this machine is in the environment: from the cache, or compiled now (minutes). Returns where it is kept."""
    facts = machine.look()
    choice = decisions.choose_accel(os.environ.get("HOSTUI_ACCEL") or "auto", facts)
    flags = decisions.cmake_flags(choice.accel, os.environ.get("CMAKE_ARGS", ""))
    cuda = machine.cuda_version(facts.nvcc) if choice.accel == "cuda" and facts.nvcc else None
    key = decisions.wheel_key(version, flags, facts, cuda)
    kept = cache_folder() / "wheels" / key
    with environment.step("llama", key) as needed:
        if not needed:
            return kept
        if choice.remark:
            say(choice.remark)
        wheel = next(kept.glob("*.whl"), None)
        if wheel is None:
            if line := decisions.missing_compiler(facts):
                raise SetupFailed(line)
            say(f"Compiling llama.cpp for {choice.accel} (minutes; kept in {kept.parent} for later clones) …")
            wheel = _compile(environment, _sdist(environment, version), flags, facts, kept)
        else:
            say(f"Installing llama.cpp for {choice.accel} as compiled earlier …")
        environment.pip("install", "--force-reinstall", "--no-deps", "--no-cache-dir", str(wheel))
    return kept


def unpack(environment: VirtualEnvironment, version: str) -> None:
    """The sources lie under `.venv/llama-sdist/`: tests read its vocabularies, the benchmark builds its server."""
    folder = environment.folder / "llama-sdist"
    with environment.step("llama-sdist", version) as needed:
        if not needed:
            return
        say("Unpacking llama.cpp's sources …")
        shutil.rmtree(folder, ignore_errors=True)
        with tarfile.open(_sdist(environment, version)) as archive:
            # Python 3.10's first releases have no filters; the archive's hash was checked by pip.
            archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # type: ignore[arg-type]  # noqa: S202


def _sdist(environment: VirtualEnvironment, version: str) -> Path:
    """The source archive, downloaded once."""
    folder = cache_folder() / "sources"
    name = f"{PACKAGE.replace('-', '_')}-{version}.tar.gz"
    if not (folder / name).exists():
        say(f"Fetching the sources of {PACKAGE} {version} (76 MB) …")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as draft:
            environment.pip(
                "download", "--no-deps", "--no-binary", PACKAGE, "--no-cache-dir", "-d", draft, f"{PACKAGE}=={version}"
            )
            (Path(draft) / name).replace(folder / name)
    return folder / name


def _compile(
    environment: VirtualEnvironment, sdist: Path, flags: tuple[str, ...], facts: decisions.BuildMachine, kept: Path
) -> Path:
    kept.parent.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "CMAKE_ARGS": " ".join(flags)}
    variables.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    if facts.nvcc:
        variables.setdefault("CUDACXX", facts.nvcc)
    log = environment.folder / "llama-build.log"
    progress = ProgressLine("compiling llama.cpp")
    with tempfile.TemporaryDirectory(dir=kept.parent) as draft:
        # pip's own cache of wheels knows nothing of CMAKE_ARGS, so it is left out.
        command = environment.pip_command("wheel", "-v", "--no-deps", "--no-cache-dir", "-w", draft, str(sdist))
        with (
            log.open("w") as file,
            subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as build,
        ):
            tail: deque[str] = deque(maxlen=TAIL_LINES)
            assert build.stdout is not None
            for line in build.stdout:
                file.write(line)
                tail.append(line)
                if done := decisions.compile_progress(line):
                    progress.show(*done)
        if build.returncode:
            progress.finish("failed")
            say("".join(tail))
            raise SetupFailed(f"llama.cpp did not compile; the whole output is in {log}")
        progress.finish("done")
        shutil.rmtree(kept, ignore_errors=True)
        Path(draft).replace(kept)
        # The context manager removes the name that was moved away; an empty folder satisfies it.
        Path(draft).mkdir()
    return next(kept.glob("*.whl"))


def verify(environment: VirtualEnvironment, kept: Path) -> None:
    """llama_cpp can be imported and has the RPC device; to be called when all it needs is installed.

    One that doesn't work is not kept: the next run compiles it anew. Raises SetupFailed.
    """
    with environment.step("llama-verified", kept.name) as needed:
        if not needed:
            return
        check = "import llama_cpp, pathlib; print(*pathlib.Path(llama_cpp.__file__).parent.glob('lib/*ggml-rpc*'))"
        command = [str(environment.python), "-c", check]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode or "ggml-rpc" not in done.stdout:
            shutil.rmtree(kept, ignore_errors=True)
            environment.forget("llama")
            reason = (done.stderr.strip().splitlines() or ["it lacks libggml-rpc"])[-1]
            raise SetupFailed(f"the compiled llama.cpp does not work ({reason}); the next run compiles it anew")
