"""A GPU-type device without a GPU: llama.cpp's RPC backend, served by a plain CPU process.

python -m tests.models_app.rpc_device [CLIENTS]    serves on a free local port, prints it, and ends with its standard input
"""

from __future__ import annotations

import ctypes
import os
import queue
import socket
import sys
import threading
from contextlib import suppress
from typing import Any


def register(endpoint: str) -> None:
    """Makes the device behind `endpoint` one of llama.cpp's. Call after llama_cpp is imported."""
    rpc = ctypes.CDLL("libggml-rpc.so.0")
    rpc.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    ggml = ctypes.CDLL("libggml.so.0")
    ggml.ggml_backend_register.argtypes = [ctypes.c_void_p]
    ggml.ggml_backend_register(rpc.ggml_backend_rpc_add_server(endpoint.encode()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serve_one_client_at_a_time(devices: Any) -> int:
    """The port of a server in this process."""
    rpc = ctypes.CDLL("libggml-rpc.so.0")
    rpc.ggml_backend_rpc_start_server.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    port = _free_port()
    address = f"127.0.0.1:{port}".encode()
    threading.Thread(target=rpc.ggml_backend_rpc_start_server, args=(address, None, 1, 1, devices), daemon=True).start()
    return port


class _Front:
    """One endpoint for several clients: ggml's server accepts the next one only when the last has left."""

    def __init__(self, ports: list[int]) -> None:
        self._free: queue.Queue[int] = queue.Queue()
        for port in ports:
            self._free.put(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        port = self._free.get()
        try:
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()
        finally:
            self._free.put(port)


def _copy(source: socket.socket, target: socket.socket) -> None:
    buffer = memoryview(bytearray(1 << 20))
    with suppress(OSError):
        while n_bytes := source.recv_into(buffer):
            target.sendall(buffer[:n_bytes])
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def serve(n_clients: int) -> None:
    import llama_cpp

    llama_cpp.llama_backend_init()
    ggml = ctypes.CDLL("libggml.so.0")
    ggml.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    cpu = 0
    devices = (ctypes.c_void_p * 1)(ggml.ggml_backend_dev_by_type(cpu))
    ports = [_serve_one_client_at_a_time(devices) for _ in range(n_clients)]
    port = ports[0] if n_clients == 1 else _Front(ports).port
    answer = os.fdopen(os.dup(real_stdout), "w")
    answer.write(f"{port}\n")
    answer.close()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    # The server prints a banner of its own; only the port belongs on our output.
    real_stdout = os.dup(1)
    os.dup2(2, 1)
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
