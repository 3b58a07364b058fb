"""What the tests share: where the package is, and a sidecar that says what a test tells it to."""

from __future__ import annotations

import json
import pathlib
import socket
import sys
import threading
import unittest
from typing import Any, Callable, Dict, List, Optional, Tuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "src"))

import sluice  # noqa: E402

# No test waits longer than this for what must happen, in seconds and in milliseconds.
LIMIT = 10.0
MS = int(LIMIT * 1000)


def sidecar_or_none() -> Optional[str]:
    try:
        return sluice.find_sidecar()
    except sluice.SidecarNotFoundError:
        return None


SIDECAR = sidecar_or_none()


class Scripted:
    """The sidecar's end of a conversation: answers each request with what its script returns for it.

    A script takes (self, parameters) and returns the result, raises Refused, or returns LATER and answers by itself.
    """

    LATER = object()

    def __init__(self, scripts: Dict[str, Callable[..., Any]]) -> None:
        self.theirs, self.ours = socket.socketpair()
        self.scripts = {"session.hello": lambda self, parameters: {"server": "scripted", "version": "0", "protocol": 1}, **scripts}
        self.received: List[Dict[str, Any]] = []
        self.arrived = threading.Condition()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        with self.ours.makefile("rb") as lines:
            for line in lines:
                self.take(json.loads(line))
        self.ours.close()

    def take(self, message: Dict[str, Any]) -> None:
        with self.arrived:
            self.received.append(message)
            self.arrived.notify_all()
        script = self.scripts.get(message["method"], lambda self, parameters: None)
        self.current = message.get("id")
        try:
            result = script(self, message["params"])
        except Refused as refused:
            self.send({"id": message["id"], "error": refused.args[0]})
            return
        if "id" in message and result is not Scripted.LATER:
            self.send({"id": message["id"], "result": result})

    def send(self, message: Dict[str, Any]) -> None:
        self.ours.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def event(self, name: str, handle: int, **values: Any) -> None:
        self.send({"method": name, "params": {"handle": handle, "state": "Connected", "isOpen": True, **values}})

    def hang_up(self) -> None:
        self.ours.shutdown(socket.SHUT_RDWR)

    def wait_for(self, method: str, count: int = 1) -> Dict[str, Any]:
        """The newest request of that name, once there are so many."""

        def found() -> List[Dict[str, Any]]:
            return [each for each in self.received if each["method"] == method]

        with self.arrived:
            if not self.arrived.wait_for(lambda: len(found()) >= count, LIMIT):
                raise AssertionError(f"{method} did not come")
            return found()[-1]


class Refused(Exception):
    """The error member of an answer."""


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Case(unittest.TestCase):
    """A test with a sidecar of its own."""

    def setUp(self) -> None:
        self.session = sluice.start(SIDECAR)
        self.addCleanup(self.session.close)

    def pair(self) -> Tuple[sluice.TcpSocket, sluice.TcpSocket]:
        """Both ends of a connection through the sidecar."""
        with self.session.listen_tcp("127.0.0.1") as server:
            client = self.session.connect_tcp("127.0.0.1", server.port(), MS)
            self.addCleanup(client.__exit__, None, None, None)
            accepted = server.accept(MS)
            self.addCleanup(accepted.__exit__, None, None, None)
            return client, accepted

    def foreign_pair(self) -> Tuple[sluice.TcpSocket, socket.socket]:
        """A connection whose other end is Python's own socket."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = self.session.connect_tcp("127.0.0.1", server.getsockname()[1], MS)
            self.addCleanup(client.__exit__, None, None, None)
            peer, _ = server.accept()
            peer.settimeout(LIMIT)
            self.addCleanup(peer.close)
            return client, peer
