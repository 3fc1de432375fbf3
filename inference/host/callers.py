"""Everybody who has asked the host for something and is still connected, and what each is told."""

from __future__ import annotations

import logging
import secrets

from inference.core.scheduling import events, reasons
from inference.host.api.messages import Evicting, HostRefused, LeaseLoading, LeaseReady, Queued
from inference.host.api.wire import to_json
from inference.host.connection import Connection
from inference.host.workers.worker import Worker

logger = logging.getLogger(__name__)


class Callers:
    """By ticket. Sending never blocks and never raises."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}
        self._request_ids: dict[int, str] = {}
        self._leased: dict[int, Worker] = {}
        self._tickets = 0
        self._lease_prefix = secrets.token_hex(4)

    def enter(self, connection: Connection, request_id: str = "") -> int:
        """The ticket by which the scheduler knows what `connection` asks for."""
        self._tickets += 1
        self._connections[self._tickets] = connection
        self._request_ids[self._tickets] = request_id
        return self._tickets

    def leave(self, ticket: int) -> Worker | None:
        """The connection has closed. Returns the worker that it had a lease of."""
        del self._connections[ticket]
        del self._request_ids[ticket]
        return self._leased.pop(ticket, None)

    def grant(self, ticket: int, worker: Worker) -> None:
        assert worker.ready is not None
        ready: LeaseReady = {
            "type": "ready",
            "lease_id": f"{self._lease_prefix}-{ticket}",
            "socket": worker.socket_path,
            "mode": worker.ready["mode"],
            "n_ctx_seq": worker.ready["n_ctx_seq"],
        }
        self._leased[ticket] = worker
        self._connections[ticket].send(ready)
        logger.info(
            "leased",
            extra={
                "event": "leased",
                "variant": worker.facts.name,
                "request_id": self._request_ids[ticket],
                "lease": ready["lease_id"],
            },
        )

    def notify(self, ticket: int, wait: reasons.Wait) -> None:
        connection = self._connections[ticket]
        match wait:
            case reasons.InQueue(position=position, reason=reason):
                connection.send(Queued(type="queued", position=position, reason=reason))
            case reasons.ForEviction(variants=variants):
                connection.send(Evicting(type="evicting", variants=list(variants)))
            case reasons.ForLoading(fraction=fraction):
                connection.send(LeaseLoading(type="loading", fraction=fraction))

    def refuse(self, refuse: events.Refuse) -> None:
        logger.info(
            "refused",
            extra={
                "event": "refused",
                "resident": str(refuse.resident_id),
                "request_id": self._request_ids[refuse.ticket],
                "refusal": to_json(refuse.refusal),
            },
        )
        self._connections[refuse.ticket].send_last(HostRefused(type="refused", refusal=refuse.refusal))

    def complete(self, ticket: int) -> None:
        self._connections[ticket].send_last({"type": "completed"})
