"""autoConnect, with a host that goes away and comes back."""
from __future__ import annotations

import socket
import unittest
from typing import Any

from netcase import LONG, OUR, PEER, SHORT, NetworkCase
from support import receive_exactly

#: Milliseconds, and percent.
DELAY = {"first": 20, "ceiling": 100, "jitter": 0}


class Reconnecting(NetworkCase):
    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.rpc = self.sidecar(self.us)
        self.listener = self.listen(self.peer)
        self.port = self.listener.getsockname()[1]

    def create(self, host: str = PEER, **properties: Any) -> int:
        return self.rpc.call("tcpSocket.create", properties={"hostname": host, "port": self.port, "reconnectDelay": DELAY, **properties})

    def assertReaches(self, handle: int, connection: socket.socket, data: str) -> None:
        self.assertEqual(receive_exactly(connection, len(data)), data.encode())
        connection.sendall(b"answer to " + data.encode())
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle, LONG), True)
        self.assertEqual(self.rpc.call("socket.readAll", handle)["data"], "answer to " + data)

    def test_the_host_is_there_only_later(self) -> None:
        self.cable.lose(self.us, PEER)
        handle = self.create(connectTimeout=SHORT)
        self.rpc.call("socket.write", handle, "early ")
        self.assertFailed(self.rpc, handle, "SocketTimeoutError")
        self.rpc.call("socket.write", handle, "later")
        self.cable.find(self.us, PEER)
        self.assertReaches(handle, self.accept(self.listener), "early later")

    def test_the_way_is_there_only_later(self) -> None:
        self.us.ip("route add unreachable %s/32" % PEER)
        handle = self.create()
        for _ in range(3):
            self.assertFailed(self.rpc, handle, "NetworkError")
        self.rpc.call("socket.write", handle, "found")
        self.us.ip("route del unreachable %s/32" % PEER)
        self.assertReaches(handle, self.accept(self.listener), "found")

    def test_the_host_vanishes_and_comes_back(self) -> None:
        handle = self.create(connectTimeout=SHORT)
        self.rpc.call("socket.setOption", handle, "UserTimeout", SHORT)
        first = self.accept(self.listener)
        self.rpc.call("socket.write", handle, "first")
        self.assertReaches(handle, first, "first")
        self.cable.lose(self.us, PEER)
        self.cable.lose(self.peer, OUR)
        self.rpc.call("socket.write", handle, "into the void")
        self.assertFailed(self.rpc, handle, "SocketTimeoutError")
        self.rpc.event("socket.disconnected", handle)
        self.rpc.call("socket.write", handle, "second")
        self.assertFailed(self.rpc, handle, "SocketTimeoutError")
        self.cable.find(self.us, PEER)
        self.cable.find(self.peer, OUR)
        # What the system had taken is lost with the connection; what it had not arrives, once.
        self.assertReaches(handle, self.accept(self.listener), "second")

    def test_the_service_is_started_anew(self) -> None:
        handle = self.create()
        for number in range(3):
            connection = self.accept(self.listener)
            self.rpc.call("socket.write", handle, "%d" % number)
            self.assertReaches(handle, connection, "%d" % number)
            self.listener.close()
            connection.close()
            self.rpc.event("socket.disconnected", handle)
            self.assertFailed(self.rpc, handle, "RemoteHostClosedError")
            self.assertFailed(self.rpc, handle, "ConnectionRefusedError")
            self.listener = self.listen(self.peer, port=self.port)

    def test_our_own_interface_goes_down_and_up(self) -> None:
        handle = self.create()
        self.rpc.call("socket.setOption", handle, "UserTimeout", SHORT)
        self.accept(self.listener)
        self.us.ip("link set eth0 down")
        self.rpc.call("socket.write", handle, "into the void")
        self.rpc.event("socket.disconnected", handle)
        self.rpc.call("socket.write", handle, "second")
        self.cable.mend()
        self.assertReaches(handle, self.accept(self.listener), "second")


if __name__ == "__main__":
    unittest.main()
