"""Callers who are slow to listen, for the tests of how each process ends its connections."""

from __future__ import annotations

import select
import socket

PATIENCE_SECONDS = 30.0
BLOCK = b"x" * 65_536


def says_then_reads(caller: socket.socket, *blocks: bytes) -> bytes:
    """Reads nothing before all is sent, then what comes until the other side ends the stream. Fails where it resets it."""
    caller.settimeout(PATIENCE_SECONDS)
    for block in blocks:
        caller.sendall(block)
    heard = b""
    while more := caller.recv(65_536):
        heard += more
    return heard


def sends_until_cut(caller: socket.socket) -> int:
    """Sends without end and reads nothing; returns how many bytes were taken before the other side closed."""
    caller.settimeout(PATIENCE_SECONDS)
    n_bytes = 0
    try:
        while True:
            n_bytes += caller.send(BLOCK)
    except (BrokenPipeError, ConnectionResetError):
        return n_bytes


def is_closed_in_the_end(caller: socket.socket) -> bool:
    """Whether the other side closes both directions of a Unix socket, on which nothing is sent any more."""
    poll = select.poll()
    poll.register(caller, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(PATIENCE_SECONDS * 1000))
