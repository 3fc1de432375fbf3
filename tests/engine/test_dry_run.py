"""A dry run against what is really allocated, and what happens when it cannot answer."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.engine.tools.children import DryRun, DryRunFailed, FileIdentity, cache_key, dry_run
from models_app.gguf import read_files
from models_app.memory import Allocation, Cells, Work, compute_bytes, estimate
from tests.gguf_builder import SHAPES, TINY, Shape, build
from tests.gguf_shapes_more import MORE
from tests.models_app.conftest import LoadInLlama, load_in_llama, rpc_device

__all__ = ["load_in_llama", "rpc_device"]

MIB = 1 << 20
BY_NAME = {**SHAPES, **{shape.name: shape for shape in MORE}}
ENVIRONMENT = {"PATH": os.environ["PATH"]}
pytestmark = pytest.mark.live


def worker_params(options: LoadOptions) -> dict[str, Any]:
    return {
        "n_ctx": options.n_ctx,
        "n_batch": options.n_batch,
        "n_ubatch": options.n_ubatch,
        "n_seq_max": options.n_seq_max + 1,
        "n_outputs_max": options.n_seq_max + 1,
        "kv_unified": True,
        "swa_full": False,
    }


def asked(path: Path, options: LoadOptions, endpoint: str) -> DryRun:
    return asyncio.run(dry_run(path, options, ENVIRONMENT, engine_devices=EngineDevices((endpoint,))))


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_with_the_header_it_says_what_is_really_allocated(
    shape: Shape, tmp_path: Path, load_in_llama: LoadInLlama, rpc_device: str
) -> None:
    path = build(tmp_path / "tiny.gguf", shape, body="random")
    options = LoadOptions(n_ctx_seq=4096, n_seq_max=3, n_gpu_layers=shape.n_layers // 2 + 1)
    dry = asked(path, options, rpc_device)
    assert dry.n_gpu_layers == options.n_gpu_layers
    cells = Cells(options.n_ctx, options.n_seq_max + 1, options.n_ubatch)
    header = estimate(read_files(path), Allocation(cells, options.n_gpu_layers, options.n_seq_max + 1))
    assert header is not None
    assert header.gpu_cache_bytes is not None
    assert header.host_cache_bytes is not None
    real = load_in_llama(path, rpc=rpc_device, n_gpu_layers=options.n_gpu_layers, contexts=[worker_params(options)])
    (context,) = real["contexts"]
    for device, own_bytes, buffers_bytes in (
        ("RPC", header.gpu_weights_bytes + header.gpu_cache_bytes, dry.compute_bytes["gpu0"]),
        ("CPU", header.host_weights_bytes + header.host_cache_bytes, dry.compute_bytes["ram"]),
    ):
        predicted = own_bytes + buffers_bytes
        buffers = [context[kind] for kind in ("kv_mib", "recurrent_mib", "compute_mib", "output_mib")]
        weights = {"weights": real["weights_mib"]} if device == "RPC" else {}
        allocated = MIB * sum(
            size for sizes in (*buffers, *weights.values()) for name, size in sizes.items() if name.startswith(device)
        )
        # With the file mapped, llama.cpp prints the mapping for the host's weights, not the tensors in it.
        allocated += header.host_weights_bytes if device == "CPU" else 0
        assert predicted == pytest.approx(allocated, rel=0.005, abs=20_000), device


def test_a_large_model_is_asked_about_without_being_loaded(tmp_path: Path, rpc_device: str) -> None:
    path = build(tmp_path / "large.gguf", SHAPES["llama-70b"])
    dry = asked(path, LoadOptions(n_gpu_layers=None), rpc_device)
    assert dry.n_gpu_layers == 81
    assert dry.compute_bytes["gpu0"] > 100 * MIB


def test_a_bad_file_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF and nothing more")
    with pytest.raises(DryRunFailed, match=r"bad\.gguf is damaged"):
        asyncio.run(dry_run(path, LoadOptions(), ENVIRONMENT))


def test_a_child_that_dies_is_told_from_one_that_answers(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "import os; os.abort()")
    with pytest.raises(DryRunFailed, match="ended with code -6"):
        asyncio.run(dry_run(tmp_path / "x.gguf", LoadOptions(), ENVIRONMENT, argv=argv))


def test_a_child_that_hangs_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import os, pathlib, signal; pathlib.Path({str(note)!r}).write_text(str(os.getpid())); signal.pause()"
    started = time.monotonic()
    with pytest.raises(DryRunFailed, match="took longer"):
        asyncio.run(
            dry_run(
                tmp_path / "x.gguf", LoadOptions(), ENVIRONMENT, timeout_seconds=2, argv=(sys.executable, "-c", code)
            )
        )
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_the_child_sees_only_the_environment_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTUI_SECRET", "for nobody")
    code = "import json, os; print(json.dumps({'detail': ' '.join(os.environ)}))"
    with pytest.raises(DryRunFailed) as failed:
        asyncio.run(dry_run(tmp_path / "x", LoadOptions(), ENVIRONMENT, argv=(sys.executable, "-c", code)))
    assert "HOSTUI_SECRET" not in failed.value.detail


def test_keys_are_equal_where_the_answer_must_be() -> None:
    file, options = FileIdentity("/a", 10, 20), LoadOptions()
    key = cache_key([file], options, "1", ["GPU"])
    assert key == cache_key([replace(file)], LoadOptions(), "1", ["GPU"])
    others = [
        cache_key([replace(file, mtime_ns=21)], options, "1", ["GPU"]),
        cache_key([replace(file, path="/b")], options, "1", ["GPU"]),
        cache_key([file], replace(options, n_ctx_seq=8192), "1", ["GPU"]),
        cache_key([file], options, "2", ["GPU"]),
        cache_key([file], options, "1", []),
    ]
    assert len({key, *others}) == 6
    digest = replace(file, sha256="00")
    assert cache_key([digest], options, "1", []) == cache_key([replace(digest, path="/b")], options, "1", [])


@pytest.mark.parametrize("name", ["mixtral-8x7b", "qwen3-30b-a3b", "gpt-oss-20b"])
def test_the_room_left_for_experts_in_ram_suffices(name: str, tmp_path: Path, rpc_device: str) -> None:
    """Work that goes to and fro takes up to 24 % more than the header tells: `models_app.memory.compute` allows for 25 %."""
    shape = BY_NAME[name]
    path = build(tmp_path / "moe.gguf", shape)
    header = read_files(path)
    for n_cpu_moe in (1, 2, shape.n_layers // 2, shape.n_layers):
        options = LoadOptions(n_ctx_seq=4096, n_seq_max=4, n_cpu_moe=n_cpu_moe)
        dry = asked(path, options, rpc_device)
        cells = Cells(options.n_ctx, options.n_seq_max + 1, options.n_ubatch)
        work = Work((1,) * shape.n_layers, 1, 2, frozenset(range(n_cpu_moe)))
        buffers = compute_bytes(header, cells, cells.n_seq_max, work)
        outputs = estimate(header, Allocation(cells, None, cells.n_seq_max))
        assert buffers is not None
        assert outputs is not None
        assert outputs.output_buffer_bytes is not None
        for device, mine in (("ram", buffers[0] + outputs.output_buffer_bytes), ("gpu0", buffers[1])):
            real = dry.compute_bytes[device]
            assert real <= mine <= real + 64 * MIB, (device, n_cpu_moe)
