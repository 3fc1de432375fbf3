"""Everybody who has asked the host for something and is still connected, and the words that each is sent."""

from __future__ import annotations

import logging
import secrets

from inference.core.scheduling import events
from inference.host.api.messages import LeaseReady, Queued
from inference.host.connection import Connection
from inference.host.workers.worker import Worker
from inference.wording import waits_and_refusals

logger = logging.getLogger(__name__)


class Callers:
    """By ticket. Sending never blocks and never raises."""

    def __init__(self, name: waits_and_refusals.Name) -> None:
        self._name = name
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

    def notify(self, ticket: int, wait: events.Wait) -> None:
        connection, naming = self._connections[ticket], waits_and_refusals.Naming(self._name)
        match wait:
            case events.InQueue(position=position, reason=reason):
                sentence = waits_and_refusals.reason(reason, position, naming)
                queued: Queued = {
                    "type": "queued",
                    "position": position,
                    "reason": sentence,
                    "why": waits_and_refusals.why(reason),
                    "mentions": naming.mentions,
                }
                connection.send(queued)
            case events.ForEviction(variants=variants):
                names = [naming(each) for each in variants]
                connection.send({"type": "evicting", "variants": names, "mentions": naming.mentions})
            case events.ForLoading(fraction=fraction):
                connection.send({"type": "loading", "fraction": fraction})

    def refuse(self, refuse: events.Refuse) -> None:
        refusal = waits_and_refusals.refusal(refuse, self._name)
        logger.info(
            "refused",
            extra={
                "event": "refused",
                "variant": self._name(refuse.variant_id),
                "request_id": self._request_ids[refuse.ticket],
                "code": refuse.code,
                "detail": refusal["detail"],
            },
        )
        self._connections[refuse.ticket].send_last(refusal)

    def complete(self, ticket: int) -> None:
        self._connections[ticket].send_last({"type": "completed"})
