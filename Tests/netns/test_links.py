"""Cables that are pulled and plugged in again, and addresses that are taken away, while bytes are on their way."""
from __future__ import annotations

import errno
import hashlib
import random
import socket
import threading
import unittest
from typing import Tuple

from netcase import LONG, OUR, PATIENCE, PEER, PEER6, SHORT, NetworkCase

SIZE = 8 << 20


class Receiver(threading.Thread):
    """Reads to the end, and holds on when it is told to after some bytes."""

    def __init__(self, connection: socket.socket, pause_at: int):
        super().__init__(daemon=True)
        self.connection, self.pause_at = connection, pause_at
        self.paused, self.go_on = threading.Event(), threading.Event()
        self.count, self.hash = 0, hashlib.sha256()
        self.start()

    def run(self) -> None:
        try:
            while piece := self.connection.recv(1 << 16):
                self.count += len(piece)
                self.hash.update(piece)
                if self.count >= self.pause_at and not self.paused.is_set():
                    self.paused.set()
                    self.go_on.wait()
        except OSError as error:
            self.hash.update(repr(error).encode())

    def result(self, patience: float) -> Tuple[int, str]:
        self.join(patience)
        return self.count, self.hash.hexdigest()


class Transfers(NetworkCase):
    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.rpc = self.sidecar(self.us)
        self.text = "".join(random.Random(7).choices("abcdefghijklmnopqrstuvwxyz\n", k=SIZE // 8)) * 8
        self.digest = hashlib.sha256(self.text.encode()).hexdigest()

    def assertArrives(self, receiver: Receiver) -> None:
        receiver.go_on.set()
        self.assertEqual(receiver.result(PATIENCE), (SIZE, self.digest))

    def sending(self, address: str = PEER) -> Tuple[int, Receiver]:
        """A transfer in the middle of which the receiver pauses: bytes wait in every buffer."""
        handle, connection = self.connected(self.rpc, self.peer, address, receive_buffer=1 << 16)
        receiver = Receiver(connection, SIZE // 4)
        for start in range(0, SIZE, 1 << 20):
            self.rpc.call("socket.write", handle, self.text[start:start + (1 << 20)])
        self.rpc.call("socket.shutdownWrite", handle)
        self.assertTrue(receiver.paused.wait(PATIENCE))
        return handle, receiver

    def test_sending_while_the_cable_is_cut(self) -> None:
        for address in (PEER, PEER6):
            handle, receiver = self.sending(address)
            self.cable.cut()
            receiver.go_on.set()
            self.cable.mend()
            self.assertArrives(receiver)
            self.assertNotIn("errorOccurred", self.rpc.take_events(handle))
            self.rpc.call("socket.abort", handle)

    def test_sending_while_our_own_interface_is_down(self) -> None:
        handle, receiver = self.sending()
        self.us.ip("link set eth0 down")
        receiver.go_on.set()
        self.cable.mend()
        self.assertArrives(receiver)
        self.assertNotIn("errorOccurred", self.rpc.take_events(handle))

    def test_sending_while_our_address_is_gone(self) -> None:
        handle, receiver = self.sending()
        self.us.ip("address del %s/24 dev eth0" % OUR)
        receiver.go_on.set()
        self.us.ip("address add %s/24 dev eth0" % OUR)
        self.assertArrives(receiver)
        self.assertNotIn("errorOccurred", self.rpc.take_events(handle))

    def test_receiving_while_the_cable_is_cut(self) -> None:
        handle, connection = self.connected(self.rpc, self.peer)
        self.rpc.call("socket.setReadBufferSize", handle, 1 << 16)
        data = self.text.encode()

        def send() -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        count, digest, is_cut = 0, hashlib.sha256(), False
        while count < SIZE:
            self.assertIs(self.rpc.call("socket.waitForReadyRead", handle, LONG), True)
            while piece := self.rpc.call("socket.readAll", handle)["data"]:
                count += len(piece)
                digest.update(piece.encode())
            if not is_cut and count > SIZE // 4:
                is_cut = True
                self.cable.cut()
                self.cable.mend()
        sender.join()
        self.assertEqual((count, digest.hexdigest()), (SIZE, self.digest))

    def test_an_idle_connection_does_not_notice(self) -> None:
        handle, connection = self.connected(self.rpc, self.peer)
        self.cable.cut()
        self.us.ip("link set eth0 down")
        self.cable.mend()
        connection.sendall(b"still here")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(self.rpc.call("socket.readAll", handle)["data"], "still here")

    def test_a_cable_that_stays_cut(self) -> None:
        handle, _ = self.connected(self.rpc, self.peer, options={"UserTimeout": SHORT})
        self.cable.cut()
        self.rpc.call("socket.write", handle, "are you there?")
        told = self.failure(self.rpc, handle)
        self.assertIn((told["error"], told["systemError"]),
                      [("SocketTimeoutError", errno.ETIMEDOUT), ("NetworkError", errno.EHOSTUNREACH)], told)
        self.assertEnded(self.rpc, handle)

    def test_an_address_that_stays_gone(self) -> None:
        handle, _ = self.connected(self.rpc, self.peer, options={"UserTimeout": SHORT})
        self.us.ip("address del %s/24 dev eth0" % OUR)
        self.rpc.call("socket.write", handle, "are you there?")
        told = self.failure(self.rpc, handle)
        self.assertIn(told["error"], ("SocketTimeoutError", "NetworkError"), told)
        self.assertEnded(self.rpc, handle)

    def test_a_server_whose_address_is_gone_for_a_while(self) -> None:
        server = self.rpc.call("tcpServer.create")
        self.rpc.call("tcpServer.listen", server, OUR)
        place = (OUR, self.rpc.call("server.port", server))
        self.us.ip("address del %s/24 dev eth0" % OUR, "address add %s/24 dev eth0" % OUR)
        connection = self.peer.socket()
        self.addCleanup(connection.close)
        connection.settimeout(PATIENCE)
        connection.connect(place)
        self.assertEqual(self.rpc.call("server.waitForNewConnection", server, LONG), {"available": True, "timedOut": False})
        self.assertEqual(self.rpc.call("socket.peerAddress", self.rpc.call("server.nextPendingConnection", server)), PEER)
        self.rpc.call("server.close", server)
        self.us.ip("address del %s/24 dev eth0" % OUR)
        other = self.rpc.call("tcpServer.create")
        self.assertError(self.rpc.error("tcpServer.listen", other, OUR), -32000, "SocketAddressNotAvailableError")


if __name__ == "__main__":
    unittest.main()
