"""Finding the sidecar's binary and running it."""

from __future__ import annotations

import array
import os
import pathlib
import shutil
import socket
import subprocess
from typing import Iterator, List, Optional, Sequence, Tuple

from ..errors import SidecarNotFoundError
from .channel import Bytes

#: How long a sidecar may take to end after its input has ended, in seconds, before it is told, and then made to.
GRACE = 5.0

_CHUNK = 64 * 1024
_ROOM_FOR_DESCRIPTORS = socket.CMSG_SPACE(16 * array.array("i").itemsize)


def find_sidecar(path: Optional[str] = None) -> str:
    """The path of ``sluiced``: as given, else by the environment's SLUICED, else beside this package, on the PATH, or built in
    the source tree this package lies in."""
    named = path or os.environ.get("SLUICED")
    if named:
        # A bare name is one to look for, as a shell would.
        found = shutil.which(named)
        if found is None:
            raise SidecarNotFoundError(f"{named} is no program that can be run")
        return found
    for candidate in _candidates():
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    raise SidecarNotFoundError("no sluiced was found: name it in start(), in SLUICED, or put it on the PATH")


def _candidates() -> Iterator[pathlib.Path]:
    here = pathlib.Path(__file__).resolve().parent
    yield here / "bin" / "sluiced"
    on_path = shutil.which("sluiced")
    if on_path is not None:
        yield pathlib.Path(on_path)
    for folder in here.parents:
        if (folder / "Package.swift").is_file():
            yield folder / ".build" / "release" / "sluiced"


class SidecarProcess:
    """A sidecar of our own, which ends when our end of its socket is closed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process: Optional[subprocess.Popen[bytes]] = process
        self.pid = process.pid

    def stop(self) -> None:
        """Waits for its end, which closing the socket has begun; helps along where it does not come."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def exit_status(self, patience: float = 1.0) -> str:
        """In words, how it ended, for an error message; empty while it runs. The end of its socket is seen a moment before its own,
        hence the patience, in seconds."""
        process = self._process
        if process is None:
            return ""
        try:
            status = process.wait(patience)
        except subprocess.TimeoutExpired:
            return ""
        return f": it was ended by signal {-status}" if status < 0 else f": it exited with status {status}"

    def forget(self) -> None:
        """In a forked child: the process is the parent's."""
        self._process = None


def start_sidecar(path: Optional[str], arguments: Sequence[str]) -> Tuple[socket.socket, SidecarProcess]:
    """Starts ``sluiced --stdio`` with a socket for its stdin and stdout; our end of it, and the process."""
    binary = find_sidecar(path)
    ours, theirs = socket.socketpair()
    try:
        # Its own session: a Ctrl-C at the terminal is for the program, which then ends its sidecar in order.
        process = subprocess.Popen(
            [binary, "--stdio", *arguments], stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True
        )
    except OSError as error:
        ours.close()
        raise SidecarNotFoundError(f"{binary} cannot be run: {error}") from error
    finally:
        theirs.close()
    return ours, SidecarProcess(process)


def connect_sidecar(path: str) -> socket.socket:
    """A connection to a sidecar that listens at a path."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise SidecarNotFoundError(f"no sidecar listens at {path}: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def send(connection: socket.socket, data: Bytes, descriptor: Optional[int] = None) -> int:
    """Sends what goes now, and with its first byte the descriptor; how many bytes went."""
    if descriptor is None:
        return connection.send(data, socket.MSG_NOSIGNAL)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
    return connection.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> Tuple[bytes, Sequence[int]]:
    """The next bytes, and the descriptors that came with them."""
    chunk, ancillary, _, _ = connection.recvmsg(_CHUNK, _ROOM_FOR_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    descriptors: List[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
            descriptors.extend(numbers)
    return chunk, descriptors
