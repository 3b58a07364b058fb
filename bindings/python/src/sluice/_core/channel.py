"""One conversation with a sidecar, without the wire.

Requests go in and become lines; received bytes go in and become settled futures and events. Both faces use this, each with
futures and a transport of its own. All methods may be called from any thread.
"""

from __future__ import annotations

import base64
import collections
import itertools
import json
import os
import sys
import threading
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Protocol, Sequence, Tuple, Union

from ..errors import InvalidArgumentError, LimitReachedError, ProtocolError, SluiceError, error_of_answer

Bytes = Union[bytes, bytearray, memoryview]

#: The size of the pieces in which streams are read and written: as JSON it stays below any sensible limit of a message.
CHUNK = 128 * 1024


class Future(Protocol):
    """What a conversation needs of a future. One that was cancelled takes no notice."""

    def settle(self, result: Any) -> None: ...
    def fail(self, error: BaseException) -> None: ...


_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class _Pending:
    __slots__ = ("future", "read")

    def __init__(self, future: Future, read: Callable[[Any], Any]) -> None:
        self.future = future
        self.read = read


def encode_bytes(data: Bytes) -> Dict[str, str]:
    """The members of a request that carry bytes."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        advice = ": encode the text first" if isinstance(data, str) else ""
        raise TypeError(f"bytes are needed, not {type(data).__name__}{advice}")
    plain = bytes(data)
    # A NUL is six bytes in JSON: what has any is binary and travels shorter as base64.
    if b"\0" not in plain:
        try:
            return {"data": plain.decode("utf-8")}
        except UnicodeDecodeError:
            pass
    return {"data": base64.b64encode(plain).decode("ascii"), "encoding": "base64"}


def byte_view(data: Bytes) -> memoryview:
    """Bytes to be cut up without copying them."""
    return memoryview(data).cast("B")


def decode_bytes(value: Any) -> bytes:
    """The bytes of a result ``{"data": ..., "encoding": ...}``."""
    text: str = value["data"]
    return base64.b64decode(text, validate=True) if value["encoding"] == "base64" else text.encode("utf-8")


class LineSplitter:
    """Cuts a stream into lines, in time linear in what comes, however it is cut up."""

    def __init__(self) -> None:
        self._rest: List[bytes] = []

    def feed(self, chunk: bytes) -> List[bytes]:
        if b"\n" not in chunk:
            self._rest.append(chunk)
            return []
        first, *others = chunk.split(b"\n")
        lines = [b"".join(self._rest) + first, *others]
        rest = lines.pop()
        self._rest = [rest] if rest else []
        return lines


class Channel:
    """Open requests, and the language they are written in."""

    def __init__(self, on_event: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._pending: Dict[int, _Pending] = {}
        self._lines = LineSplitter()
        self._descriptors: Deque[int] = collections.deque()
        self._failure: Optional[SluiceError] = None
        #: The longest message the sidecar takes, in bytes, and the deepest; none until it has said so.
        self.message_limit = sys.maxsize
        self.depth_limit = sys.maxsize

    # What goes out.

    def request(
        self, method: str, parameters: Mapping[str, Any], read: Callable[[Any], Any], future: Future
    ) -> Tuple[int, bytes]:
        """Notes an open request. The line must be sent; the future is settled exactly once, by the answer or by fail."""
        number = next(self._numbers)
        line = self._line({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
        with self._lock:
            if self._failure is not None:
                raise _copy(self._failure)
            self._pending[number] = _Pending(future, read)
        return number, line

    def notification(self, method: str, parameters: Mapping[str, Any]) -> bytes:
        return self._line({"jsonrpc": "2.0", "method": method, "params": parameters})

    def cancellation(self, number: int) -> Optional[bytes]:
        """The line that cancels an open request, or None if it is answered already. The request stays open until it is."""
        with self._lock:
            if number not in self._pending:
                return None
        return self.notification("$/cancelRequest", {"id": number})

    def _line(self, message: Mapping[str, Any]) -> bytes:
        # What the sidecar cannot even read must not be sent: its answer could not say which request it is about.
        _check(message, self.depth_limit)
        line = _to_json(message).encode("utf-8") + b"\n"
        if len(line) > self.message_limit:
            raise LimitReachedError(
                f"the request has {len(line)} bytes, and the sidecar takes at most {self.message_limit}"
            )
        return line

    # What comes in.

    def receive(self, chunk: bytes, descriptors: Sequence[int] = ()) -> None:
        """Takes what arrived, in the order of arrival: an event is handed out before a later answer is released.

        Raises ProtocolError where this is no conversation any more.
        """
        self._descriptors.extend(descriptors)
        for line in self._lines.feed(chunk):
            if line.strip():
                self._message(line)

    def require_descriptor(self) -> int:
        """The oldest descriptor that came along with the bytes and was not taken yet: of the answer that is being read."""
        try:
            return self._descriptors.popleft()
        except IndexError:
            raise ValueError("no descriptor came with the answer") from None

    def _message(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ProtocolError(f"the sidecar sent a line that is not JSON: {line[:80]!r}") from error
        # Requests are never sent in batches, so no answer comes as one.
        if not isinstance(message, dict):
            raise ProtocolError(f"the sidecar sent what is no message: {line[:80]!r}")
        method = message.get("method")
        if isinstance(method, str):
            self._on_event(method, message.get("params") or {})
        elif message.get("id") is None:
            # The sidecar could not tell which request this is about, so every open one may wait in vain.
            raise ProtocolError(f"the sidecar did not understand a message: {error_of_answer(message.get('error'))}")
        else:
            self._answer(message)

    def _answer(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            pending = self._pending.pop(message["id"], None)
            ended = self._failure is not None
        if pending is None:
            if ended:
                return  # All requests have failed already; this is what was under way.
            raise ProtocolError(f"the sidecar answered a request that was not made: {message['id']!r}")
        if "error" in message:
            pending.future.fail(error_of_answer(message["error"]))
            return
        try:
            result = pending.read(message.get("result"))
        except Exception as error:
            pending.future.fail(_unreadable(message, error))
            return
        pending.future.settle(result)

    # The end.

    def fail(self, error: SluiceError) -> bytes:
        """Ends the conversation: every open request fails, each with an error of its own, and every later one at once.

        Returns the lines that cancel those requests in the sidecar, if it still can be told.
        """
        with self._lock:
            if self._failure is not None:
                return b""
            self._failure = error
            pending, self._pending = self._pending, {}
        for each in pending.values():
            each.future.fail(_copy(error))
        while self._descriptors:
            os.close(self._descriptors.popleft())
        return b"".join(self.notification("$/cancelRequest", {"id": number}) for number in pending)

    def forget(self, error: SluiceError) -> None:
        """In a forked child: the conversation is the parent's. No lock is taken, its holder may not exist here."""
        self._lock = threading.Lock()
        self._failure = error
        self._pending = {}
        self._descriptors.clear()

    @property
    def failure(self) -> Optional[SluiceError]:
        return self._failure


def _check(value: Any, depth: int) -> None:
    """Raises for what is JSON to Python and not to the sidecar."""
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise InvalidArgumentError(f"{value} does not fit into 64 bits")
    elif isinstance(value, (dict, list, tuple)):
        if depth == 0:
            raise LimitReachedError("the request is nested more deeply than the sidecar allows")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str) or "\0" in key:
                    raise InvalidArgumentError(f"{key!r} cannot be the name of a value")
            value = value.values()
        for each in value:
            _check(each, depth - 1)
    elif value is not None and not isinstance(value, (str, float)):
        raise TypeError(f"{value!r:.80} cannot be sent: JSON knows no {type(value).__name__}")


def _copy(error: SluiceError) -> SluiceError:
    # An exception raised in two threads would collect the tracebacks of both.
    copied = type(error)(*error.args)
    copied.__cause__ = error.__cause__
    return copied


def _unreadable(message: Mapping[str, Any], error: Exception) -> SluiceError:
    if isinstance(error, SluiceError):
        return error
    unreadable = ProtocolError(f"the sidecar answered with what cannot be read: {message.get('result')!r:.200}")
    unreadable.__cause__ = error
    return unreadable
