"""Sluice with coroutines: the names of :mod:`sluice`, each operation awaited.

::

    from sluice import aio

    async with aio.start() as s:
        async with s.connect_tcp("example.org", 80) as sock:
            await sock.sendall(b"GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n")
            async for chunk in sock.chunks():
                ...

What makes something (``start``, ``connect_tcp``, ``tcp_socket``, ...) is awaited or entered with ``async with``. Callbacks run in
the loop and may be coroutine functions.
"""

from .queue import EventQueue, Opening
from .session import Session, connect, start
from .sockets import (
    Handle,
    Host,
    LocalServer,
    LocalSocket,
    Proxies,
    Relay,
    Server,
    Socket,
    StreamSocket,
    TcpServer,
    TcpSocket,
    TlsSocket,
    UdpSocket,
)

__all__ = [
    "EventQueue",
    "Handle",
    "Host",
    "LocalServer",
    "LocalSocket",
    "Opening",
    "Proxies",
    "Relay",
    "Server",
    "Session",
    "Socket",
    "StreamSocket",
    "TcpServer",
    "TcpSocket",
    "TlsSocket",
    "UdpSocket",
    "connect",
    "start",
]
