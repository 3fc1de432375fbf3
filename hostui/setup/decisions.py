"""What to compile and for what, decided from facts about the machine. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal, get_args

Accel = Literal["cpu", "cuda", "vulkan", "metal"]
ACCELS: tuple[Accel, ...] = get_args(Accel)

_FLAGS: dict[Accel, tuple[str, ...]] = {
    "cpu": (),
    "cuda": ("-DGGML_CUDA=ON",),
    "vulkan": ("-DGGML_VULKAN=ON",),
    "metal": ("-DGGML_METAL=ON",),
}


class SetupFailed(Exception):
    """One line for the person at the console: what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class BuildMachine:
    """Facts that decide the build. Tools are paths, None where there is none."""

    system: str
    """Linux or Darwin."""
    architecture: str
    cpu_features: str
    """What -march=native depends on, as one string; anything that differs between machines that must not share a build."""
    c_compiler: str | None
    cxx_compiler: str | None
    nvcc: str | None
    nvidia_driver: bool
    glslc: str | None
    package_tool: str | None
    """apt-get, dnf, pacman, zypper, apk or brew."""


@dataclass(frozen=True, slots=True)
class AccelChoice:
    accel: Accel
    remark: str | None
    """Worth telling the person, or None."""


def choose_accel(wish: str, machine: BuildMachine) -> AccelChoice:
    """What llama.cpp is compiled for. Raises SetupFailed where the wish is unknown or cannot be had."""
    if wish not in ("auto", *ACCELS):
        raise SetupFailed(f"HOSTUI_ACCEL={wish!r}: expected auto, {', '.join(ACCELS)}")
    is_metal = machine.system == "Darwin" and machine.architecture == "arm64"
    if wish == "auto":
        if is_metal:
            return AccelChoice("metal", None)
        if machine.nvidia_driver and machine.nvcc:
            return AccelChoice("cuda", None)
        if machine.glslc and not machine.nvidia_driver:
            return AccelChoice("vulkan", None)
        if machine.nvidia_driver:
            package = _package(machine, cuda=True)
            return AccelChoice(
                "cpu",
                f"There is an NVIDIA driver but no CUDA compiler (nvcc), so this build uses the CPU alone. {package}, then make serve again.",
            )
        return AccelChoice("cpu", None)
    if wish == "cuda" and not machine.nvcc:
        raise SetupFailed(f"HOSTUI_ACCEL=cuda needs the CUDA compiler nvcc. {_package(machine, cuda=True)}.")
    if wish == "vulkan" and not machine.glslc:
        raise SetupFailed(f"HOSTUI_ACCEL=vulkan needs the shader compiler glslc. {_package(machine, vulkan=True)}.")
    if wish == "metal" and not is_metal:
        raise SetupFailed("HOSTUI_ACCEL=metal needs a Mac with an Apple chip")
    return AccelChoice(next(accel for accel in ACCELS if accel == wish), None)


def missing_compiler(machine: BuildMachine) -> str | None:
    """The line that names the package, or None where C and C++ can be compiled."""
    if machine.c_compiler and machine.cxx_compiler:
        return None
    kind = "C++" if machine.c_compiler else "C/C++"
    return f"llama.cpp has to be compiled, and there is no {kind} compiler. {_package(machine)}."


def _package(machine: BuildMachine, *, cuda: bool = False, vulkan: bool = False) -> str:
    which = "cuda" if cuda else "vulkan" if vulkan else "compiler"
    commands = {
        "apt-get": {
            "compiler": "sudo apt-get install build-essential",
            "cuda": "sudo apt-get install nvidia-cuda-toolkit",
            "vulkan": "sudo apt-get install glslc libvulkan-dev",
        },
        "dnf": {
            "compiler": "sudo dnf install gcc gcc-c++",
            "cuda": "sudo dnf install cuda-toolkit",
            "vulkan": "sudo dnf install glslc vulkan-loader-devel",
        },
        "pacman": {
            "compiler": "sudo pacman -S base-devel",
            "cuda": "sudo pacman -S cuda",
            "vulkan": "sudo pacman -S shaderc vulkan-headers vulkan-icd-loader",
        },
        "zypper": {
            "compiler": "sudo zypper install gcc gcc-c++",
            "cuda": "sudo zypper install cuda-toolkit",
            "vulkan": "sudo zypper install shaderc vulkan-devel",
        },
        "apk": {
            "compiler": "apk add build-base",
            "cuda": "install NVIDIA's CUDA toolkit",
            "vulkan": "apk add shaderc vulkan-loader-dev",
        },
        "brew": {
            "compiler": "xcode-select --install",
            "cuda": "install NVIDIA's CUDA toolkit",
            "vulkan": "brew install shaderc vulkan-headers",
        },
    }
    fallback = {
        "compiler": "gcc and g++ (Debian and Ubuntu call the package build-essential)",
        "cuda": "NVIDIA's CUDA toolkit",
        "vulkan": "glslc and the Vulkan headers",
    }
    command = commands.get(machine.package_tool or "")
    return f"Run: {command[which]}" if command else f"Install {fallback[which]}"


def cmake_flags(accel: Accel, extra: str) -> tuple[str, ...]:
    """The flags of the build. `extra` is the person's own CMAKE_ARGS, which come last and so win."""
    # RPC: a second process, or a second box, as a device; every build has it.
    # LLAVA_BUILD is the image encoder, which nothing here uses.
    return ("-DGGML_RPC=ON", "-DLLAVA_BUILD=OFF", *_FLAGS[accel], *extra.split())


def wheel_key(version: str, flags: tuple[str, ...], machine: BuildMachine, cuda_version: str | None) -> str:
    """A folder name under which this machine's wheel is kept. Equal keys mean interchangeable wheels."""
    facts = [version, flags, machine.system, machine.architecture, machine.cpu_features, cuda_version]
    return f"{version}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def pinned_version(requirements: str, package: str) -> str:
    """The version in a line `package==version`. Raises SetupFailed."""
    match = re.search(rf"^{re.escape(package)}==([^\s;#]+)", requirements, re.MULTILINE)
    if match is None:
        raise SetupFailed(f"requirements.txt does not pin {package}")
    return match[1]


def stamp(*parts: str) -> str:
    """What a step was made from, as one short string."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def compile_progress(line: str) -> tuple[int, int] | None:
    """(done, total) out of one of ninja's lines `[12/345] Building …`, or make's `[ 12%] Building …`."""
    if match := re.match(r"\s*\[(\d+)/(\d+)\]", line):
        return int(match[1]), int(match[2])
    if match := re.match(r"\s*\[\s*(\d+)%\]", line):
        return int(match[1]), 100
    return None


def npm_will_do(version: str) -> bool:
    """Whether that `npm --version` installs our lock file."""
    match = re.match(r"(\d+)\.", version.strip())
    return match is not None and int(match[1]) >= 9
