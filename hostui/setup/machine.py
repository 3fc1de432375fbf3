"""Facts about this machine, looked up without starting anything."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from hostui.setup.decisions import BuildMachine

PACKAGE_TOOLS = ("apt-get", "dnf", "pacman", "zypper", "apk", "brew")


def _first(*names: str) -> str | None:
    return next((found for name in names if (found := shutil.which(name))), None)


def _cpu_features() -> str:
    """The features that the kernel lists, or the CPU's name where it lists none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    if match := re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE):
        return " ".join(sorted(match[1].split()))
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip()
    return platform.processor()


def _nvcc() -> str | None:
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda", "/opt/cuda"]
    return shutil.which("nvcc") or _first(*(f"{home}/bin/nvcc" for home in homes if home))


def look() -> BuildMachine:
    return BuildMachine(
        system=platform.system(),
        architecture=platform.machine(),
        cpu_features=_cpu_features(),
        c_compiler=_first(os.environ.get("CC") or "cc", "gcc", "clang"),
        cxx_compiler=_first(os.environ.get("CXX") or "c++", "g++", "clang++"),
        nvcc=_nvcc(),
        nvidia_driver=Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None,
        glslc=shutil.which("glslc"),
        package_tool=next((name for name in PACKAGE_TOOLS if shutil.which(name)), None),
    )


def cuda_version(nvcc: str) -> str:
    """What `nvcc --version` says of its release: a wheel is bound to the toolkit's libraries."""
    asked = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"release ([0-9.]+)", asked.stdout)
    return match[1] if match else "unknown"
