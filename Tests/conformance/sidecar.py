"""One sidecar of our own: the Python client's conversation over a socket that is read here, in one thread.

Between the steps that run the event loop the sidecar is held still by SIGSTOP.  So it does then what a program does whose loop is not
running: nothing; and what arrives meanwhile is met when it goes on, in the order that the scenario says.
"""
from __future__ import annotations

import array
import fcntl
import os
import resource
import select
import signal
import socket
import sys
import termios
import time
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Set, Tuple

from face import FaceError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bindings" / "python" / "src"))
from sluice._core.channel import Channel, decode_bytes, encode_bytes  # noqa: E402
from sluice._core.sidecar import receive, start_sidecar  # noqa: E402

__all__ = ["Sidecar", "decode_bytes", "encode_bytes"]

PIECE = 1 << 18
TAIL = 1 << 15
NEWLINE = 10
# A message may be as large as the largest write of a scenario, and nobody reads while the sidecar is held.
OPTIONS = ("--max-message", str(256 << 20), "--max-output", str(256 << 20))


class Answer:
    """A future of the client's conversation that calls a function when it is settled: in the order of the stream."""

    def __init__(self, done: Callable[[Any, Optional[BaseException]], None]):
        self.done = done

    def settle(self, result: Any) -> None:
        self.done(result, None)

    def fail(self, error: BaseException) -> None:
        self.done(None, error)


class Sidecar:
    """A sidecar process and the conversation with it."""

    def __init__(self, path: str, on_event: Callable[[str, Mapping[str, Any]], None]):
        self.channel = Channel(on_event)
        self.connection, self.process = start_sidecar(path, OPTIONS)
        self.connection.setblocking(False)
        self.outgoing = bytearray()
        self.attached: List[Tuple[int, int]] = []    # where in that descriptors go along, and which
        self.between_lines = True
        self.kept_back = 0    # how much of it, at its end, must wait
        self.open = 0
        self.held = False
        self.running = 0
        self.request("session.hello", {"client": "conformance", "protocol": 1}, self.greeted)
        self.settle()

    @staticmethod
    def greeted(value: Any, error: Optional[BaseException]) -> None:
        if error is not None:
            raise FaceError("the sidecar does not greet: %s" % error)

    # -- holding it still ---------------------------------------------------------------------------------------------------------------
    def hold(self) -> None:
        """Stops the process.  A blank goes ahead of the next request: its socket is then the first thing the process sees when it goes on,
        before anything that happens to its other sockets meanwhile."""
        if self.held:
            return
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self.held = True
        if self.between_lines:
            self.connection.send(b" ")

    def go_on(self) -> None:
        if self.held:
            os.kill(self.process.pid, signal.SIGCONT)
            self.held = False

    # -- requests -----------------------------------------------------------------------------------------------------------------------
    def request(self, method: str, parameters: Mapping[str, Any], done: Callable[[Any, Optional[BaseException]], None],
                descriptor: Optional[int] = None) -> None:
        """Notes a request, and the descriptor that goes along with it; `settle` sends them."""
        def answered(result: Any, error: Optional[BaseException]) -> None:
            self.open -= 1
            done(result, error)
        self.open += 1
        _, line = self.channel.request(method, parameters, lambda value: value, Answer(answered))
        if descriptor is not None:
            self.attached.append((len(self.outgoing), descriptor))
        self.outgoing += line

    def settle(self) -> None:
        """Sends what was requested and returns when all is answered."""
        if not self.open:
            return
        if len(self.outgoing) > TAIL:
            self.send_head()
        self.send()    # before it goes on, so that it meets the requests together
        self.running += 1
        self.go_on()
        try:
            while self.open:
                self.exchange(1000)
        finally:
            self.running -= 1
            if not self.running:
                self.hold()

    def run(self, milliseconds: float, condition: Optional[Callable[[], bool]]) -> bool:
        """Lets the process run until the condition holds, or for so long."""
        end = time.monotonic() + milliseconds / 1000
        self.running += 1
        self.go_on()
        try:
            while True:
                if condition and condition():
                    return True
                left = (end - time.monotonic()) * 1000
                if left <= 0:
                    return False
                self.exchange(min(left, 2 if condition else 10))
        finally:
            self.running -= 1
            if not self.running:
                self.hold()

    def send(self) -> None:
        """Sends as much as fits and may be sent."""
        while len(self.outgoing) > self.kept_back:
            # A descriptor goes with the first byte of its request.
            due = [number for place, number in self.attached if place == 0]
            end = next((place for place, _ in self.attached if place > 0), len(self.outgoing))
            piece = bytes(self.outgoing[:min(PIECE, end, len(self.outgoing) - self.kept_back)])
            try:
                sent = socket.send_fds(self.connection, [piece], due) if due else self.connection.send(piece)
            except BlockingIOError:
                return
            self.between_lines = self.outgoing[sent - 1] == NEWLINE
            del self.outgoing[:sent]
            self.attached = [(place - sent, number) for place, number in self.attached if place > 0]

    def send_head(self) -> None:
        """Has the process take in all but the end of what is to be sent, which is too much to be met at once."""
        self.kept_back = TAIL
        running, self.running = self.running, self.running + 1
        self.go_on()
        unread = array.array("i", [1])
        while len(self.outgoing) > self.kept_back or unread[0]:
            self.exchange(1)
            fcntl.ioctl(self.connection, termios.TIOCOUTQ, unread)
        self.running, self.kept_back = running, 0
        if not running:
            self.hold()

    def exchange(self, milliseconds: float) -> None:
        """Sends and receives what can be, and waits for that at most so long."""
        sending = [self.connection] if len(self.outgoing) > self.kept_back else []
        readable, writable, _ = select.select([self.connection], sending, [], milliseconds / 1000)
        if writable:
            self.send()
        if readable:
            try:
                chunk, descriptors = receive(self.connection)
            except BlockingIOError:
                return
            if not chunk:
                raise FaceError("the sidecar ended the connection" + self.process.exit_status())
            self.channel.receive(chunk, descriptors)

    # -- the process --------------------------------------------------------------------------------------------------------------------
    def descriptors(self) -> Set[int]:
        return {int(n) for n in os.listdir("/proc/%d/fd" % self.process.pid)}

    def limit_descriptors(self, spare: int) -> None:
        """Lets the process open only so many descriptors more."""
        used = self.descriptors()
        limit = free = 0
        while free < spare or limit <= 2:
            free += limit not in used
            limit += 1
        while limit in used:
            limit += 1
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (limit, resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)[1]))

    def unlimit_descriptors(self) -> None:
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (hard, hard))

    def descriptor_flags(self, number: int) -> Optional[int]:
        """The flags of one of its descriptors, or None if there is no such."""
        try:
            with open("/proc/%d/fdinfo/%d" % (self.process.pid, number)) as lines:
                return next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
        except FileNotFoundError:
            return None

    def close(self) -> None:
        self.go_on()
        self.connection.close()
        self.process.stop()
