"""`python -m inference.engine.worker`: loads one variant and serves it until its standard input ends.

The process that started it writes one Launch line and keeps the pipe open. Reports go to standard output (serving.reports).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.core.planning.header import Header
from inference.core.planning.imatrix_memory import sums_bytes
from inference.engine import protocol
from inference.engine.chat.batching import Batcher
from inference.engine.chat.handler import ChatHandler
from inference.engine.chat.request_parser import Mode, RequestParser
from inference.engine.chat.template_client import Renderer, RenderFailed
from inference.engine.imatrix.graph_observer import GraphObserver
from inference.engine.llama import Context, Log, Model
from inference.engine.protocol import DeviceReport, Loading, Ready
from inference.engine.serving.loading import CannotLoad, check_file, load
from inference.engine.serving.reports import Reports, StatsReporter
from inference.engine.serving.server import RequestHandler, WorkerServer

if TYPE_CHECKING:
    from inference.engine.imatrix.pass_thread import ImatrixThread

_T = TypeVar("_T")

_IMATRIX_NICENESS = 10
"""A text is read for minutes, beside people who wait for answers."""
_SWITCH_SECONDS = 0.001
"""The decode thread comes back from C wanting the interpreter: it must not wait Python's default 5 ms for it."""


@dataclass(frozen=True, slots=True)
class _Launch:
    """A checked protocol.Launch."""

    path: Path
    socket: Path
    options: LoadOptions
    engine_devices: EngineDevices


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches us too; the host decides
    sys.setswitchinterval(_SWITCH_SECONDS)
    reports = Reports()
    renderer = Renderer()
    try:
        # Whoever starts a worker ahead keeps it waiting here, with everything imported.
        line = sys.stdin.buffer.readline()
        began = time.monotonic()
        launch = _launch(line)
        threading.Thread(target=_exit_with_host, name="host watch", daemon=True).start()
        header = check_file(launch.path)
    except CannotLoad as failed:
        reports.fail(failed)
    asyncio.run(_work(launch, header, renderer, reports, began))


async def _work(launch: _Launch, header: Header, renderer: Renderer, reports: Reports, began: float) -> None:
    """Loads, reports `ready` and serves. `began`: time.monotonic() of the launch line."""
    path, options = launch.path, launch.options
    reports.send(Loading(type="loading", fraction=0.0))
    log = Log()
    observer = _observer(options)
    on_node = None if observer is None else observer.observe
    loaded = _in_thread(load, path, options, launch.engine_devices, log, reports.loading, on_node)
    mode = await _mode(header.text("tokenizer.chat_template"), renderer)
    try:
        model, context, gpus = await asyncio.wrap_future(loaded)
        if options.n_ctx_seq > model.n_ctx_train:
            _warn(f"n_ctx_seq {options.n_ctx_seq} exceeds the {model.n_ctx_train} tokens that the model was trained on")
        stats_reporter: StatsReporter | None = None

        def on_busy(busy: bool) -> None:
            assert stats_reporter is not None
            stats_reporter.note_busy(busy)

        def on_broken(detail: str) -> NoReturn:
            reports.fail(CannotLoad("crashed", detail))

        thread: Batcher | ImatrixThread
        handler: RequestHandler
        if observer is None:
            thread = Batcher(model, context, options.n_seq_max, on_busy=on_busy, on_broken=on_broken)
            handler = ChatHandler(RequestParser(model, options.n_ctx_seq, mode, renderer), thread)
        else:
            thread, handler = _imatrix(model, context, observer, on_busy, on_broken)
        stats_reporter = StatsReporter(reports, thread)
        thread.start()
        await asyncio.wrap_future(thread.warm_up())
        server = await WorkerServer(handler).listen(launch.socket)
    except CannotLoad as failed:
        reports.fail(failed)
    except RuntimeError as error:
        reports.fail(CannotLoad("unsupported", f"{path.name} loads, but does not decode: {error}"))
    except OSError as error:
        reports.fail(CannotLoad("bad_options", f"the socket {launch.socket} cannot be created: {error}"))
    devices = log.buffers.devices(gpus, header, sums_bytes(header) if observer else 0)
    reports.send(_ready(model, context, options, mode, log.buffers.n_gpu_layers, devices, time.monotonic() - began))
    await server.serve_forever()


def _observer(options: LoadOptions) -> GraphObserver | None:
    """None for an ordinary worker: observing a graph slows down every token of it."""
    if options.purpose != "imatrix":
        return None
    os.nice(_IMATRIX_NICENESS)
    return GraphObserver()


def _imatrix(
    model: Model,
    context: Context,
    observer: GraphObserver,
    on_busy: Callable[[bool], None],
    on_broken: Callable[[str], NoReturn],
) -> tuple[ImatrixThread, RequestHandler]:
    # Not at the top: no other worker needs numpy, which takes a tenth of a second.
    from inference.engine.imatrix.handler import ImatrixHandler
    from inference.engine.imatrix.pass_thread import ImatrixThread

    thread = ImatrixThread(model, context, observer, on_busy=on_busy, on_broken=on_broken)
    return thread, ImatrixHandler(model, context.n_ctx_seq, thread)


def _launch(line: bytes) -> _Launch:
    """Raises CannotLoad."""
    try:
        message = protocol.decode(line)
        if message["type"] != "launch":
            raise protocol.BadMessage(f"expected launch, got {message['type'][:80]!r}")
        path, socket, options = message["path"], message["socket"], message["options"]
        if not (isinstance(path, str) and isinstance(socket, str) and isinstance(options, dict)):
            raise protocol.BadMessage("launch: path and socket are strings, options is an object")
        return _Launch(Path(path), Path(socket), LoadOptions.from_json(options), EngineDevices.from_json(message))
    except (KeyError, ValueError) as error:
        raise CannotLoad("bad_options", f"the launch line cannot be used: {error}") from None


def _exit_with_host() -> None:
    """Ends the process with the pipe, whatever it is doing: loading and decoding do not listen."""
    while os.read(0, 4096):
        pass
    os._exit(0)


async def _mode(template: str | None, renderer: Renderer) -> Mode:
    if template is None:
        return Mode("completion", "the GGUF carries no chat template")
    try:
        await renderer.compile(template)
    except RenderFailed as failed:
        return Mode("completion", f"the GGUF's chat template does not compile: {failed.detail}")
    return Mode("chat", None)


def _ready(
    model: Model,
    context: Context,
    options: LoadOptions,
    mode: Mode,
    n_gpu_layers: int,
    devices: list[DeviceReport],
    load_seconds: float,
) -> Ready:
    return Ready(
        type="ready",
        n_ctx=context.n_ctx,
        n_ctx_seq=options.n_ctx_seq,
        n_seq_max=options.n_seq_max,
        n_ctx_train=model.n_ctx_train,
        n_layers=model.n_layers,
        n_gpu_layers=n_gpu_layers,
        mode=mode.name,
        mode_reason=mode.reason,
        weights_bytes=sum(device["weights_bytes"] for device in devices),
        kv_bytes=sum(device["kv_bytes"] for device in devices),
        compute_bytes=sum(device["compute_bytes"] for device in devices),
        devices=devices,
        load_seconds=round(load_seconds, 3),
    )


def _in_thread(function: Callable[..., _T], *arguments: Any) -> Future[_T]:
    """Like an executor's submit, on a daemon thread: a load that is stuck must not keep the process from ending."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="load", daemon=True).start()
    return future


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
