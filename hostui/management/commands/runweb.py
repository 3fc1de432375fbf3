"""The web process: daphne, started here instead of by its own command line, so that its limits and its end are ours."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from hostui.box import lifeline, locks
from hostui.http.listen import LISTENING, CannotListen, listen

PREDECESSOR_SECONDS = 15.0
SHUTDOWN_SECONDS = 5.0
FRAME_MARGIN_BYTES = 64 * 1024
"""A frame just over the protocol's limit still reaches the consumer, which refuses it in words; far longer ones end the socket."""


class Command(BaseCommand):
    help = "Runs the web process. Usually started by `serve`."
    requires_system_checks: list[str] = []  # noqa: RUF012  serve has checked once for all

    def handle(self, *args: Any, **options: Any) -> None:
        lifeline.hold()
        try:
            locks.hold(settings.RUN_DIR / "web.lock", PREDECESSOR_SECONDS)
            sockets = listen(settings.HOST, settings.PORT)
            (settings.RUN_DIR / LISTENING).write_text(str(os.getpid()))
        except locks.LockHeld as held:
            self.stderr.write(f"hostui: a web process is already running (pid {held.pid})")
            sys.exit(os.EX_TEMPFAIL)
        except CannotListen as error:
            self.stderr.write(f"hostui: {error}")
            sys.exit(os.EX_CONFIG)

        # Twisted's reactor is installed by this import; nothing before it may touch Twisted.
        from daphne.server import Server
        from twisted.internet import defer, reactor

        from hostui.asgi import application
        from hostui.http.bodies import bound
        from hostui.http.lingering_close import end_patiently
        from inference.web.chat import turns
        from inference.web.chat.protocol import LONGEST_FRAME_BYTES

        turns.interrupt_orphans()

        def adopt() -> None:
            bound(server.http_factory)
            for listener in sockets:
                port = reactor.adoptStreamPort(listener.fileno(), listener.family, server.http_factory)
                end_patiently(port, server.ws_factory)
                listener.close()

        longest = LONGEST_FRAME_BYTES + FRAME_MARGIN_BYTES
        server = Server(
            application,
            endpoints=["fd"],
            server_name="hostui",
            websocket_max_message_size=longest,
            websocket_max_frame_size=longest,
            application_close_timeout=SHUTDOWN_SECONDS,
            ready_callable=adopt,
        )
        # The sockets are open already; daphne refuses to be made without an endpoint, and would open it itself.
        server.endpoints.clear()

        def end_turns() -> defer.Deferred[None]:
            return defer.Deferred.fromFuture(asyncio.ensure_future(turns.shutdown()))

        reactor.addSystemEventTrigger("before", "shutdown", end_turns)  # type: ignore[arg-type]  # zope's interfaces have no self
        server.run()
