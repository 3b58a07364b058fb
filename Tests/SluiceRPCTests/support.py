"""Speaks with a sidecar in raw bytes: what is sent and received is seen as it is, with no client library between.

The binary is named by the environment's SLUICED, and otherwise the release build of this tree.
"""
from __future__ import annotations

import array
import base64
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from typing import Any, Callable, Dict, List, Optional, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]
SLUICED = os.environ.get("SLUICED") or str(ROOT / ".build" / "release" / "sluiced")

#: How long anything may take that should be quick: long enough for a busy machine, and only ever waited for when something is wrong.
PATIENCE = 30.0



class Stream:
    """Messages over a pair of descriptors or a socket, cut into lines or by headers."""

    def __init__(self) -> None:
        self.buffer = b""
        self.ended = False
        self.seen: List[Any] = []
        self.ids = itertools.count(1)
        self.headers = False

    # What the two kinds of stream do each in its way.
    def send(self, data: bytes) -> None:
        raise NotImplementedError

    def receive(self, seconds: float) -> None:
        """Adds to the buffer, or notes the end; returns when the time is over."""
        raise NotImplementedError

    # -- messages ------------------------------------------------------------------------------------------------------
    def send_json(self, message: Any) -> None:
        text = json.dumps(message).encode()
        self.send(b"Content-Length: %d\r\n\r\n%s" % (len(text), text) if self.headers else text + b"\n")

    def raw_message(self) -> Optional[bytes]:
        """The next message's bytes, None at the end of the stream."""
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self._cut()
            if message is not None:
                return message
            if self.ended:
                return None
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError("nothing came; the buffer has %r" % self.buffer[:200])
            self.receive(left)

    def _cut(self) -> Optional[bytes]:
        if not self.headers:
            line, newline, rest = self.buffer.partition(b"\n")
            if not newline:
                return None
            self.buffer = rest
            return line
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return None
        name, _, value = head.partition(b":")
        assert name == b"Content-Length", head
        size = int(value)
        if len(rest) < size:
            return None
        self.buffer = rest[size:]
        return rest[:size]

    def message(self) -> Any:
        raw = self.raw_message()
        if raw is None:
            raise AssertionError("the stream has ended")
        return json.loads(raw)

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The next message that is wanted; those before it are kept in `seen`."""
        while True:
            message = self.message()
            if wanted(message):
                return message
            self.seen.append(message)

    def answer(self, number: Any) -> Any:
        return self.until(lambda message: isinstance(message, dict) and "id" in message and message["id"] == number)

    def request(self, method: str, *args: Any, **params: Any) -> int:
        number = next(self.ids)
        message: Dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
        if args or params:
            message["params"] = list(args) if args else params
        self.send_json(message)
        return number

    def ask(self, method: str, *args: Any, **params: Any) -> Any:
        """The whole answer."""
        return self.answer(self.request(method, *args, **params))

    def call(self, method: str, *args: Any, **params: Any) -> Any:
        """The result."""
        answer = self.ask(method, *args, **params)
        if "result" not in answer:
            raise AssertionError("%s: %s" % (method, answer))
        return answer["result"]

    def error(self, method: str, *args: Any, **params: Any) -> Dict[str, Any]:
        answer = self.ask(method, *args, **params)
        if "error" not in answer:
            raise AssertionError("%s: %s" % (method, answer))
        return answer["error"]

    # -- events --------------------------------------------------------------------------------------------------------
    def event(self, name: str, handle: int) -> Dict[str, Any]:
        """The next event of this name from this handle, whether it came already or not."""
        def wanted(message: Any) -> bool:
            return isinstance(message, dict) and message.get("method") == name and message["params"]["handle"] == handle
        for index, message in enumerate(self.seen):
            if wanted(message):
                return self.seen.pop(index)["params"]
        return self.until(wanted)["params"]

    def take_events(self, handle: int) -> List[str]:
        """The names of this handle's events so far."""
        mine = [m for m in self.seen if m.get("params", {}).get("handle") == handle]
        self.seen = [m for m in self.seen if m not in mine]
        return [m["method"].split(".", 1)[1] for m in mine]

    def is_alive(self) -> bool:
        return self.call("session.ping", payload="still here") == "still here"


class Process(Stream):
    """sluiced --stdio, over pipes."""

    def __init__(self, *options: str, **popen: Any) -> None:
        super().__init__()
        popen.setdefault("stdin", subprocess.PIPE)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        self.process = subprocess.Popen([SLUICED, "--stdio", *options], bufsize=0, **popen)

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.process.stdin.fileno(), view):]

    def receive(self, seconds: float) -> None:
        descriptor = self.process.stdout.fileno()
        if select.select([descriptor], [], [], seconds)[0]:
            piece = os.read(descriptor, 1 << 16)
            self.buffer += piece
            self.ended = self.ended or not piece

    def end_input(self) -> None:
        self.process.stdin.close()

    def rest(self) -> List[Any]:
        """All messages to the end."""
        return [json.loads(raw) for raw in iter(self.raw_message, None)]

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream and not stream.closed:
                stream.close()


class Client(Stream):
    """One connection to a sidecar's Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # With a time limit a connect to a full queue would fail at once instead of waiting.
        self.socket.connect(path)
        self.socket.settimeout(PATIENCE)
        self.descriptors: List[int] = []

    @classmethod
    def over(cls, connection: socket.socket) -> "Client":
        client = cls.__new__(cls)
        Stream.__init__(client)
        client.socket = connection
        client.descriptors = []
        connection.settimeout(PATIENCE)
        return client

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_with_descriptors(self, data: bytes, descriptors: Sequence[int]) -> None:
        sent = self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def receive(self, seconds: float) -> None:
        if not select.select([self.socket], [], [], seconds)[0]:
            return
        room = socket.CMSG_SPACE(64 * 4)
        try:
            piece, ancillary, _, _ = self.socket.recvmsg(1 << 16, room, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            piece, ancillary = b"", []
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(data[: len(data) // 4 * 4])
                self.descriptors.extend(numbers)
        self.buffer += piece
        self.ended = self.ended or not piece

    def close(self) -> None:
        self.socket.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []


class Service:
    """sluiced --socket in a folder of its own."""

    def __init__(self, folder: str, *options: str, name: str = "s", **popen: Any) -> None:
        self.path = os.path.join(folder, name)
        popen.setdefault("stderr", subprocess.PIPE)
        self.process = subprocess.Popen([SLUICED, "--socket", self.path, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **popen)
        line = self.process.stdout.readline()
        assert line == b"READY\n", (line, self.process.stderr.read() if self.process.stderr else "")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        if self.process.stderr:
            self.process.stderr.close()

    def memory(self) -> int:
        """Resident bytes."""
        with open("/proc/%d/statm" % self.process.pid) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        return len(os.listdir("/proc/%d/fd" % self.process.pid))


class TestCase(unittest.TestCase):
    maxDiff = None

    def folder(self) -> str:
        path = tempfile.mkdtemp(prefix="sluice-")
        self.addCleanup(shutil.rmtree, path, True)
        return path

    def stdio(self, *options: str, **popen: Any) -> Process:
        process = Process(*options, **popen)
        self.addCleanup(process.close)
        return process

    def service(self, *options: str, **popen: Any) -> Service:
        service = Service(self.folder(), *options, **popen)
        self.addCleanup(service.close)
        return service

    def client(self, service: Service) -> Client:
        client = Client(service.path)
        self.addCleanup(client.close)
        return client

    def eventually(self, condition: Callable[[], bool], what: str) -> None:
        """For what the system does in its own time and tells nobody of."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("never: " + what)
            select.select([], [], [], 0.01)

    def assertError(self, error: Dict[str, Any], code: int, name: Optional[str] = None, parameter: Optional[str] = None) -> None:
        self.assertEqual(error["code"], code, error)
        self.assertIsInstance(error["message"], str)
        self.assertGreater(len(error["message"]), 10, error)
        self.assertIsInstance(error["data"]["value"], int)
        if name is not None:
            self.assertEqual(error["data"]["error"], name, error)
        if parameter is not None:
            self.assertEqual(error["data"].get("parameter"), parameter, error)


class Peer:
    """A TCP server of Python's own: it hands over the connections it accepts."""

    def __init__(self, case: unittest.TestCase, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind((address, 0))
        self.listener.listen(64)
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]
        case.addCleanup(self.listener.close)
        self.case = case

    def accept(self) -> socket.socket:
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        self.case.addCleanup(connection.close)
        return connection


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(min(1 << 16, size - len(data)))
        if not piece:
            break
        data += piece
    return data


def decoded(value: Dict[str, str]) -> bytes:
    return base64.b64decode(value["data"], validate=True) if value["encoding"] == "base64" else value["data"].encode()


def connected(stream: Stream, peer: Peer) -> "tuple[int, socket.socket]":
    """A handle that is connected to the peer, and the peer's end."""
    handle = stream.call("tcpSocket.create")
    stream.call("socket.connectToHost", handle, "127.0.0.1", peer.port)
    assert stream.call("socket.waitForConnected", handle) is True
    connection = peer.accept()
    stream.seen.clear()
    return handle, connection
