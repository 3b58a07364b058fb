"""The operations of local sockets, each declared once for both faces."""

from __future__ import annotations

from typing import Optional

from ..enums import LocalAccess, OpenMode
from .calls import Call, operation
from .descriptors import HasDescriptor, descriptor_call
from .results import PeerCredentials, nothing, peer_credentials, text
from .socket_operations import SocketOperations


class LocalSocketOperations(SocketOperations):
    noun = "localSocket"

    @operation
    def connect_to_server(self, name: str, open_mode: OpenMode = OpenMode.READ_WRITE) -> Call[None]:
        """Connects to a local server: a bare name is looked for in the temporary folder, a path is taken as it is."""
        return Call(nothing, {"name": name, "openMode": open_mode})

    @operation
    def disconnect_from_server(self) -> Call[None]:
        """Disconnects after all pending bytes are sent."""
        return Call(nothing)

    @operation
    def server_name(self) -> Call[str]:
        return Call(text)

    @operation
    def set_server_name(self, name: str) -> Call[None]:
        return Call(nothing, {"name": name})

    @operation
    def full_server_name(self) -> Call[str]:
        """The path the name stands for."""
        return Call(text)

    @operation
    def socket_options(self) -> Call[LocalAccess]:
        return Call(LocalAccess.from_wire)

    @operation
    def set_socket_options(self, options: LocalAccess) -> Call[None]:
        return Call(nothing, {"options": options})

    @operation
    def peer_credentials(self) -> Call[PeerCredentials]:
        """The process at the other end, as the system vouches for it."""
        return Call(peer_credentials)

    @operation
    def send_descriptor(self, descriptor: HasDescriptor) -> Call[None]:
        """Gives the peer a descriptor of this process: a copy of it travels with the next bytes that are written. Yours is
        still yours to close."""
        return descriptor_call(descriptor, {})

    @operation
    def receive_descriptor(self) -> Call[Optional[int]]:
        """The oldest descriptor that came with the bytes and was not taken yet, for its new owner to close; None when there is
        none. It may be of any kind: ``socket.socket(fileno=…)`` or ``open(…)`` make an object of it."""
        channel = self._session._channel
        return Call(lambda value: None if value is None or value < 0 else channel.require_descriptor())
