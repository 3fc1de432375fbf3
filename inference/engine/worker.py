"""`python -m inference.engine.worker`: loads one variant and serves it until its standard input ends.

The process that started it writes one Launch line and keeps the pipe open. Reports go to what standard output was at the
start; descriptor 1 itself is pointed at standard error, so that no library can print between two reports.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.core.planning.header import Header
from inference.core.planning.imatrix_memory import sums_bytes
from inference.engine import protocol
from inference.engine.chat.batching import Batcher
from inference.engine.chat.handler import Chats
from inference.engine.chat.requests import Intake, Mode
from inference.engine.chat.template_client import Renderer, RenderFailed
from inference.engine.llama import Context, Log, Model
from inference.engine.protocol import DeviceReport, Failed, Loading, Ready, Stats, WorkerReport
from inference.engine.serving.loading import CannotLoad, check_file, load
from inference.engine.serving.server import Answers, Server

if TYPE_CHECKING:
    from inference.engine.imatrix.pass_thread import Ear, Reader

_T = TypeVar("_T")

_STATS_SECONDS = 1.0
_PROGRESS_SECONDS = 0.1
_READING_NICENESS = 10
"""A text is read for minutes, beside people who wait for answers."""
_SWITCH_SECONDS = 0.001
"""The decode thread comes back from C wanting the interpreter: it must not wait Python's default 5 ms for it."""


class Reports:
    """The way to the host. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._progress_sent_at = time.monotonic()

    def send(self, report: WorkerReport) -> None:
        raw = protocol.encode(report)
        with self._lock:
            try:
                while raw:
                    raw = raw[os.write(self._descriptor, raw) :]
            except OSError:
                # Nobody listens: the host is gone.
                os._exit(1)

    def loading(self, fraction: float) -> None:
        """At most ten times a second: llama.cpp reports each tensor."""
        now = time.monotonic()
        if now - self._progress_sent_at >= _PROGRESS_SECONDS:
            self._progress_sent_at = now
            self.send(Loading(type="loading", fraction=round(fraction, 3)))

    def fail(self, failed: CannotLoad) -> NoReturn:
        """The worker's last words."""
        self.send(Failed(type="failed", reason=failed.reason, detail=failed.detail))
        sys.stderr.flush()
        os._exit(1)


class Pulse:
    """Reports what the decode thread does: each second while it works, and once when it rests. Never wakes while idle."""

    def __init__(self, reports: Reports, engine: Batcher | Reader) -> None:
        self._reports = reports
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._tokens_before = 0
        self._reported_at = time.monotonic()

    def turn(self, busy: bool) -> None:
        """From the decode thread."""
        self._loop.call_soon_threadsafe(self._turn, busy)

    def _turn(self, busy: bool) -> None:
        if busy and not self._busy:
            self._reported_at = time.monotonic()
            self._timer = self._loop.call_later(_STATS_SECONDS, self._tick)
        elif self._busy and not busy:
            if self._timer is not None:
                self._timer.cancel()
            self._report(busy=False)
        self._busy = busy

    def _tick(self) -> None:
        self._report(busy=True)
        self._timer = self._loop.call_later(_STATS_SECONDS, self._tick)

    def _report(self, *, busy: bool) -> None:
        now = time.monotonic()
        pulse = self._engine.pulse()
        # A burst shorter than a second still counts as tokens per second, not per burst.
        seconds = max(_STATS_SECONDS, now - self._reported_at)
        self._reports.send(
            Stats(
                type="stats",
                slots_busy=pulse.slots_busy if busy else 0,
                tokens_per_second=round((pulse.tokens_total - self._tokens_before) / seconds, 2),
                tokens_total=pulse.tokens_total,
                step_age_seconds=round(now - pulse.step_ended_at, 3) if busy else None,
            )
        )
        self._tokens_before = pulse.tokens_total
        self._reported_at = now


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches us too; the host decides
    sys.setswitchinterval(_SWITCH_SECONDS)
    reports = Reports()
    renderer = Renderer()
    try:
        # Whoever starts a worker ahead keeps it waiting here, with everything imported.
        line = sys.stdin.buffer.readline()
        began = time.monotonic()
        path, socket, options, engine_devices = _launch(line)
        threading.Thread(target=_exit_with_host, name="host watch", daemon=True).start()
        header = check_file(path)
    except CannotLoad as failed:
        reports.fail(failed)
    asyncio.run(_work(path, socket, options, engine_devices, header, renderer, reports, began))


async def _work(
    path: Path,
    socket: Path,
    options: LoadOptions,
    engine_devices: EngineDevices,
    header: Header,
    renderer: Renderer,
    reports: Reports,
    began: float,
) -> None:
    reports.send(Loading(type="loading", fraction=0.0))
    log = Log()
    ear = _ear(options)
    loaded = _in_thread(load, path, options, engine_devices, log, reports.loading, ear and ear.hear)
    mode = await _mode(header.text("tokenizer.chat_template"), renderer)
    try:
        model, context, gpus = await asyncio.wrap_future(loaded)
        if options.n_ctx_seq > model.n_ctx_train:
            _say(f"n_ctx_seq {options.n_ctx_seq} exceeds the {model.n_ctx_train} tokens that the model was trained on")
        pulse: Pulse | None = None

        def on_busy(busy: bool) -> None:
            assert pulse is not None
            pulse.turn(busy)

        def on_broken(detail: str) -> NoReturn:
            reports.fail(CannotLoad("crashed", detail))

        engine: Batcher | Reader
        answers: Answers
        if ear is None:
            engine = Batcher(model, context, options.n_seq_max, on_busy=on_busy, on_broken=on_broken)
            answers = Chats(Intake(model, options.n_ctx_seq, mode, renderer), engine)
        else:
            engine, answers = _reader(model, context, ear, on_busy, on_broken)
        pulse = Pulse(reports, engine)
        engine.start()
        await asyncio.wrap_future(engine.warm_up())
        server = await Server(answers).listen(socket)
    except CannotLoad as failed:
        reports.fail(failed)
    except RuntimeError as error:
        reports.fail(CannotLoad("unsupported", f"{path.name} loads, but does not decode: {error}"))
    except OSError as error:
        reports.fail(CannotLoad("bad_options", f"the socket {socket} cannot be created: {error}"))
    devices = log.buffers.devices(gpus, header, sums_bytes(header) if ear else 0)
    reports.send(_ready(model, context, options, mode, log.buffers.n_gpu_layers, devices, time.monotonic() - began))
    await server.serve_forever()


def _ear(options: LoadOptions) -> Ear | None:
    """None for an ordinary worker: whoever listens to a graph slows down every token of it."""
    if options.purpose != "imatrix":
        return None
    # Not at the top: no other worker needs numpy, which takes a tenth of a second.
    from inference.engine.imatrix.pass_thread import Ear

    os.nice(_READING_NICENESS)
    return Ear()


def _reader(
    model: Model,
    context: Context,
    ear: Ear,
    on_busy: Callable[[bool], None],
    on_broken: Callable[[str], NoReturn],
) -> tuple[Reader, Answers]:
    from inference.engine.imatrix.pass_thread import Reader
    from inference.engine.imatrix.requests import Readings

    reader = Reader(model, context, ear, on_busy=on_busy, on_broken=on_broken)
    return reader, Readings(model, context.n_ctx_seq, reader)


def _launch(line: bytes) -> tuple[Path, Path, LoadOptions, EngineDevices]:
    """Raises CannotLoad."""
    try:
        message = protocol.decode(line)
        if message["type"] != "launch":
            raise protocol.BadMessage(f"expected launch, got {message['type'][:80]!r}")
        path, socket, options = message["path"], message["socket"], message["options"]
        if not (isinstance(path, str) and isinstance(socket, str) and isinstance(options, dict)):
            raise protocol.BadMessage("launch: path and socket are strings, options is an object")
        return Path(path), Path(socket), LoadOptions.from_json(options), EngineDevices.from_json(message)
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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
