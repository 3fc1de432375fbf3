"""Why a worker ended, told from its exit status, its last words and the kernel's counters."""

from __future__ import annotations

import sys

import pytest

from inference.host.workers.exits import failure_of, oom_kills


@pytest.mark.parametrize(
    ("returncode", "tail", "oom_killed", "reason"),
    [
        (-9, [], False, "killed"),
        (-9, [], True, "out_of_memory"),
        (-15, [], False, "killed"),
        (-11, [], False, "crashed"),
        (-6, ["GGML_ASSERT(x) failed"], False, "crashed"),
        (-6, ["terminate called after throwing 'std::bad_alloc'"], False, "out_of_memory"),
        (1, ["ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory"], False, "out_of_memory"),
        (1, ["Traceback", "ValueError: x"], False, "crashed"),
        (0, [], False, "crashed"),
    ],
)
def test_an_exit_has_one_typed_reason(returncode: int, tail: list[str], oom_killed: bool, reason: str) -> None:
    assert failure_of(returncode, tail, oom_killed).reason == reason


def test_the_sentence_carries_the_last_line() -> None:
    failure = failure_of(-6, ["first", "GGML_ASSERT(ctx) failed", ""], oom_killed=False)
    assert failure.detail == "The worker ended by SIGABRT. Its last line: GGML_ASSERT(ctx) failed"


CUDA_POOL_CANNOT_GROW = [
    "CUDA error: out of memory",
    "  current device: 0, in function alloc at /tmp/pip-req-build-_il2b4t6/vendor/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu:583",
    "  cuMemCreate(&handle, reserve_size, &prop, 0)",
    "/tmp/pip-req-build-_il2b4t6/vendor/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu:109: CUDA error",
]


def test_of_a_card_without_room_the_sentence_tells_what_was_lacking_and_not_where_in_the_source() -> None:
    failure = failure_of(-6, CUDA_POOL_CANNOT_GROW, oom_killed=False)
    assert failure.reason == "out_of_memory"
    assert failure.detail == "The worker could not get the memory it needed. It said: CUDA error: out of memory"


def test_the_folder_of_the_build_is_nobodys_business() -> None:
    failure = failure_of(-6, CUDA_POOL_CANNOT_GROW[-1:], oom_killed=False)
    assert (
        failure.detail == "The worker ended by SIGABRT. Its last line: ggml/src/ggml-cuda/ggml-cuda.cu:109: CUDA error"
    )


def test_a_log_line_of_the_workers_own_is_not_its_last_word() -> None:
    tail = ["GGML_ASSERT(ctx) failed", '{"time": "2026-01-02T03:04:05.678Z", "message": "answered"}', ""]
    assert failure_of(-6, tail, oom_killed=False).detail.endswith("Its last line: GGML_ASSERT(ctx) failed")


def test_the_kernel_counts_its_kills_where_it_is_linux() -> None:
    count = oom_kills()
    assert (count is not None) == (sys.platform == "linux")
