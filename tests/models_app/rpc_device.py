"""A GPU-type device without a GPU: llama.cpp's RPC backend, served by a plain CPU process.

python -m tests.models_app.rpc_device          serves on a free local port, prints it, and ends with its standard input
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading


def register(endpoint: str) -> None:
    """Makes the device behind `endpoint` one of llama.cpp's. Call after llama_cpp is imported."""
    rpc = ctypes.CDLL("libggml-rpc.so.0")
    rpc.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    ggml = ctypes.CDLL("libggml.so.0")
    ggml.ggml_backend_register.argtypes = [ctypes.c_void_p]
    ggml.ggml_backend_register(rpc.ggml_backend_rpc_add_server(endpoint.encode()))


def serve() -> None:
    import llama_cpp

    llama_cpp.llama_backend_init()
    ggml = ctypes.CDLL("libggml.so.0")
    ggml.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    cpu = 0
    devices = (ctypes.c_void_p * 1)(ggml.ggml_backend_dev_by_type(cpu))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rpc = ctypes.CDLL("libggml-rpc.so.0")
    rpc.ggml_backend_rpc_start_server.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    threading.Thread(
        target=rpc.ggml_backend_rpc_start_server,
        args=(f"127.0.0.1:{port}".encode(), None, 1, 1, devices),
        daemon=True,
    ).start()
    answer = os.fdopen(os.dup(real_stdout), "w")
    answer.write(f"{port}\n")
    answer.close()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    # The server prints a banner of its own; only the port belongs on our output.
    real_stdout = os.dup(1)
    os.dup2(2, 1)
    serve()
