"""The host's state as everybody sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from inference.core.loads.devices import memory_only
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.memory.residency import Residency
from inference.core.scheduling.scheduler import Scheduler
from inference.host.api.messages import DeviceStatus, HostStatus, ResidentVariant, WaitingRequest
from inference.host.workers.worker import Worker, process_bytes


def host_status(
    scheduler: Scheduler,
    workers: Mapping[int, Worker],
    name: Callable[[ResidentId], str],
    started_at: float,
    now: float,
) -> HostStatus:
    """`workers` by launch number; `now` and `started_at` on the event loop's clock. Reads each worker's memory from the system."""
    waiting = scheduler.waiting()
    queued: dict[ResidentId, int] = {}
    for request, _, _ in waiting:
        queued[request.resident_id] = queued.get(request.resident_id, 0) + 1
    return {
        "type": "status",
        "pid": os.getpid(),
        "uptime_seconds": round(now - started_at, 3),
        "budget_bytes": scheduler.budget_bytes,
        "reserved_bytes": scheduler.reserved_bytes,
        "devices": [
            DeviceStatus(
                device=each.device,
                name=each.name,
                capacity_bytes=each.capacity_bytes,
                budget_bytes=each.budget_bytes,
                reserve_bytes=each.reserve_bytes,
                reserved_bytes=scheduler.ledger.reserved(each.device),
                foreign_bytes=each.foreign_bytes,
            )
            for each in scheduler.ledger.pools.values()
            if each.kind == "memory"
        ],
        "residents": [
            _resident(each, workers.get(each.launch), queued.get(each.resident_id, 0), now)
            for each in scheduler.residencies.values()
            if each.state != "absent"
        ],
        "queue": [
            WaitingRequest(
                request_id=request.request_id,
                user=request.user,
                variant_id=request.resident_id.variant_id,
                purpose=request.resident_id.purpose,
                variant=name(request.resident_id),
                kind=request.kind,
                position=position,
                wait=wait,
                waiting_seconds=round(now - request.arrived_at, 3),
            )
            for request, position, wait in waiting
        ],
    }


def _resident(residency: Residency, worker: Worker | None, queued: int, now: float) -> ResidentVariant:
    ready = worker.ready if worker else None
    stats = worker.stats if worker else None
    facts = residency.facts
    way = residency.way.options if residency.way else None
    options = way or facts.options
    pid = worker.pid if worker else None
    is_idle = residency.state == "resident" and not residency.leases
    return {
        "variant_id": residency.resident_id.variant_id,
        "purpose": residency.resident_id.purpose,
        "name": facts.name,
        "state": residency.state,
        "pinned": facts.pinned,
        "pid": pid,
        "fraction": residency.fraction,
        "reserved_bytes": residency.reserved_bytes,
        "bytes_by_device": memory_only(residency.bytes_by_device),
        "weights_bytes": ready["weights_bytes"] if ready else None,
        "kv_bytes": ready["kv_bytes"] if ready else None,
        "compute_bytes": ready["compute_bytes"] if ready else None,
        "devices": ready["devices"] if ready else None,
        "rss_bytes": process_bytes(pid) if pid is not None else None,
        "n_ctx_seq": ready["n_ctx_seq"] if ready else options.n_ctx_seq,
        "n_seq_max": ready["n_seq_max"] if ready else options.n_seq_max,
        "slots_busy": stats["slots_busy"] if stats else 0,
        "leases": len(residency.leases),
        "queued": queued,
        "tokens_per_second": stats["tokens_per_second"] if stats and stats["slots_busy"] else 0.0,
        "tokens_total": stats["tokens_total"] if stats else 0,
        "idle_seconds": round(now - residency.used_at, 3) if is_idle else None,
        "keep_alive_seconds": None if facts.pinned else facts.keep_alive_seconds,
        "mode": ready["mode"] if ready else None,
        "failure": residency.failure.reason if residency.failure else None,
        "failure_detail": residency.failure.detail if residency.failure else None,
        "failures_in_a_row": residency.failures_in_a_row,
        "load_seconds": ready["load_seconds"] if ready else None,
        "n_layers": ready["n_layers"] if ready else None,
        "n_gpu_layers": ready["n_gpu_layers"] if ready else None,
        "wanted_gpu_layers": way.n_gpu_layers if way else None,
        "type_k": way.type_k if way else None,
        "type_v": way.type_v if way else None,
    }
