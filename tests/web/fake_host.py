"""A host and its worker, as far as the web process can see them: two Unix sockets that speak host.messages and engine.protocol.

Each test says what happens on them, step by step, so nothing depends on time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inference.core.loads.devices import BytesOn
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.decisions import Decision
from inference.core.scheduling.preview import Outcome, Preview
from inference.core.scheduling.reasons import Reason, Wait
from inference.core.scheduling.refusals import Refusal
from inference.engine import protocol
from inference.host.api import wire

DEADLINE_SECONDS = 10.0


class Line:
    """One connection's server side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: dict[str, Any]) -> None:
        self.request = request
        self._reader = reader
        self._writer = writer

    async def say(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self._writer.write(wire.encode(message))
        await self._writer.drain()

    async def say_raw(self, line: bytes) -> None:
        self._writer.write(line)
        await self._writer.drain()

    async def hung_up(self) -> None:
        """Returns when the other side has closed the connection."""
        rest = await asyncio.wait_for(self._reader.read(), DEADLINE_SECONDS)
        assert rest == b"", "the caller said more than one line"

    @property
    def is_dropped(self) -> bool:
        """Whether the connection has ended, from whichever side."""
        return self._writer.is_closing() or self._reader.at_eof()

    def drop(self) -> None:
        """As when the process at this end is killed."""
        self._writer.transport.abort()

    async def token(self, n: int, text: str, *, reasoning: bool = False) -> None:
        await self.say({"type": "token", "n": n, "text": text, "reasoning": reasoning})

    async def done(self, n: int, reason: str = "stop") -> None:
        timings = {"prompt_n": 5, "cache_n": 0, "prompt_ms": 10.0, "predicted_n": n, "predicted_ms": 20.0}
        await self.say({"type": "done", "reason": reason, "stop_string": None, "timings": timings})


class Listener:
    """One Unix socket; its connections wait in `take` until a test asks for them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server: asyncio.Server | None = None
        self._lines: list[Line] = []
        self._arrived = asyncio.Condition()
        self._open: set[Line] = set()

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.path), limit=protocol.LONGEST_LINE_BYTES)

    async def stop(self) -> None:
        """The process is gone: its socket file with it, its connections end."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.path.unlink(missing_ok=True)
        for line in list(self._open):
            line.drop()
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await protocol.read(reader)
        if request is None:
            writer.close()
            return
        line = Line(reader, writer, request)
        self._open.add(line)
        if not await self.answered(line):
            async with self._arrived:
                self._lines.append(line)
                self._arrived.notify_all()

    async def answered(self, line: Line) -> bool:
        """Whether this connection needs no test's attention."""
        return False

    async def take(self, kind: str) -> Line:
        """The next connection that asked for `kind`."""

        def found() -> Line | None:
            return next((line for line in self._lines if line.request["type"] == kind), None)

        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(lambda: found() is not None), DEADLINE_SECONDS)
            line = found()
            assert line is not None
            self._lines.remove(line)
            return line


class FakeHost(Listener):
    """`watch`, `status`, `telemetry` and `preview` are answered from its fields; everything else waits for the test."""

    def __init__(self, path: Path, worker: Path) -> None:
        super().__init__(path)
        self.worker = Listener(worker)
        self.residents: list[dict[str, Any]] = []
        self.devices: list[dict[str, Any]] = []
        self._watching: list[Line] = []
        self.backlog: dict[str, Any] = telemetry("backlog")
        self.previews: dict[bool, dict[str, Any]] = {False: preview(1), True: preview(1)}
        """By `anyway`."""
        self._following: list[Line] = []
        self.n_followed = 0
        """How often telemetry was asked for."""

    async def start(self) -> None:
        await super().start()
        await self.worker.start()

    async def stop(self) -> None:
        await super().stop()
        await self.worker.stop()
        self._watching.clear()
        self._following.clear()

    def status(self) -> dict[str, Any]:
        return {
            "type": "status",
            "pid": 4711,
            "uptime_seconds": 1.0,
            "budget_bytes": 8_000_000_000,
            "reserved_bytes": 0,
            "devices": self.devices,
            "residents": self.residents,
            "queue": [],
        }

    async def answered(self, line: Line) -> bool:
        if line.request["type"] == "telemetry":
            self.n_followed += 1
            self._following.append(line)
            await line.say(self.backlog)
            return True
        if line.request["type"] == "preview":
            await line.say(self.previews[line.request["anyway"]])
            return True
        if line.request["type"] == "watch":
            self._watching.append(line)
        elif line.request["type"] != "status":
            return False
        await line.say(self.status())
        return True

    async def tell(self, residents: list[dict[str, Any]]) -> None:
        """What is resident changed."""
        self.residents = residents
        for line in self._watching:
            await line.say(self.status())

    async def tell_telemetry(self, frame: dict[str, Any]) -> None:
        """To everyone who follows now."""
        self._following = [line for line in self._following if not line.is_dropped]
        for line in self._following:
            await line.say(frame)

    def ready(self, mode: str = "chat") -> dict[str, Any]:
        return {
            "type": "ready",
            "lease_id": "l1",
            "socket": str(self.worker.path),
            "mode": mode,
            "n_ctx_seq": 4096,
        }

    async def lease(self, mode: str = "chat") -> tuple[Line, Line]:
        """Grants the next lease; returns it and the generation that follows."""
        lease = await self.take("lease")
        await lease.say(self.ready(mode))
        return lease, await self.worker.take("generate")


def queued(position: int, reason: Reason) -> dict[str, Any]:
    """A Queued."""
    return {"type": "queued", "position": position, "reason": reason}


def evicting(*variant_ids: int) -> dict[str, Any]:
    """An Evicting of those."""
    return {"type": "evicting", "variants": [ResidentId(each) for each in variant_ids]}


def resident(variant_id: int, name: str = "m", **facts: Any) -> dict[str, Any]:
    """A ResidentVariant."""
    return {
        "variant_id": variant_id,
        "name": name,
        "purpose": "chat",
        "state": "resident",
        "pinned": False,
        "pid": 1,
        "fraction": None,
        "reserved_bytes": 1,
        "bytes_by_device": {"ram": 1},
        "weights_bytes": 1,
        "kv_bytes": 1,
        "compute_bytes": 1,
        "devices": None,
        "rss_bytes": 1,
        "n_ctx_seq": 4096,
        "n_seq_max": 4,
        "slots_busy": 0,
        "leases": 0,
        "queued": 0,
        "tokens_per_second": 0.0,
        "tokens_total": 0,
        "idle_seconds": None,
        "keep_alive_seconds": None,
        "mode": "chat",
        "failure": None,
        "failure_detail": None,
        "failures_in_a_row": 0,
        "load_seconds": 1.0,
        "n_layers": 30,
        "n_gpu_layers": 0,
        "wanted_gpu_layers": 0,
        "type_k": "f16",
        "type_v": "f16",
        **facts,
    }


GIB = 1 << 30
BEST = LoadWay(LoadOptions(), {"ram": GIB})


def preview(variant_id: int, outcome: Outcome = "fits", **facts: Any) -> dict[str, Any]:
    """A LoadPreviewed."""
    known = {"way": BEST, "load_seconds": 1.0, "holds": (BytesOn("ram", "RAM", GIB),)}
    return {"type": "preview", "preview": Preview(ResidentId(variant_id), outcome, BEST, **{**known, **facts})}


def refused(refusal: Refusal) -> dict[str, Any]:
    """A HostRefused."""
    return {"type": "refused", "refusal": refusal}


def segment(kind: str, n_bytes: int, variant_id: int | None = None) -> dict[str, Any]:
    """Of the variant's chats, or nobody's."""
    purpose = None if variant_id is None else "chat"
    return {"kind": kind, "variant_id": variant_id, "purpose": purpose, "bytes": n_bytes}


def device(
    device: str = "ram", name: str = "RAM", segments: Sequence[dict[str, Any]] = (), **facts: Any
) -> dict[str, Any]:
    """A DeviceTelemetry of 16 GiB; what `segments` leave is free."""
    left = 16 * GIB - sum(each["bytes"] for each in segments)
    return {
        "device": device,
        "name": name,
        "capacity_bytes": 16 * GIB,
        "budget_bytes": 12 * GIB,
        "reserve_bytes": 0,
        "used_bytes": 16 * GIB - left,
        "foreign_bytes": 0,
        "utilisation_percent": 12.5,
        "bandwidth_percent": None,
        "temperature_celsius": None,
        "power_watts": None,
        "swap_in_bytes_per_second": 0.0,
        "swap_out_bytes_per_second": 0.0,
        "segments": [*segments, segment("free", left)],
        **facts,
    }


def variant_telemetry(variant_id: int, name: str = "m", **facts: Any) -> dict[str, Any]:
    """A VariantTelemetry of a resident variant at rest."""
    return {
        "variant_id": variant_id,
        "name": name,
        "purpose": "chat",
        "state": "resident",
        "pinned": False,
        "fraction": None,
        "reserved_bytes": GIB,
        "slots_busy": 0,
        "n_seq_max": 4,
        "queued": 0,
        "tokens_per_second": 0.0,
        "tokens_total": 0,
        "idle_seconds": 5.0,
        "keep_alive_seconds": 900.0,
        "n_ctx_seq": 4096,
        "n_layers": 30,
        "n_gpu_layers": 0,
        "wanted_gpu_layers": 0,
        "type_k": "f16",
        "type_v": "f16",
        "mode": "chat",
        "failure_detail": None,
        "load_seconds": 1.5,
        "alarm": None,
        **facts,
    }


def telemetry(kind: str, number: int = 1, **facts: Any) -> dict[str, Any]:
    """A Backlog or a Delta of a box with 16 GiB of RAM and nothing in it."""
    at = 1_800_000_000.0 + number
    grown: dict[str, Any] = {"at": at, "figures": {}} if kind == "delta" else {"at": [], "series": {}, "decided": []}
    return {
        "type": kind,
        "number": number,
        "pid": 4711,
        "uptime_seconds": 60.0 + number,
        "devices": [device()],
        "variants": [],
        "queue": [],
        "decisions": [],
        **grown,
        **facts,
    }


def decision(number: int, decided: Decision, **called: ResidentId | int) -> dict[str, Any]:
    """A LoggedDecision. `called`: ids by what those variants were called then."""
    named = {name: each if isinstance(each, ResidentId) else ResidentId(each) for name, each in called.items()}
    mentions = [{"variant_id": each.variant_id, "purpose": each.purpose, "name": name} for name, each in named.items()]
    return {"number": number, "at": 1_800_000_000.0 + number, "decision": decided, "mentions": mentions}


def waiting(
    position: int, user: str, variant_id: int, wait: Wait, name: str = "m", purpose: str = "chat"
) -> dict[str, Any]:
    """A QueueEntry."""
    return {
        "position": position,
        "user": user,
        "variant_id": variant_id,
        "purpose": purpose,
        "variant": name,
        "kind": "interactive",
        "wait": wait,
        "waiting_seconds": 12.3,
    }


@asynccontextmanager
async def fake_host(folder: Path) -> AsyncIterator[FakeHost]:
    host = FakeHost(folder / "host.sock", folder / "worker.sock")
    await host.start()
    try:
        yield host
    finally:
        await host.stop()
