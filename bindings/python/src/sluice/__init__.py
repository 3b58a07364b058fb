"""Sluice: sockets with states, events and buffers, for Python.

::

    import sluice

    with sluice.start() as s:
        sock = s.connect_tcp("example.org", 80)
        sock.sendall(b"GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n")
        print(b"".join(sock.chunks()))

The same with coroutines is :mod:`sluice.aio`. Times are milliseconds; -1 waits without a limit.
"""

from . import enums, errors
from ._blocking.queue import Answer, EventQueue
from ._blocking.session import Session, connect, default_session, start
from ._blocking.sockets import Handle, LocalServer, LocalSocket, Server, Socket, TcpServer, TcpSocket
from ._core.results import Greeting, NewConnection, PeerCredentials
from ._core.sidecar import find_sidecar
from ._version import __version__
from .enums import *
from .errors import *
from .events import Event

__all__ = [
    "Answer",
    "Event",
    "EventQueue",
    "Greeting",
    "Handle",
    "LocalServer",
    "LocalSocket",
    "NewConnection",
    "PeerCredentials",
    "Server",
    "Session",
    "Socket",
    "TcpServer",
    "TcpSocket",
    "__version__",
    "connect",
    "default_session",
    "find_sidecar",
    "start",
]
__all__ += enums.__all__
__all__ += errors.__all__
