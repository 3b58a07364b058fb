"""Events and answers on their way to a thread."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any, Callable, Iterator, Optional, TypeVar

from ..errors import SluiceError
from ..events import Event, EventBuffer

R = TypeVar("R")


class Answer(concurrent.futures.Future[R]):
    """The result of a request on its way. Cancelling it cancels the request in the sidecar."""

    def __init__(self) -> None:
        super().__init__()
        self.on_cancel: Optional[Callable[[], None]] = None

    def cancel(self) -> bool:
        if not super().cancel():
            return False
        if self.on_cancel is not None:
            self.on_cancel()
        return True

    def settle(self, result: Any) -> None:
        if self.set_running_or_notify_cancel():
            self.set_result(result)

    def fail(self, error: BaseException) -> None:
        if self.set_running_or_notify_cancel():
            self.set_exception(error)


class EventQueue:
    """Events of one object, or of a session, for a thread to take. Iterating waits for the next one."""

    def __init__(self, source: Any = None) -> None:
        # Who reads the events of an object keeps it alive.
        self._source = source
        self._buffer = EventBuffer()
        self._changed = threading.Condition()
        self._ended = False
        self._error: Optional[SluiceError] = None

    def put(self, event: Event) -> None:
        with self._changed:
            self._buffer.add(event)
            self._changed.notify()

    def end(self, error: Optional[SluiceError]) -> None:
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def get(self, timeout: int = -1) -> Optional[Event]:
        """The next event; None at the time-out (milliseconds) and when there will be no more."""
        limit = None if timeout < 0 else timeout / 1000
        with self._changed:
            self._changed.wait_for(lambda: len(self._buffer) > 0 or self._ended, limit)
            event = self._buffer.take()
            if event is None and self._error is not None:
                raise self._error
            return event

    def clear(self) -> None:
        """Drops what waits."""
        with self._changed:
            self._buffer = EventBuffer()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self.get()
        if event is None:
            raise StopIteration
        return event
