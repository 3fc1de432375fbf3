"""The web process's listening sockets, opened before daphne starts, so that a taken port is one clear line."""

from __future__ import annotations

import errno
import socket

import psutil

BACKLOG = 128
LISTENING = "web.listening"
"""In the run folder: the pid of the process that has the port."""


class CannotListen(Exception):
    """`detail` says what is in the way and what to set."""


def _who_listens(port: int) -> str:
    """The program on `port`, as far as this user may see it."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            is_there = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if is_there and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"


def _open(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own: mapped addresses would show up in logs and throttles as ::ffff:….
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on `host`; 0.0.0.0 brings IPv6 along where the machine has it. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if family == socket.AF_INET:
            host = socket.gethostbyname(host)
        sockets = [_open(family, host, port)]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} is taken by {_who_listens(port)}: end it, or set HOSTUI_PORT to a free port"
            ) from None
        if error.errno == errno.EACCES:
            raise CannotListen(f"port {port} needs root: set HOSTUI_PORT to one above 1023") from None
        raise CannotListen(f"cannot listen on HOSTUI_HOST={host}: {error.strerror or error}") from None
    if host == "0.0.0.0" and socket.has_ipv6:  # noqa: S104
        try:
            sockets.append(_open(socket.AF_INET6, "::", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                sockets[0].close()
                raise CannotListen(
                    f"port {port} is taken by {_who_listens(port)}: end it, or set HOSTUI_PORT to a free port"
                ) from None
    return sockets
