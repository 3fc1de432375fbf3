"""What the set-up decides from facts about the machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hostui.setup.decisions import (
    BuildMachine,
    SetupFailed,
    choose_accel,
    cmake_flags,
    compile_progress,
    missing_compiler,
    npm_will_do,
    pinned_version,
    wheel_key,
)
from tests.stack import BASE_DIR

PLAIN = BuildMachine(
    system="Linux",
    architecture="x86_64",
    cpu_features="avx avx2",
    c_compiler="/usr/bin/cc",
    cxx_compiler="/usr/bin/c++",
    nvcc=None,
    nvidia_driver=False,
    glslc=None,
    package_tool="apt-get",
)
NVIDIA = replace(PLAIN, nvcc="/usr/local/cuda/bin/nvcc", nvidia_driver=True)
APPLE = replace(PLAIN, system="Darwin", architecture="arm64", package_tool="brew")


@pytest.mark.parametrize(
    ("machine", "accel"),
    [
        (PLAIN, "cpu"),
        (NVIDIA, "cuda"),
        (APPLE, "metal"),
        (replace(APPLE, architecture="x86_64"), "cpu"),
        (replace(PLAIN, glslc="/usr/bin/glslc"), "vulkan"),
        (replace(NVIDIA, glslc="/usr/bin/glslc"), "cuda"),
        (replace(PLAIN, nvcc="/usr/bin/nvcc"), "cpu"),  # a toolkit without a GPU
    ],
)
def test_auto_takes_what_the_machine_has(machine: BuildMachine, accel: str) -> None:
    choice = choose_accel("auto", machine)
    assert (choice.accel, choice.remark) == (accel, None)


def test_a_driver_without_a_compiler_means_cpu_and_says_what_is_missing() -> None:
    choice = choose_accel("auto", replace(NVIDIA, nvcc=None))
    assert choice.accel == "cpu"
    assert choice.remark is not None
    assert "sudo apt-get install nvidia-cuda-toolkit" in choice.remark


def test_a_wish_is_granted() -> None:
    assert choose_accel("cpu", NVIDIA).accel == "cpu"
    assert choose_accel("cuda", replace(NVIDIA, nvidia_driver=False)).accel == "cuda"


@pytest.mark.parametrize(
    ("wish", "machine", "says"),
    [
        ("cuda", PLAIN, "nvidia-cuda-toolkit"),
        ("vulkan", PLAIN, "glslc"),
        ("metal", PLAIN, "Apple"),
        ("metal", replace(APPLE, architecture="x86_64"), "Apple"),
        ("gpu", PLAIN, "expected auto, cpu, cuda, vulkan, metal"),
        ("", PLAIN, "expected auto"),
    ],
)
def test_a_wish_that_cannot_be_had_names_what_is_missing(wish: str, machine: BuildMachine, says: str) -> None:
    with pytest.raises(SetupFailed, match=says):
        choose_accel(wish, machine)


@pytest.mark.parametrize(
    ("tool", "package"),
    [
        ("apt-get", "build-essential"),
        ("dnf", "gcc-c++"),
        ("pacman", "base-devel"),
        ("zypper", "gcc-c++"),
        ("apk", "build-base"),
        ("brew", "xcode-select"),
        (None, "build-essential"),
    ],
)
def test_a_missing_compiler_is_one_line_with_the_package(tool: str | None, package: str) -> None:
    line = missing_compiler(replace(PLAIN, cxx_compiler=None, package_tool=tool))
    assert line is not None
    assert package in line
    assert "\n" not in line
    assert missing_compiler(PLAIN) is None
    assert missing_compiler(replace(PLAIN, c_compiler=None)) is not None


def test_rpc_is_always_on_and_the_persons_own_flags_come_last() -> None:
    for accel in ("cpu", "cuda", "vulkan", "metal"):
        assert "-DGGML_RPC=ON" in cmake_flags(accel, "")  # type: ignore[arg-type]
    assert "-DGGML_CUDA=ON" in cmake_flags("cuda", "")
    assert cmake_flags("cpu", "-DGGML_NATIVE=OFF -DX=1")[-2:] == ("-DGGML_NATIVE=OFF", "-DX=1")


def test_a_wheel_is_shared_by_equal_machines_only() -> None:
    flags = cmake_flags("cpu", "")
    key = wheel_key("0.3.36", flags, PLAIN, None)
    assert key == wheel_key("0.3.36", flags, replace(PLAIN, glslc="/usr/bin/glslc", package_tool=None), None)
    others = [
        wheel_key("0.3.37", flags, PLAIN, None),
        wheel_key("0.3.36", cmake_flags("cuda", ""), PLAIN, None),
        wheel_key("0.3.36", flags, replace(PLAIN, architecture="aarch64"), None),
        wheel_key("0.3.36", flags, replace(PLAIN, cpu_features="avx avx2 avx512f"), None),
        wheel_key("0.3.36", flags, PLAIN, "12.4"),
    ]
    assert len({key, *others}) == 6
    assert "/" not in key


def test_the_version_comes_from_requirements_txt() -> None:
    assert pinned_version((BASE_DIR / "requirements.txt").read_text(), "llama-cpp-python") == "0.3.36"
    assert pinned_version("a==1\nb==2.0  # why\n", "b") == "2.0"
    with pytest.raises(SetupFailed):
        pinned_version("bb==2.0\n", "b")


def test_every_requirement_is_pinned_exactly_and_every_direct_one_has_its_reason() -> None:
    direct, _, brought = (BASE_DIR / "requirements.txt").read_text().partition("# What these bring along")
    assert brought
    for line in [*direct.splitlines(), *brought.splitlines()[1:]]:
        assert not line or line.startswith("#") or "==" in line, line
    assert all("#" in line for line in direct.splitlines() if "==" in line)


def test_progress_is_read_from_ninja_and_make() -> None:
    assert compile_progress("  [12/345] Building CXX object x.o") == (12, 345)
    assert compile_progress("[ 12%] Building CXX object x.o") == (12, 100)
    assert compile_progress("-- Installing: [1/2]") is None


@pytest.mark.parametrize(("version", "will_do"), [("11.19.1", True), ("9.0.0\n", True), ("8.19.4", False), ("", False)])
def test_npm_has_to_know_our_lock_file(version: str, will_do: bool) -> None:
    assert npm_will_do(version) is will_do
