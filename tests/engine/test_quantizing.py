"""The child process that quantizes, against the real llama.cpp."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from inference.core.planning.recipe import TARGETS, Recipe, requantized
from inference.engine.tools.quantize import (
    AtTensor,
    Event,
    Finished,
    QuantizeChild,
    QuantizeFailed,
    Started,
    check,
    child_environment,
    dry_run,
    quantize,
)
from models_app.gguf import read_files
from tests.gguf_builder import SHAPES, TINY, build, header, key_value, tensor_row
from tests.gguf_shapes import Shape

ENVIRONMENT = dict(os.environ)
DENSE = next(shape for shape in TINY if shape.name == "tiny-mha")
MOE = next(shape for shape in TINY if shape.name == "tiny-moe")
PATIENCE_SECONDS = 60.0


def made(source: Path, target: Path, recipe: Recipe, **others: object) -> list[Event]:
    return [event for event in quantize(source, target, recipe, ENVIRONMENT, **others) if event is not None]  # type: ignore[arg-type]


def is_gone(pid: int) -> bool:
    """Waits for it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        os.sched_yield()
    return False


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("plain") / "tiny-F16.gguf", DENSE, quantization="F16", body="random")


def test_the_dry_run_tells_the_size_of_every_type_to_the_byte(plain: Path, tmp_path: Path) -> None:
    """But for what llama.cpp adds to the metadata: a number or two."""
    recipes = [Recipe(name) for name in TARGETS]
    outcomes = dry_run(plain, recipes, ENVIRONMENT)
    assert len(outcomes) >= len(TARGETS) - 1
    source = read_files(plain)
    for recipe, outcome in outcomes.items():
        if outcome.needs_imatrix:
            continue
        target = tmp_path / f"{recipe.type}.gguf"
        made(plain, target, recipe)
        expected = requantized(source, outcome)
        assert abs(target.stat().st_size - expected.size_bytes) <= 128, recipe
        found = read_files(target)
        assert {each.name: each.type for each in found.tensors} == {each.name: each.type for each in expected.tensors}
        assert found.file_type == recipe.quantization.number


def test_a_plan_of_the_result_is_known_before_it_exists(tmp_path: Path) -> None:
    path = build(tmp_path / "large-F16.gguf", SHAPES["llama-70b"], quantization="F16")
    recipe = Recipe("Q4_K_M")
    expected = requantized(read_files(path), dry_run(path, [recipe], ENVIRONMENT)[recipe])
    assert 39 << 30 < expected.size_bytes < 41 << 30
    assert expected.quantization == "Q4_K_M"


def test_progress_goes_from_tensor_to_tensor(plain: Path, tmp_path: Path) -> None:
    events = made(plain, tmp_path / "q8.gguf", Recipe("Q8_0"))
    started, *tensors, finished = events
    source = read_files(plain)
    assert started == Started(len(source.tensors), source.tensor_bytes)
    assert isinstance(finished, Finished)
    assert [each.number for each in tensors if isinstance(each, AtTensor)] == list(range(1, len(source.tensors) + 1))
    sizes = {tensor.name: tensor.n_bytes for tensor in source.tensors}
    done = 0
    for each in tensors:
        assert isinstance(each, AtTensor)
        assert each.done_bytes == done
        done += sizes[each.name]


def test_the_output_and_the_embedding_may_have_types_of_their_own(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "own.gguf"
    made(plain, target, Recipe("Q4_0", output_type="q8_0", embedding_type="f16"))
    types = {tensor.name: tensor.type.name for tensor in read_files(target).tensors}
    assert types["token_embd.weight"] == "f16"
    assert types["output.weight"] == "q8_0"


def test_a_pure_recipe_makes_no_mixture(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "pure.gguf"
    made(plain, target, Recipe("Q4_0", pure=True))
    types = {tensor.type.name for tensor in read_files(target).tensors if len(tensor.shape) > 1}
    assert types == {"q4_0"}


def test_a_split_source_becomes_one_file_or_as_many_as_it_was(tmp_path: Path) -> None:
    source = build(tmp_path / "split.gguf", DENSE, quantization="F16", body="random", split=3)
    one = tmp_path / "one.gguf"
    made(source, one, Recipe("Q8_0"))
    assert read_files(one).split_count is None
    first = tmp_path / "three-00001-of-00003.gguf"
    made(source, first, Recipe("Q8_0", keep_split=True))
    assert sorted(path.name for path in tmp_path.glob("three*")) == [
        f"three-{number:05d}-of-00003.gguf" for number in (1, 2, 3)
    ]
    assert read_files(first).n_params == read_files(one).n_params
    assert list(check(first, ENVIRONMENT)) is not None


def test_experts_become_mxfp4(tmp_path: Path) -> None:
    source = build(tmp_path / "moe.gguf", MOE, quantization="F16", body="random")
    target = tmp_path / "moe-MXFP4.gguf"
    made(source, target, Recipe("MXFP4"))
    assert {t.type.name for t in read_files(target).tensors if "_exps." in t.name} == {"mxfp4"}


def test_a_type_that_needs_an_importance_matrix_says_so_before_and_refuses_after(plain: Path, tmp_path: Path) -> None:
    recipe = Recipe("IQ2_XXS")
    assert dry_run(plain, [recipe], ENVIRONMENT)[recipe].needs_imatrix
    with pytest.raises(QuantizeFailed, match="requires an imatrix"):
        made(plain, tmp_path / "iq2.gguf", recipe)


def imatrix(path: Path, model: Path, *, scale: float = 1.0, columns: int | None = None) -> Path:
    """Sums and counts for every weight of `model` with two dimensions or more."""
    rows, body, offset = [], b"", 0
    for tensor in read_files(model).tensors:
        if len(tensor.shape) < 2:
            continue
        n_columns = columns or tensor.shape[0]
        for name, values in (
            (f"{tensor.name}.in_sum2", [scale * (1 + number % 7) for number in range(n_columns)]),
            (f"{tensor.name}.counts", [2.0]),
        ):
            rows.append(tensor_row(name, (len(values), 1), 0, offset))
            raw = struct.pack(f"<{len(values)}f", *values)
            raw += b"\0" * (-len(raw) % 32)
            body, offset = body + raw, offset + len(raw)
    entries = [
        key_value("general.type", "imatrix"),
        key_value("imatrix.datasets", ("somewhere/prose.txt",)),
        key_value("imatrix.chunk_count", 3),
        key_value("imatrix.chunk_size", 512),
    ]
    head = header(entries, rows)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return path


def test_a_given_importance_matrix_is_used_and_named_in_the_result(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "iq2.gguf"
    made(plain, target, Recipe("IQ2_XXS"), imatrix=imatrix(tmp_path / "own.imatrix.gguf", plain))
    found = read_files(target)
    assert found.text("quantize.imatrix.dataset") == "prose.txt"
    assert "iq2_xxs" in {tensor.type.name for tensor in found.tensors}


def test_an_importance_matrix_changes_what_is_made(plain: Path, tmp_path: Path) -> None:
    with_it, without = tmp_path / "with.gguf", tmp_path / "without.gguf"
    made(plain, without, Recipe("Q4_K_S"))
    made(plain, with_it, Recipe("Q4_K_S"), imatrix=imatrix(tmp_path / "m.gguf", plain))
    parts = []
    for path in (without, with_it):
        tensor = next(each for each in read_files(path).tensors if each.name == "blk.0.ffn_up.weight")
        parts.append(path.read_bytes()[tensor.offset : tensor.offset + tensor.n_bytes])
    assert len(parts[0]) == len(parts[1])
    assert parts[0] != parts[1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("a model", "no importance matrix"),
        ("another model's", "made for another model"),
        ("no number", "numbers that are none"),
        ("text", "no importance matrix in GGUF form"),
        ("nothing", "cannot be read"),
    ],
)
def test_a_wrong_importance_matrix_gets_a_sentence(wrong: str, said: str, plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.gguf"
    match wrong:
        case "a model":
            path = plain
        case "another model's":
            imatrix(path, plain, columns=64)
        case "no number":
            imatrix(path, plain, scale=float("inf"))
        case "text":
            path.write_text("0.1 0.2 and so on, for a while, to be long enough")
    with pytest.raises(QuantizeFailed, match=said):
        made(plain, tmp_path / "never.gguf", Recipe("IQ2_XXS"), imatrix=path)
    assert not (tmp_path / "never.gguf").exists()


def test_a_file_whose_tensors_run_past_its_end_never_reaches_llama_cpp(plain: Path, tmp_path: Path) -> None:
    """llama.cpp would read on, and write what lies behind into the result."""
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(plain.read_bytes()[:-4096])
    target = tmp_path / "leak.gguf"
    with pytest.raises(QuantizeFailed, match="runs past the end of the file"):
        made(cut, target, Recipe("Q8_0"))
    with pytest.raises(QuantizeFailed, match="runs past the end of the file"):
        dry_run(cut, [Recipe("Q8_0")], ENVIRONMENT)
    assert not target.exists()


def test_closing_the_iterator_kills_the_child(plain: Path, tmp_path: Path) -> None:
    stopped = 'import os, signal, sys; sys.stdin.readline(); print(\'{"type": "started", "n_tensors": 1, "n_bytes": %d}\' % os.getpid(), flush=True); signal.pause()'
    work = quantize(plain, tmp_path / "x.gguf", Recipe("Q8_0"), ENVIRONMENT, argv=(sys.executable, "-c", stopped))
    started = next(event for event in work if event is not None)
    assert isinstance(started, Started)
    work.close()
    assert is_gone(started.n_bytes)


def test_the_child_ends_with_whoever_started_it(plain: Path, tmp_path: Path) -> None:
    """However that ended: the pipe that it reads from is closed by the kernel. Meanwhile it waits for a reader of its target."""
    target = tmp_path / "target.gguf"
    os.mkfifo(target)
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from inference.core.planning.recipe import Recipe\n"
        "from inference.engine.tools.quantize import Started, quantize\n"
        "for event in quantize(Path(sys.argv[1]), Path(sys.argv[2]), Recipe('Q8_0'), os.environ):\n"
        "    if isinstance(event, Started):\n"
        "        print('started', flush=True)\n"
        "        signal.pause()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(plain), str(target)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    (child,) = psutil.Process(parent.pid).children()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert is_gone(child.pid)


def test_a_child_that_crashes_is_reported_with_its_last_words(plain: Path, tmp_path: Path) -> None:
    crash = "import os, sys; sys.stdin.readline(); print('GGML_ASSERT(false) failed', file=sys.stderr, flush=True); os.abort()"
    with pytest.raises(QuantizeFailed, match=r"code -6 in the middle of tiny-F16\.gguf.*GGML_ASSERT"):
        list(quantize(plain, tmp_path / "x", Recipe("Q8_0"), ENVIRONMENT, argv=(sys.executable, "-c", crash)))


def test_the_child_knows_no_secrets_and_sees_no_gpu() -> None:
    known = child_environment(
        {"PATH": "/bin", "HOSTUI_SECRET_KEY": "for nobody", "DATABASE_URL": "x", "CUDA_HOME": "/c"}
    )
    assert known["PATH"] == "/bin"
    assert known["CUDA_VISIBLE_DEVICES"] == ""
    assert not {"HOSTUI_SECRET_KEY", "DATABASE_URL"} & set(known)


def test_silence_is_reported_too(plain: Path) -> None:
    """So that whoever listens can look whether the work is still wanted."""
    with QuantizeChild(
        {"source": "x"}, ENVIRONMENT, argv=(sys.executable, "-c", "import signal; signal.pause()")
    ) as child:
        messages: Iterator[dict[str, object] | None] = child.messages(tick_seconds=0.01)
        assert next(messages) is None


def test_a_result_full_of_nothing_is_found_out(plain: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    raw = bytearray(plain.read_bytes())
    tensor = next(each for each in read_files(plain).tensors if each.name == "output_norm.weight")
    raw[tensor.offset : tensor.offset + tensor.n_bytes] = struct.pack("<f", float("nan")) * (tensor.n_bytes // 4)
    damaged.write_bytes(raw)
    with pytest.raises(QuantizeFailed, match="it is damaged"):
        list(check(damaged, ENVIRONMENT))


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_every_kind_of_model_can_be_requantized_and_decodes_after(shape: Shape, tmp_path: Path) -> None:
    source = build(tmp_path / "source.gguf", shape, quantization="F16", body="random")
    target = tmp_path / "target.gguf"
    made(source, target, Recipe("Q8_0"))
    assert all(tick is None for tick in check(target, ENVIRONMENT))
