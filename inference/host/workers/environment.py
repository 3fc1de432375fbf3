"""What a worker may know of the environment."""

from __future__ import annotations

from collections.abc import Mapping

_PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE"),
        *("PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LLAMA_CPP_LIB_PATH"),
    }
)
_PASSED_ON_PREFIXES = ("CUDA_", "NVIDIA_", "GGML_", "OMP_", "GOMP_", "KMP_", "HSA_", "HIP_", "ROCR_", "VK_", "MTL_")


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a worker may know: how to find programs, libraries and devices. No secrets, no database."""
    passed_on = {
        name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return {
        # CUDA would count its cards by speed; NVML, and so the hardware profile, counts them by their place on the bus.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        # A crash must be seen at once; llama.cpp would first start a debugger to print a backtrace.
        "GGML_NO_BACKTRACE": "1",
        # Weights, KV cache and vocabulary in pages of 2 MiB, and the last from one heap that grows in large steps: decoding alone
        # is 7 % faster, a vocabulary is read in three quarters of the time. Where glibc or the kernel knows no such pages, nothing changes.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.top_pad=33554432",
        **passed_on,
    }
