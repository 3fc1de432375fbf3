from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.preview import Leaver, Preview
from inference.core.scheduling.reasons import ForEviction
from inference.core.scheduling.refusals import FailedToLoad
from inference.host.api import wire
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB, parse_bytes
from models_app.models import HardwareProfile
from tests.gguf_builder import SHAPES, build

pytestmark = pytest.mark.django_db

MACHINE = ("--vram", "12GiB", "--vram-bandwidth", "360GB/s", "--ram", "64GiB", "--ram-bandwidth", "60GB/s")


def planned(*arguments: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("plan", *map(str, arguments), "--json", stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return build(tmp_path / "llama-70b.gguf", SHAPES["llama-70b"], quantization="Q4_K_M")


def test_json_tells_everything_about_each_alternative(large: Path) -> None:
    answer = planned(large, *MACHINE, "--budget", "11.5GiB", "--ctx", 4096, "--slots", 1)
    assert answer["reason"] is None
    best = answer["alternatives"][0]
    assert best["n_layers"] == 80
    assert 0 < best["n_gpu_layers"] < 40
    assert (best["n_ctx_seq"], best["n_seq_max"], best["evicts"]) == (4096, 1, [])
    assert 0.5 < best["decode_tokens_per_second"] < 2
    ram, gpu = best["devices"]
    assert gpu["budget_bytes"] == parse_bytes("11.5GiB")
    for device in (ram, gpu):
        parts = ("weights_bytes", "kv_bytes", "compute_bytes", "overhead_bytes")
        assert device["total_bytes"] == sum(device[part] for part in parts) <= device["budget_bytes"]
    assert {"slow", "silent_spill"} <= {each["code"] for each in best["warnings"]}


def test_people_get_a_table_and_what_to_know(large: Path) -> None:
    out = StringIO()
    call_command("plan", str(large), *MACHINE, stdout=out)
    assert "GPU LAYERS" in out.getvalue()
    assert "Slow: about" in out.getvalue()


def test_a_machine_too_small_gives_the_reason(large: Path) -> None:
    answer = planned(large, "--vram", "4GiB", "--ram", "8GiB", "--ram-bandwidth", "60GB/s")
    assert answer["alternatives"] == []
    assert "needs at least" in answer["reason"]


def test_a_variant_brings_its_own_wishes_and_this_machine_is_the_default(tmp_path: Path) -> None:
    variant = add_model(build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])).variant
    best = planned(variant.name)["alternatives"][0]
    assert (best["n_ctx_seq"], best["n_seq_max"]) == (variant.n_ctx_seq, variant.n_seq_max)
    assert HardwareProfile.objects.get().is_this_machine


def test_every_wish_of_a_variant_counts(tmp_path: Path) -> None:
    variant = add_model(build(tmp_path / "x.gguf", SHAPES["llama-8b"], quantization="Q4_K_M")).variant
    variant.n_ctx_seq, variant.least_n_ctx_seq, variant.may_quantize_kv = 32768, 2048, False
    variant.save()
    found = planned(variant.name, *MACHINE)["alternatives"]
    assert {each["n_ctx_seq"] for each in found} == {2048, 32768}
    assert {each["type_k"] for each in found} == {"f16"}
    asked = planned(variant.name, *MACHINE, "--ctx", 8192, "--slots", 1)["alternatives"]
    assert {(each["n_ctx_seq"], each["n_seq_max"]) for each in asked} == {(8192, 1)}
    variant.n_gpu_layers = 7
    variant.save()
    assert {each["n_gpu_layers"] for each in planned(variant.name, *MACHINE)["alternatives"]} == {7}
    variant.n_gpu_layers, variant.may_leave_gpu = None, False
    variant.save()
    answer = planned(variant.name, "--vram", "2GiB", "--ram", "64GiB", "--ram-bandwidth", "60GB/s")
    assert answer["alternatives"] == []
    assert "stay in RAM" in answer["reason"]


def test_profiles_and_cards_go_by_name(tmp_path: Path) -> None:
    path = build(tmp_path / "x.gguf", SHAPES["llama-8b"], quantization="Q4_K_M")
    HardwareProfile.objects.create(
        name="lab", gpus=[{"name": "Big", "memory_bytes": 24 * GIB}], ram_bytes=32 * GIB, n_cores=8
    )
    for name in ("lab", "rtx 3090"):
        assert planned(path, "--profile", name)["alternatives"][0]["n_gpu_layers"] == 33


def test_an_unknown_architecture_gets_the_reason_and_no_guess(tmp_path: Path) -> None:
    renamed = {"general.architecture": "from-next-year", "from-next-year.block_count": 4}
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata=renamed)
    answer = planned(path, *MACHINE)
    assert answer["alternatives"] == []
    assert "does not tell" in answer["reason"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing.gguf",), "neither a variant nor a file"),
        (("FILE", "--profile", "RTX 9999"), "no known card"),
        (("FILE", "--vram", "much"), "no amount of bytes"),
        (("FILE", "--vram", "1GiB,2GiB", "--vram-bandwidth", "1GB/s,2GB/s,3GB/s"), "different numbers"),
        (("FILE", "--vram-bandwidth", "1GB/s"), "goes with --vram"),
        (("FILE", "--budget", "200%"), "more than the whole"),
        (("FILE", "--ctx", "1"), "must be from"),
        (("FILE", "--slots", "0"), "must be from"),
        (("BROKEN",), "cannot be planned"),
    ],
)
def test_mistakes_get_a_sentence(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    good = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"])
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    named = [{"FILE": str(good), "BROKEN": str(broken)}.get(each, each) for each in arguments]
    with pytest.raises(CommandError, match=says):
        call_command("plan", *named)


def test_this_machines_own_budget_goes_before_its_profiles(tmp_path: Path, settings: Any) -> None:
    path = build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])
    settings.BUDGET_BYTES = 3 * GIB
    here = planned(path)["alternatives"][0]["devices"][0]
    assert here["budget_bytes"] == 3 * GIB
    this_machine = HardwareProfile.objects.get().name
    assert planned(path, "--profile", this_machine)["alternatives"][0]["devices"][0] == here
    HardwareProfile.objects.create(name="lab", ram_bytes=32 * GIB, n_cores=8)
    assert planned(path, "--profile", "lab")["alternatives"][0]["devices"][0]["budget_bytes"] > 3 * GIB


# beside a running host ----------------------------------------------------------------------------------------


@contextmanager
def host_that_says(answer: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The socket of a host that answers everything with `answer`, and what it was asked."""
    asked: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="host-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = f"{folder}/host.sock"
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection, connection.makefile("rb") as lines:
                        asked.append(json.loads(lines.readline()))
                        connection.sendall(wire.encode(answer))
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield path, asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def previewed(options: LoadOptions | None, *leavers: int, variant_id: int = 1) -> dict[str, Any]:
    """That `leavers` would leave for a way with `options`, the last of them once it has answered."""
    held = {"ram": 1 << 30}
    way = None if options is None else LoadWay(options, held)
    evicts = tuple(Leaver(ResidentId(each), held, 180.0, 0, 4.0, 0.5) for each in leavers[:-1])
    busy = tuple(Leaver(ResidentId(each), held, None, 1, 4.0, 0.5) for each in leavers[-1:])
    best = way or LoadWay(LoadOptions(), held)
    reason = ForEviction(tuple(map(ResidentId, leavers))) if way is None else None
    return {
        "type": "preview",
        "preview": Preview(ResidentId(variant_id), "waits", best, way, evicts=evicts, waits_for=busy, reason=reason),
    }


REFUSED = {"type": "refused", "refusal": FailedToLoad("crashed", "no")}


@pytest.fixture
def variant(tmp_path: Path) -> Any:
    return add_model(build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])).variant


@pytest.fixture
def others(tmp_path: Path) -> tuple[int, ...]:
    """One that is idle, and one that is busy."""
    names = ("old-one", "busy-one")
    return tuple(add_model(build(tmp_path / f"{name}.gguf", SHAPES["tiny-gqa"])).variant.pk for name in names)


def test_a_running_host_tells_who_would_leave_for_the_way_that_it_would_take(
    variant: Any, others: tuple[int, ...], settings: Any
) -> None:
    ways = planned(variant.name)["alternatives"]
    assert len(ways) > 1
    for number, way in enumerate(ways):
        names = ("n_gpu_layers", "n_cpu_moe", "n_ctx_seq", "n_seq_max", "n_ubatch", "type_k", "type_v")
        options = LoadOptions(**{name: way[name] for name in names} | {"n_gpu_layers": None})
        with host_that_says(previewed(options, *others, variant_id=variant.pk)) as (settings.HOST_SOCKET, asked):
            evicts = [each["evicts"] for each in planned(variant.name)["alternatives"]]
        assert evicts == [["old-one-Q4_0", "busy-one-Q4_0"] if each == number else [] for each in range(len(ways))]
        assert asked == [{"type": "preview", "variant_id": variant.pk, "anyway": False}]


def test_people_read_what_loading_it_now_would_do(variant: Any, others: tuple[int, ...], settings: Any) -> None:
    out = StringIO()
    with host_that_says(previewed(None, *others, variant_id=variant.pk)) as (settings.HOST_SOCKET, _):
        call_command("plan", variant.name, stdout=out)
    assert f"Now: {variant.name} would have to wait. Making room: " in out.getvalue()
    assert "old-one" in out.getvalue()


@pytest.mark.parametrize("elsewise", [("--ctx", 512), ("--slots", 2), ("--budget", "90%"), MACHINE])
def test_a_question_about_something_else_is_not_put_to_the_host(
    elsewise: tuple[Any, ...], variant: Any, settings: Any
) -> None:
    with host_that_says(previewed(LoadOptions(n_ctx_seq=512))) as (settings.HOST_SOCKET, asked):
        assert [each["evicts"] for each in planned(variant.name, *elsewise)["alternatives"][:1]] == [[]]
    assert asked == []


@pytest.mark.parametrize("preview", [previewed(None), REFUSED])
def test_where_the_host_cannot_tell_nobody_is_said_to_leave(
    preview: dict[str, Any], variant: Any, settings: Any
) -> None:
    with host_that_says(preview) as (settings.HOST_SOCKET, asked):
        assert all(each["evicts"] == [] for each in planned(variant.name)["alternatives"])
    assert len(asked) == 1
