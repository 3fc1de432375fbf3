"""Builds llama-server and the bare loader from the llama.cpp sources that the installed llama-cpp-python was built from.

The sources are those inside llama-cpp-python's own sdist, configured through its own CMakeLists.txt with the accelerators that the
installed package has, so both sides run the same kernels compiled by the same compiler. The result lies in the user's cache, outside the
clone, and is built again only when something that decides it changes.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD_TOOLS = ("cmake==3.31.6", "ninja==1.11.1.4")
"""Fetched from PyPI where the machine has no cmake; building the Python package does the same."""

_FIXED_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAVA_BUILD=OFF",  # the server's own tools/mtmd takes its place; twice it does not configure
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-Wno-dev",
)
_ACCELERATORS = {"ggml-cuda": "GGML_CUDA", "ggml-vulkan": "GGML_VULKAN", "ggml-hip": "GGML_HIP", "ggml-rpc": "GGML_RPC"}


class BuildFailed(Exception):
    """cmake or the compiler failed; the message ends with the last lines of the log and its path."""


@dataclass(frozen=True, slots=True)
class LlamaPrograms:
    """What was built, and from what."""

    server: Path
    bare_load: Path
    options: tuple[str, ...]


def cmake_options(libraries: Collection[str]) -> tuple[str, ...]:
    """cmake's options for a package that ships these shared libraries (base names without "lib" and suffixes)."""
    chosen = [f"-D{option}=ON" for library, option in _ACCELERATORS.items() if library in libraries]
    return (*_FIXED_OPTIONS, *chosen)


def _installed_libraries() -> set[str]:
    spec = find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise BuildFailed("llama-cpp-python is not installed: run `make` first")
    names = (path.name for path in (Path(spec.origin).parent / "lib").iterdir())
    return {name.split(".")[0].removeprefix("lib") for name in names}


def sources() -> Path:
    """llama-cpp-python's unpacked sdist, as `make` leaves it. Raises BuildFailed."""
    folder = ROOT / ".venv" / "llama-sdist"
    candidates = (folder, *sorted(folder.glob("*/"))) if folder.is_dir() else ()
    for candidate in candidates:
        if (candidate / "vendor" / "llama.cpp" / "CMakeLists.txt").is_file():
            return candidate
    raise BuildFailed(f"no llama-cpp-python sources in {folder}: run `make bench`, whose set-up unpacks them")


def _compiler_version() -> str:
    compiler = os.environ.get("CXX", "c++")
    try:
        return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[
            0
        ]
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildFailed(f"no C++ compiler ({compiler}): {error}") from None


def _cpu_flags() -> str:
    """What -march=native turns on; a cache shared by two machines must not mix them."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.machine()


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hostui" / "llama-server"


def _tools() -> tuple[str, list[str]]:
    """cmake, and the generator arguments to use with it."""
    cmake, ninja = shutil.which("cmake"), shutil.which("ninja")
    if cmake is None:
        tools = cache_folder().parent / "build-tools"
        if not (tools / "bin" / "cmake").is_file():
            subprocess.run([sys.executable, "-m", "venv", tools], check=True)
            subprocess.run([tools / "bin" / "pip", "install", "--quiet", *BUILD_TOOLS], check=True)
        cmake, ninja = str(tools / "bin" / "cmake"), str(tools / "bin" / "ninja")
    return cmake, ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []


def _run(command: list[str], log: Path) -> None:
    with log.open("ab") as output:
        ended = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT)
    if ended.returncode:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        raise BuildFailed(f"{command[0]} failed:\n{tail}\n(all of it: {log})")


def _build(folder: Path, source: Path, options: tuple[str, ...]) -> None:
    log = folder / "build.log"
    cmake, generator = _tools()
    print(f"building llama-server (once, about 6 minutes on 2 cores; log: {log})", file=sys.stderr, flush=True)
    _run([cmake, "-S", str(source), "-B", str(folder), *generator, *options], log)
    _run([cmake, "--build", str(folder), "--target", "llama-server", "--parallel", str(os.cpu_count() or 2)], log)


def _compile_bare_load(binary: Path, folder: Path, source: Path) -> None:
    llama_cpp = source / "vendor" / "llama.cpp"
    libraries = folder / "bin"
    code = Path(__file__).with_name("bare_load.c")
    include = [f"-I{llama_cpp / 'include'}", f"-I{llama_cpp / 'ggml' / 'include'}"]
    link = [f"-L{libraries}", "-lllama", "-lggml", "-lggml-base", f"-Wl,-rpath,{libraries}"]
    command = [os.environ.get("CC", "cc"), "-O2", str(code), *include, *link, "-o", str(binary)]
    _run(command, folder / "build.log")


def build_quantize() -> Path:
    """llama-quantize, out of the same tree. Blocks for a minute the first time. Raises BuildFailed."""
    folder = build().server.parents[1]
    program = folder / "bin" / "llama-quantize"
    if not program.is_file():
        cmake, _ = _tools()
        jobs = str(os.cpu_count() or 2)
        _run([cmake, "--build", str(folder), "--target", "llama-quantize", "--parallel", jobs], folder / "build.log")
    return program


def build() -> LlamaPrograms:
    """Both programs, built now where the cache does not hold them. Blocks for minutes then. Raises BuildFailed."""
    options = cmake_options(_installed_libraries())
    decisive = (version("llama-cpp-python"), *options, _compiler_version(), _cpu_flags())
    folder = cache_folder() / hashlib.sha256("\n".join(decisive).encode()).hexdigest()[:16]
    server, complete = folder / "bin" / "llama-server", folder / "complete"
    if not complete.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _build(folder, sources(), options)
        complete.touch()
    code = Path(__file__).with_name("bare_load.c").read_bytes()
    bare_load = folder / "bin" / f"bare_load-{hashlib.sha256(code).hexdigest()[:12]}"
    if not bare_load.is_file():
        _compile_bare_load(bare_load, folder, sources())
    return LlamaPrograms(server=server, bare_load=bare_load, options=options)
