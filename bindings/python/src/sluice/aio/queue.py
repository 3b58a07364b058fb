"""Events and answers on their way to a coroutine."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, AsyncIterator, Coroutine, Generator, Generic, Optional, Type, TypeVar

from .._core.deadline import Deadline
from ..errors import SluiceError
from ..events import Event, EventBuffer

R = TypeVar("R")
M = TypeVar("M", bound="Managed")


class Answer(asyncio.Future[R]):
    """The result of a request on its way."""

    def settle(self, result: Any) -> None:
        if not self.done():
            self.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.done():
            self.set_exception(error)


class EventQueue:
    """Events of one object, or of a session, for coroutines to take. Iterating waits for the next one."""

    def __init__(self, source: Any = None) -> None:
        # Who reads the events of an object keeps it alive.
        self._source = source
        self._buffer = EventBuffer()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: Optional[SluiceError] = None

    def put(self, event: Event) -> None:
        self._buffer.add(event)
        self._changed.set()

    def end(self, error: Optional[SluiceError]) -> None:
        self._ended = True
        self._error = error
        self._changed.set()

    async def get(self, timeout: int = -1) -> Optional[Event]:
        """The next event; None at the time-out (milliseconds) and when there will be no more."""
        deadline = Deadline(timeout)
        while True:
            event = self._buffer.take()
            if event is not None:
                return event
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            left = deadline.left()
            if left == 0:
                return None
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), None if left < 0 else left / 1000)
            except asyncio.TimeoutError:
                pass

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await self.get()
        if event is None:
            raise StopAsyncIteration
        return event


class Managed:
    """What ``async with`` takes."""

    async def __aenter__(self: M) -> M:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        raise NotImplementedError


class Opening(Generic[M]):
    """Something on its way: await it, or enter it with ``async with``, which also leaves it in good order."""

    def __init__(self, opening: Coroutine[Any, Any, M]) -> None:
        self._opening = opening
        self._opened: Optional[M] = None

    def __await__(self) -> Generator[Any, None, M]:
        return self._opening.__await__()

    async def __aenter__(self) -> M:
        self._opened = await self._opening
        return await self._opened.__aenter__()

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)
