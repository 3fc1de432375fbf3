"""`python -m inference.engine.tools.quantize_process`: llama.cpp's quantize, its dry run, or a check of its result.

One JSON line in, JSON lines out: `inference.engine.tools.quantize` asks. The file is hostile input and the work takes minutes, so
this is a process that may be killed at any time; it ends itself when its standard input does.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import threading
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.core.loads.options import LoadOptions
from inference.core.planning.header import Header
from inference.core.planning.recipe import BadRecipe, Recipe
from inference.engine import llama
from inference.engine.imatrix.file import BadImatrix, read_importance
from inference.engine.llama import Batch, Context, Layout, LoadFailed, Log, Model, QuantizeParams
from inference.engine.llama.log_lines import (
    Fallbacks,
    NeedsImatrix,
    TensorBecomes,
    TensorReached,
    quantize_reason,
    read_quantize_text,
)
from inference.engine.serving.loading import CannotLoad, check_file, physical_cores
from inference.engine.tools.quantize import LONGEST_LINE, AtTensor, QuantizeFailed
from models_app.gguf.quantization import TENSOR_TYPES_BY_NAME

BUFFER_BYTES = 256 << 20
"""llama.cpp would take a whole tensor at a time, as 32-bit numbers: 4 GB for the output of a large vocabulary."""
NICENESS = 10
_ALMOST_FULL_BYTES = 16 << 20


class ReplyWriter:
    """Writes replies to standard output. Libraries print to descriptor 1 as they please: only the replies belong there."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, kind: str, **facts: Any) -> None:
        """Writes one line, from any thread."""
        with self._lock:
            self._file.write(json.dumps({"type": kind, **facts}) + "\n")
            self._file.flush()


class RunLog:
    """Follows llama.cpp's log of a run: which tensor it is at, and, in a dry run, what that would become."""

    def __init__(self, header: Header, on_tensor: Callable[[AtTensor], None] | None = None) -> None:
        """`on_tensor` is called as llama.cpp reaches each tensor. It must not raise."""
        self._sizes = {tensor.name: tensor.n_bytes for tensor in header.tensors}
        self._types = {tensor.name: tensor.type.number for tensor in header.tensors}
        self._on_tensor = on_tensor
        self._name: str | None = None
        self._done_bytes = 0
        self.becomes: dict[str, int] = {}
        self.n_seen = 0
        self.needs_imatrix = False
        self.n_fallbacks = 0

    def note(self, text: str) -> None:
        """Takes in a piece of the log. Others than those of log_lines are passed over: nothing may be raised in a callback."""
        found = read_quantize_text(text)
        if isinstance(found, TensorReached):
            self._at(found)
        elif isinstance(found, TensorBecomes) and self._name is not None:
            kind = TENSOR_TYPES_BY_NAME.get(found.type_name)
            if kind is not None:
                self.becomes[self._name] = kind.number
        elif isinstance(found, NeedsImatrix):
            self.needs_imatrix = True
        elif isinstance(found, Fallbacks):
            self.n_fallbacks = found.count

    def _at(self, reached: TensorReached) -> None:
        self._done_bytes += self._sizes.get(self._name or "", 0)
        self._name = reached.name if reached.name in self._sizes else None
        self.n_seen += self._name is not None
        if self._on_tensor is not None:
            self._on_tensor(AtTensor(reached.number, reached.name, self._done_bytes))

    @property
    def tensor_types(self) -> dict[str, int]:
        """ggml's type numbers by tensor, changes included."""
        return {**self._types, **self.becomes}


def _params(recipe: Recipe, **others: Any) -> QuantizeParams:
    def number(name: str | None) -> int | None:
        return None if name is None else TENSOR_TYPES_BY_NAME[name].number

    values: dict[str, Any] = {
        "file_type": recipe.quantization.number,
        "output_type": number(recipe.output_type),
        "embedding_type": number(recipe.embedding_type),
        "pure": recipe.pure,
        "keep_split": recipe.keep_split,
        "n_threads": 1,
        "dry_run": False,
        "max_buffer_bytes": BUFFER_BYTES,
        "importance": {},
        "importance_name": "",
    }
    return QuantizeParams(**{**values, **others})


def _quantize(request: Mapping[str, Any], replies: ReplyWriter) -> None:
    """Raises QuantizeFailed."""
    source, target = Path(request["source"]), Path(request["target"])
    recipe = Recipe.from_json(request["recipe"])
    header = check_file(source)
    importance: dict[str, Any] = {}
    if request["imatrix"] is not None:
        found = read_importance(Path(request["imatrix"]), header)
        importance = {"importance": found.values, "importance_name": found.dataset}
    os.nice(NICENESS)
    replies.send("started", n_tensors=len(header.tensors), n_bytes=header.tensor_bytes)

    def on_tensor(tensor: AtTensor) -> None:
        replies.send("tensor", **asdict(tensor))

    log = Log(on_text=RunLog(header, on_tensor).note)
    prefix = target
    if recipe.keep_split:
        prefix = target.with_name(re.sub(r"-00001-of-\d{5}\.gguf$", "", target.name))
    began = time.monotonic()
    params = _params(recipe, n_threads=request["n_threads"] or physical_cores(), **importance)
    if not llama.quantize(source, prefix, params):
        full = shutil.disk_usage(target.parent).free < _ALMOST_FULL_BYTES
        raise QuantizeFailed("The disk is full." if full else _failure(log, source), disk_full=full)
    replies.send("finished", seconds=time.monotonic() - began)


def _dry_run(request: Mapping[str, Any], replies: ReplyWriter) -> None:
    """Raises QuantizeFailed where llama.cpp would take the file for none of the recipes."""
    source = Path(request["source"])
    header = check_file(source)
    # Which weights an importance matrix knows does not matter here, only that there is one: it changes some mixtures.
    some = {"token_embd.weight": array("f", [1.0])} if request["has_imatrix"] else {}
    refused = ""
    n_done = 0
    for number, each in enumerate(request["recipes"]):
        recipe = Recipe.from_json(each)
        run = RunLog(header)
        log = Log(on_text=run.note)
        done = llama.quantize(source, source, _params(recipe, dry_run=True, importance=some))
        if not done or run.n_seen != len(header.tensors):
            refused = _failure(log, source)
            continue
        n_done += 1
        replies.send(
            "outcome",
            number=number,
            tensor_types=run.tensor_types,
            needs_imatrix=run.needs_imatrix,
            n_fallbacks=run.n_fallbacks,
        )
    if not n_done:
        raise QuantizeFailed(refused or "Nothing was asked.")
    replies.send("finished", seconds=0.0)


def _check(request: Mapping[str, Any], replies: ReplyWriter) -> None:
    """Raises QuantizeFailed."""
    path = Path(request["path"])
    check_file(path)
    log = Log()
    model = Model.load(path, log, layout=Layout(n_gpu_layers=0, gpus=()), mapped=True)
    context = Context(model, LoadOptions(n_ctx_seq=64, n_seq_max=1, n_batch=32, n_ubatch=32), physical_cores(), log)
    batch = Batch(context.n_batch)
    token = next((token for token in (model.bos, model.eos) if token >= 0), 0)
    output = batch.add(token, 0, 0, True)
    code = context.decode(batch) if context.remembers else 0
    if code != 0:
        raise QuantizeFailed(f"{path.name} loads, but does not decode: llama.cpp's code is {code}.")
    if context.remembers and not all(map(math.isfinite, context.logits(output))):
        raise QuantizeFailed(f"{path.name} loads, but what it says is no number: it is damaged.")
    replies.send("finished", seconds=0.0)


def _failure(log: Log, source: Path) -> str:
    """A sentence for a person: why llama.cpp gave up."""
    reason = quantize_reason(log.errors[-1]) if log.errors else "it gave no reason"
    return f"llama.cpp cannot quantize {source.name}: {reason.rstrip('.')}."


def _watch_standard_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


_WORK = {"quantize": _quantize, "dry_run": _dry_run, "check": _check}


def main() -> None:
    replies = ReplyWriter()
    try:
        request = json.loads(sys.stdin.buffer.readline(LONGEST_LINE))
        threading.Thread(target=_watch_standard_input, name="lifeline", daemon=True).start()
        _WORK[request["type"]](request, replies)
    except QuantizeFailed as failed:
        replies.send("failed", detail=failed.detail, disk_full=failed.disk_full)
    except (CannotLoad, BadRecipe, BadImatrix) as error:
        replies.send("failed", detail=_sentence(str(error)))
    except LoadFailed as error:
        replies.send("failed", detail=_sentence(f"it does not load: {error.lines[-1] if error.lines else error.what}"))
    except (KeyError, TypeError, ValueError) as error:
        replies.send("failed", detail=f"The request makes no sense: {error}.")
    # Nothing is left to save, and freeing what llama.cpp holds takes time.
    os._exit(0)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


if __name__ == "__main__":
    main()
