"""Sluice: sockets with states, events and buffers, for Python.

::

    import sluice

    with sluice.start() as s:
        sock = s.connect_tcp("example.org", 80)
        sock.sendall(b"GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n")
        print(b"".join(sock.chunks()))

The same with coroutines is :mod:`sluice.aio`. Times are milliseconds; -1 waits without a limit.
"""

from . import datagrams, enums, errors, proxies, tls
from ._blocking.queue import Answer, EventQueue
from ._blocking.session import Session, connect, default_session, start
from ._blocking.sockets import (
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
from ._core.results import (
    ActivatedDescriptor,
    Greeting,
    HeldDescriptor,
    NetworkInterface,
    NewConnection,
    PeerCredentials,
    RelayCounters,
)
from ._core.sidecar import find_sidecar
from ._version import __version__
from .datagrams import *
from .enums import *
from .errors import *
from .events import Event
from .proxies import *
from .tls import *

__all__ = [
    "ActivatedDescriptor",
    "Answer",
    "Event",
    "EventQueue",
    "Greeting",
    "Handle",
    "HeldDescriptor",
    "Host",
    "LocalServer",
    "LocalSocket",
    "NewConnection",
    "NetworkInterface",
    "PeerCredentials",
    "Proxies",
    "Relay",
    "RelayCounters",
    "Server",
    "Session",
    "Socket",
    "StreamSocket",
    "TcpServer",
    "TcpSocket",
    "TlsSocket",
    "UdpSocket",
    "__version__",
    "connect",
    "default_session",
    "find_sidecar",
    "start",
]
__all__ += datagrams.__all__
__all__ += enums.__all__
__all__ += errors.__all__
__all__ += proxies.__all__
__all__ += tls.__all__
