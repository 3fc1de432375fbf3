"""How the web process ends a connection: what was sent last arrives, even where the other side still sends."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import main, tcp
from twisted.internet.abstract import FileDescriptor
from twisted.python.failure import Failure

LINGER_SECONDS = 5.0
LINGER_BYTES = 64 << 20
"""Four times the longest body."""
_BLOCK_BYTES = 64 << 10


class Transport(tcp.Server):
    """One accepted connection. Its protocol is told of the end at once and keeps nothing for the sake of what still comes."""

    def _closeSocket(self, orderly: bool) -> None:
        """Twisted's own shuts both directions: on the next byte the kernel resets the connection, and an answer on its way may be lost."""
        if orderly and self.disconnecting:
            _Lingering(self.socket, self.reactor)
        else:
            super()._closeSocket(orderly)


class _Lingering(FileDescriptor):
    """A connection that we have ended. What still comes is thrown away until the other side ends it too, or the bounds are reached."""

    def __init__(self, ended: socket.socket, reactor: Any) -> None:
        super().__init__(reactor)
        self._socket = ended
        self._n_left_bytes = LINGER_BYTES
        self._timeout = reactor.callLater(LINGER_SECONDS, self.connectionLost, Failure(main.CONNECTION_DONE))
        self.startReading()
        with suppress(OSError):  # where the other side is gone, which the first reading finds
            ended.shutdown(socket.SHUT_WR)

    def fileno(self) -> int:
        return self._socket.fileno()

    def doRead(self) -> Exception | None:
        try:
            block = self._socket.recv(_BLOCK_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        self._n_left_bytes -= len(block)
        return None if block and self._n_left_bytes > 0 else main.CONNECTION_DONE

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        if self._timeout.active():
            self._timeout.cancel()
        self._socket.close()


class WebSocket(WebSocketProtocol):  # type: ignore[misc]  # daphne has no types
    """Says by a close frame why it ends. autobahn cuts the connection instead, without one or with the frame still on its way."""

    def _fail_connection(self, code: int, reason: str) -> None:
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code, reason.encode()[:123])
        super()._fail_connection(code, reason)

    def _closeConnection(self, abort: bool = False) -> None:
        if abort and self.localCloseCode is not None:
            # A page that reads nothing at all must not keep the connection.
            self.transport.reactor.callLater(LINGER_SECONDS, self.transport.abortConnection)
            abort = False
        super()._closeConnection(abort)


def end_patiently(port: Any, websockets: Any) -> None:
    """Makes what Twisted's `port` accepts, and the WebSockets that daphne's factory opens on it, end in this way."""
    port.transport = Transport
    websockets.protocol = WebSocket
