"""Packets that are lost without a word: nothing but a time limit ends the waiting, and every limit does."""
from __future__ import annotations

import errno
import socket
import unittest

from netcase import LONG, OUR, OUR6, PEER, PEER6, SHORT, NetworkCase

#: More bytes than all buffers on the way hold.
MUCH = "x" * (4 << 20)
#: linux/tcp.h
_TCP_REPAIR = 19


class Connecting(NetworkCase):
    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.cable.lose(self.us, PEER, PEER6)
        self.rpc = self.sidecar(self.us)

    def connecting(self, address: str = PEER, **properties: int) -> int:
        handle = self.rpc.call("tcpSocket.create", properties=properties)
        self.rpc.call("socket.connectToHost", handle, address, 80)
        return handle

    def assertTimedOut(self, handle: int) -> None:
        told = self.assertFailed(self.rpc, handle, "SocketTimeoutError", errno.ETIMEDOUT)
        self.assertEqual(told["state"], "Unconnected")
        self.assertEqual([attempt["phase"] for attempt in told["attempts"]], ["connect"], told)
        self.assertEqual(self.rpc.call("socket.error", handle), "SocketTimeoutError")
        self.assertEqual(self.rpc.call("socket.descriptor", handle), -1)

    def test_connect_timeout(self) -> None:
        for address in (PEER, PEER6):
            handle = self.connecting(address, connectTimeout=SHORT)
            self.assertTimedOut(handle)
            self.assertNotIn("disconnected", self.rpc.take_events(handle))

    def test_wait_for_connected(self) -> None:
        handle = self.connecting(connectTimeout=-1)
        self.assertIs(self.rpc.call("socket.waitForConnected", handle, SHORT), False)
        self.assertTimedOut(handle)

    def test_the_shorter_of_both_limits_counts(self) -> None:
        handle = self.connecting(connectTimeout=SHORT)
        self.assertIs(self.rpc.call("socket.waitForConnected", handle, LONG), False)
        self.assertTimedOut(handle)
        self.assertEqual(self.rpc.take_events(handle).count("errorOccurred"), 0)

    def test_user_timeout(self) -> None:
        """The system's own limit, which it minds when it would send again."""
        handle = self.rpc.call("tcpSocket.create", properties={"connectTimeout": -1})
        self.rpc.call("socket.setOption", handle, "UserTimeout", SHORT)
        self.rpc.call("socket.connectToHost", handle, PEER, 80)
        self.assertTimedOut(handle)

    def test_abort(self) -> None:
        handle = self.connecting(connectTimeout=-1)
        self.rpc.call("socket.abort", handle)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")
        self.assertNotIn("errorOccurred", self.rpc.take_events(handle))

    def test_it_can_be_tried_again(self) -> None:
        handle = self.connecting(connectTimeout=SHORT)
        self.assertTimedOut(handle)
        self.cable.find(self.us, PEER, PEER6)
        listener = self.listen(self.peer)
        self.rpc.call("socket.setProperty", handle, "connectTimeout", LONG)
        self.rpc.call("socket.connectToHost", handle, PEER, listener.getsockname()[1])
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)

    def test_the_answer_is_lost(self) -> None:
        """The peer has the connection, we do not."""
        self.cable.find(self.us, PEER, PEER6)
        self.cable.lose(self.peer, OUR)
        listener = self.listen(self.peer)
        handle = self.rpc.call("tcpSocket.create", properties={"connectTimeout": SHORT})
        self.rpc.call("socket.connectToHost", handle, PEER, listener.getsockname()[1])
        self.assertTimedOut(handle)

    def test_what_was_written_meanwhile(self) -> None:
        handle = self.connecting(connectTimeout=SHORT)
        self.rpc.call("socket.write", handle, "early")
        self.rpc.call("socket.disconnectFromHost", handle)
        self.assertTimedOut(handle)
        self.assertEqual(self.rpc.call("socket.bytesToWrite", handle), 0)

    def test_in_c(self) -> None:
        program = self.waits(self.us, "connected", PEER, 80, SHORT)
        self.assertEqual(program.line(), "false SocketTimeoutError Unconnected 1")


class Connected(NetworkCase):
    """The peer vanishes from a connection that is there."""

    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.rpc = self.sidecar(self.us)

    def vanish(self) -> None:
        self.cable.lose(self.us, PEER, PEER6)
        self.cable.lose(self.peer, OUR, OUR6)

    def test_user_timeout(self) -> None:
        for address in (PEER, PEER6):
            handle, _ = self.connected(self.rpc, self.peer, address, options={"UserTimeout": SHORT})
            self.vanish()
            self.rpc.call("socket.write", handle, "are you there?")
            self.assertFailed(self.rpc, handle, "SocketTimeoutError", errno.ETIMEDOUT)
            self.assertEnded(self.rpc, handle)
            self.cable.find(self.us, PEER, PEER6)
            self.cable.find(self.peer, OUR, OUR6)

    def test_user_timeout_tells_what_was_not_sent(self) -> None:
        handle, _ = self.connected(self.rpc, self.peer, options={"UserTimeout": SHORT})
        self.vanish()
        self.rpc.call("socket.write", handle, MUCH)
        told = self.assertFailed(self.rpc, handle, "SocketTimeoutError", errno.ETIMEDOUT)
        self.assertRegex(told["message"], r"\d+ bytes were not sent")
        self.assertEnded(self.rpc, handle)

    def test_user_timeout_set_while_data_wait(self) -> None:
        handle, _ = self.connected(self.rpc, self.peer)
        self.vanish()
        self.rpc.call("socket.write", handle, "are you there?")
        self.rpc.call("socket.setOption", handle, "UserTimeout", SHORT)
        self.assertEqual(self.rpc.call("socket.option", handle, "UserTimeout"), SHORT)
        self.assertFailed(self.rpc, handle, "SocketTimeoutError", errno.ETIMEDOUT)
        self.assertEnded(self.rpc, handle)

    def test_keep_alive(self) -> None:
        """Nothing is sent by anybody, and the end comes all the same. All at a time: each takes as long as the system's seconds."""
        probes = {"KeepAlive": 1, "KeepAliveIdle": 1, "KeepAliveInterval": 1, "KeepAliveCount": 1}
        before, _ = self.connected(self.rpc, self.peer, options=probes)
        after, _ = self.connected(self.rpc, self.peer, PEER6)
        for name, value in probes.items():
            self.rpc.call("socket.setOption", after, name, value)
        without, quiet = self.connected(self.rpc, self.peer)
        listener = self.listen(self.peer)
        program = self.waits(self.us, "readyRead", PEER, listener.getsockname()[1], -1, *("%s=%d" % pair for pair in probes.items()))
        self.assertEqual(program.line(), "connected")
        accepted = self.accept(listener)
        self.vanish()
        program.go_on()
        for handle in (before, after):
            self.assertFailed(self.rpc, handle, "SocketTimeoutError", errno.ETIMEDOUT)
            self.assertEnded(self.rpc, handle)
        self.assertEqual(program.line(), "false SocketTimeoutError Unconnected 1")
        # Who did not ask for it knows nothing.
        self.assertEqual(self.rpc.call("socket.state", without), "Connected")
        self.cable.find(self.us, PEER, PEER6)
        self.cable.find(self.peer, OUR, OUR6)
        quiet.sendall(b"still here")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", without), True)

    def test_a_silence_that_ends_in_time(self) -> None:
        handle, connection = self.connected(self.rpc, self.peer, options={"UserTimeout": LONG})
        self.vanish()
        self.rpc.call("socket.write", handle, "are you there?")
        self.rpc.call("socket.flush", handle)
        self.cable.find(self.us, PEER, PEER6)
        self.cable.find(self.peer, OUR, OUR6)
        self.assertEqual(connection.recv(100), b"are you there?")
        connection.sendall(b"yes")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(self.rpc.call("socket.readAll", handle)["data"], "yes")

    def test_waits_run_into_their_limits(self) -> None:
        handle, _ = self.connected(self.rpc, self.peer)
        self.vanish()
        self.rpc.call("socket.write", handle, MUCH)
        for wait in ("ReadyRead", "Disconnected"):
            self.assertIs(self.rpc.call("socket.waitFor" + wait, handle, SHORT), False)
            self.assertFailed(self.rpc, handle, "SocketTimeoutError")
            self.assertEqual(self.rpc.call("socket.state", handle), "Connected")
        self.assertError(self.rpc.error("socket.sync", handle, SHORT), -32000, "SocketTimeoutError")
        self.assertGreater(self.rpc.call("socket.bytesToWrite", handle), 0)

    def test_close_timeout(self) -> None:
        handle, _ = self.connected(self.rpc, self.peer, closeTimeout=SHORT)
        self.vanish()
        self.rpc.call("socket.write", handle, MUCH)
        self.rpc.call("socket.disconnectFromHost", handle)
        self.assertEqual(self.rpc.call("socket.state", handle), "Closing")
        told = self.assertFailed(self.rpc, handle, "SocketTimeoutError")
        self.assertRegex(told["message"], r"\d+ bytes were not sent")
        self.assertEnded(self.rpc, handle)

    def test_close_timeout_of_a_peer_that_does_not_read(self) -> None:
        handle, connection = self.connected(self.rpc, self.peer, receive_buffer=4096, closeTimeout=SHORT)
        self.rpc.call("socket.write", handle, MUCH)
        self.rpc.call("socket.disconnectFromHost", handle)
        self.assertFailed(self.rpc, handle, "SocketTimeoutError")
        self.assertEnded(self.rpc, handle)

    def test_closing_ends_when_the_peer_is_back(self) -> None:
        handle, connection = self.connected(self.rpc, self.peer, closeTimeout=LONG)
        self.vanish()
        self.rpc.call("socket.write", handle, MUCH)
        self.rpc.call("socket.disconnectFromHost", handle)
        self.cable.find(self.us, PEER, PEER6)
        self.cable.find(self.peer, OUR, OUR6)
        received = 0
        while piece := connection.recv(1 << 16):
            received += len(piece)
        self.assertEqual(received, len(MUCH))
        self.assertEnded(self.rpc, handle)
        self.assertNotIn("errorOccurred", self.rpc.take_events(handle))

    def test_user_timeout_while_closing(self) -> None:
        handle, _ = self.connected(self.rpc, self.peer, closeTimeout=-1, options={"UserTimeout": SHORT})
        self.vanish()
        self.rpc.call("socket.write", handle, MUCH)
        self.rpc.call("socket.disconnectFromHost", handle)
        self.assertFailed(self.rpc, handle, "SocketTimeoutError", errno.ETIMEDOUT)
        self.assertEnded(self.rpc, handle)

    def test_idle_timeout(self) -> None:
        handle, _ = self.connected(self.rpc, self.peer, idleTimeout=SHORT)
        self.vanish()
        self.assertFailed(self.rpc, handle, "SocketTimeoutError")
        self.assertEnded(self.rpc, handle)

    def test_the_peer_forgot(self) -> None:
        """As after a crash and a new start: it knows nothing of the connection, and says so when it is spoken to."""
        handle, connection = self.connected(self.rpc, self.peer)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        except OSError as error:
            self.skipTest("the peer cannot forget a connection here: %s" % error)
        connection.close()
        self.rpc.call("socket.write", handle, "are you there?")
        told = self.assertFailed(self.rpc, handle, "RemoteHostClosedError", errno.ECONNRESET)
        self.assertIn("reset", told["message"])
        self.assertEnded(self.rpc, handle)

    def test_in_c(self) -> None:
        listener = self.listen(self.peer)
        port = listener.getsockname()[1]
        expected = {
            ("bytesWritten", SHORT): "false SocketTimeoutError Connected 1",
            ("sync", SHORT): "false SocketTimeoutError Connected 1",
            ("readyRead", SHORT): "false SocketTimeoutError Connected 1",
            # The connection is over, which is what was waited for.
            ("disconnected", SHORT): "true SocketTimeoutError Unconnected 1",
            ("bytesWritten", -1, "UserTimeout=%d" % SHORT): "false SocketTimeoutError Unconnected 1",
            ("sync", -1, "UserTimeout=%d" % SHORT): "false SocketTimeoutError Unconnected 1",
        }
        programs = {}
        for words in expected:
            programs[words] = self.waits(self.us, words[0], PEER, port, *words[1:])
            self.assertEqual(programs[words].line(), "connected")
            self.accept(listener)
        self.vanish()
        for program in programs.values():
            program.go_on()
        self.assertEqual({words: program.line() for words, program in programs.items()}, expected)


if __name__ == "__main__":
    unittest.main()
