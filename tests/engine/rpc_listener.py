"""Stands between a worker and an RPC server and notes what the worker asks for."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

GET_DEVICE_MEMORY = 11
"""ggml-rpc.cpp's enum rpc_cmd."""


class Listener:
    """Each command is a byte, a length of eight bytes, and so many bytes more."""

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        self._server = host, int(port)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.commands: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._server) as server:
            threading.Thread(target=_copy, args=(server, client), daemon=True).start()
            while head := client.recv(9, socket.MSG_WAITALL):
                command, length = struct.unpack("<BQ", head)
                self.commands.append(command)
                server.sendall(head)
                while length:
                    piece = client.recv(min(length, 1 << 20))
                    server.sendall(piece)
                    length -= len(piece)
            # The server takes the next client when this one has left; a close alone does not tell it while a thread reads.
            server.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 20):
            target.sendall(piece)


@contextmanager
def listening(server: str) -> Iterator[Listener]:
    listener = Listener(server)
    try:
        yield listener
    finally:
        listener.close()
