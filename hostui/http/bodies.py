"""How long the body of a request may be: daphne keeps bodies whole, on the disk, before anybody looks at who sends them."""

from __future__ import annotations

from typing import Any

from daphne.http_protocol import WebRequest

LONGEST_BODY_BYTES = 16 << 20
"""Four times a piece of an upload, the longest that is of any use."""
_REFUSAL = (
    b"HTTP/1.1 413 Content Too Large\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 22\r\n"
    b"Connection: close\r\n\r\n"
    b"The body is too large."
)


class BoundedRequest(WebRequest):
    """Ends the connection of whoever announces, or sends, more."""

    _n_body_bytes = 0
    _is_refused = False

    def gotLength(self, length: int | None) -> None:
        super().gotLength(None if length is None else min(length, LONGEST_BODY_BYTES))
        if length is not None and length > LONGEST_BODY_BYTES:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        self._n_body_bytes += len(data)
        if self._n_body_bytes <= LONGEST_BODY_BYTES and not self._is_refused:
            super().handleContentChunk(data)
        else:
            self._refuse()

    def process(self) -> None:
        if not self._is_refused:
            super().process()

    def _refuse(self) -> None:
        if not self._is_refused:
            self._is_refused = True
            # Twisted would go on to ask for the body of whoever waits to be asked for it.
            self.requestHeaders.removeHeader(b"Expect")
            self.channel.transport.write(_REFUSAL)
            self.channel.loseConnection()


def bound(factory: Any) -> None:
    """Makes daphne's `factory` of connections refuse bodies that are too long."""
    build = factory.buildProtocol

    def build_bounded(address: Any) -> Any:
        protocol = build(address)
        protocol.requestFactory = BoundedRequest
        return protocol

    factory.buildProtocol = build_bounded
