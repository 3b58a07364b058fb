"""What the objects and the sessions of both faces share: who exists, and who is told of which event."""

from __future__ import annotations

import collections
import functools
import os
import socket
import sys
import threading
import warnings
import weakref
from typing import Any, Callable, ClassVar, Deque, Dict, FrozenSet, List, Mapping, Optional, Protocol, Set, TypeVar, overload

from .calls import Call
from .channel import Channel
from .sidecar import SidecarProcess
from ..errors import SessionClosedError, SidecarError, SluiceError, error_of_values
from ..events import NOT_SENT_AT_FIRST, WANTED_BY_NAME, Callback, Event

C = TypeVar("C", bound=Callback)

#: Beyond the time an operation itself may take, in seconds: how long the sidecar may take to answer.
ANSWER_TIMEOUT = 60.0

#: Called with handle, name of the event without its noun, and its parameters.
Listener = Callable[[int, str, Mapping[str, Any]], None]


class Stream(Protocol):
    """A queue of events that somebody reads."""

    def put(self, event: Event) -> None: ...
    def end(self, error: Optional[SluiceError]) -> None: ...


class HandleObject:
    """Something that lives in the sidecar, known here by its handle."""

    noun: ClassVar[str] = "handle"
    event_names: ClassVar[FrozenSet[str]] = frozenset()

    def __init__(self, session: Any, handle: int, origin: Optional[HandleObject] = None, is_at_work: bool = False) -> None:
        self._session = session
        self._handle = handle
        self._destroyed = False
        self._callbacks: Dict[str, List[Callback]] = {}
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._subscribed: Set[str] = set(self.event_names - NOT_SENT_AT_FIRST - WANTED_BY_NAME)
        self._last_error: Optional[SluiceError] = None
        # The server that accepted it. Destroying a server closes what it has accepted, so it must not be collected before.
        self._origin = origin
        # An accepted socket may have data before the program can ask for events, and one that is made with properties may be
        # connecting: the last event of each name waits for that.
        self._early: Optional[Dict[str, Event]] = {} if is_at_work or origin is not None else None
        self._is_dismissed = False
        session._add(self)

    @property
    def session(self) -> Any:
        """The session it belongs to."""
        return self._session

    @property
    def handle(self) -> int:
        """Its number in the protocol."""
        return self._handle

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._handle}{' destroyed' if self._destroyed else ''}>"

    def __del__(self) -> None:
        # Any thread may be collecting garbage now, with any lock held: the session sends it later.
        if getattr(self, "_destroyed", True):
            return
        if self._session._orphan(self._handle) and not self._is_dismissed:
            warnings.warn(f"{self!r} was never destroyed", ResourceWarning, source=self)

    @overload
    def on(self, name: str) -> Callable[[C], C]: ...
    @overload
    def on(self, name: str, callback: C) -> C: ...
    def on(self, name: str, callback: Any = None) -> Any:
        """Calls ``callback(event)`` at each event of that name, and asks the sidecar for it if it is not sent yet.

        Without a callback it decorates one: ``@sock.on("readyRead")``.
        """
        if callback is None:
            return functools.partial(self.on, name)
        if name not in self.event_names:
            raise ValueError(f"{type(self).__name__} has no event {name!r}")
        with self._session._events_lock:
            self._callbacks.setdefault(name, []).append(callback)
            self._session._keep(self)
            early = self._early.pop(name, None) if self._early else None
            if early is not None:
                self._session._dispatch(early)
        if name not in self._subscribed:
            self._subscribed.add(name)
            self._session._notify("handle.subscribe", {"handle": self._handle, "events": sorted(self._subscribed)})
        return callback

    def off(self, name: str, callback: Optional[Callback] = None) -> None:
        """Takes back ``on``: for that callback, or for all callbacks of that event."""
        with self._session._events_lock:
            callbacks = self._callbacks.get(name, [])
            if callback is None:
                callbacks.clear()
            elif callback in callbacks:
                callbacks.remove(callback)

    def _perform(self, method: str, call: Call[Any]) -> Any:
        return self._session._perform(method, self._addressed(call))

    def _addressed(self, call: Call[Any]) -> Call[Any]:
        if call.needs_handle:
            call.parameters["handle"] = self._handle
        return call

    def _receive(self, event: Event) -> bool:
        """Hands an event on; False if nobody wanted it. The session's lock is held."""
        if event.name in ("errorOccurred", "acceptError"):
            self._last_error = error_of_values(event.values)
        taken = False
        if self._callbacks.get(event.name):
            self._session._dispatch(event)
            taken = True
        for stream in list(self._streams):
            stream.put(event)
            taken = True
        return taken

    def _hold(self, event: Event) -> None:
        """Nobody wanted it: a new socket keeps it for who comes first."""
        if self._early is not None:
            self._early[event.name] = event

    def _add_stream(self, stream: Stream) -> None:
        with self._session._events_lock:
            if self._destroyed or self._session._channel.failure is not None:
                stream.end(None if self._destroyed else self._session._channel.failure)
                return
            self._streams.add(stream)
            for early in (self._early or {}).values():
                stream.put(early)
            self._early = None

    def _end_streams(self, error: Optional[SluiceError]) -> None:
        for stream in list(self._streams):
            stream.end(error)
        self._streams.clear()


class SessionPart:
    """Operations that are about no object: of the session, under a noun of their own."""

    noun: ClassVar[str]

    def __init__(self, session: Any) -> None:
        self._session = session

    def _perform(self, method: str, call: Call[Any]) -> Any:
        return self._session._perform(method, call)

    def _addressed(self, call: Call[Any]) -> Call[Any]:
        return call


class SessionCore:
    """The objects of one conversation, and the way an event takes to them."""

    noun: ClassVar[str] = "session"

    def __init__(self, connection: socket.socket, process: Optional[SidecarProcess], answer_timeout: float) -> None:
        self._connection = connection
        self._process = process
        self._answer_timeout = answer_timeout
        self._channel = Channel(self._event)
        self._events_lock = threading.RLock()
        self._objects: weakref.WeakValueDictionary[int, HandleObject] = weakref.WeakValueDictionary()
        # Numbers are given out once and in ascending order: what comes of a higher one is of an object whose making is not
        # answered yet. The last event of each name.
        self._highest = 0
        self._unborn: Dict[int, Dict[str, Mapping[str, Any]]] = {}
        # An object with callbacks is alive as long as it can call them, although the program may hold it nowhere else.
        self._kept: Set[HandleObject] = set()
        self._orphans: Deque[int] = collections.deque()
        self._listeners: List[Listener] = []
        self._unclaimed: Optional[Stream] = None
        self._is_forgotten = False
        _sessions.add(self)

    # For the objects.

    def _add(self, made: HandleObject) -> None:
        with self._events_lock:
            self._objects[made.handle] = made
            self._highest = max(self._highest, made.handle)
            early = self._unborn.pop(made.handle, {})
            self._unborn = {handle: events for handle, events in self._unborn.items() if handle > self._highest}
            for name, parameters in early.items():
                self._deliver(made, Event(name, made, parameters))

    def _keep(self, made: HandleObject) -> None:
        if not made._destroyed:
            self._kept.add(made)

    def _remove(self, made: HandleObject) -> None:
        with self._events_lock:
            made._destroyed = True
            made._end_streams(None)
            self._kept.discard(made)
            self._objects.pop(made.handle, None)

    def _dismiss(self, made: HandleObject) -> None:
        """It may go as soon as nothing needs it any more."""
        with self._events_lock:
            made._is_dismissed = True
            made._callbacks.clear()
            self._kept.discard(made)

    def _orphan(self, handle: int) -> bool:
        """Notes a handle that nobody holds any more; False if the conversation is over anyway."""
        if self._channel.failure is not None:
            return False
        self._orphans.append(handle)
        return True

    def _addressed(self, call: Call[Any]) -> Call[Any]:
        return call

    def _orphans_gone(self) -> bytes:
        """The lines that destroy what nobody holds any more, to be sent before the next request."""
        lines = b""
        while self._orphans:
            lines += self._channel.notification("handle.destroy", {"handle": self._orphans.popleft()})
        return lines

    def _dispatch(self, event: Event) -> None:
        raise NotImplementedError

    def _notify(self, method: str, parameters: Mapping[str, Any]) -> None:
        raise NotImplementedError

    # For those who look at everything.

    def add_event_listener(self, listener: Listener) -> None:
        """Calls ``listener(handle, name, parameters)`` at every event, in the order they arrive and where they arrive.

        An event raised inside a call is heard before the call returns. The listener must be quick and must not make calls.
        """
        self._listeners.append(listener)

    def remove_event_listener(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def _event(self, method: str, parameters: Mapping[str, Any]) -> None:
        noun, _, name = method.partition(".")
        handle = parameters.get("handle")
        if not isinstance(handle, int):
            # Notifications about no object ("$/...") may come with later sidecars.
            return
        for listener in list(self._listeners):
            try:
                listener(handle, name, parameters)
            except Exception:
                report_exception()
        with self._events_lock:
            source = self._objects.get(handle)
            if source is not None:
                self._deliver(source, Event(name, source, parameters))
            elif handle > self._highest:
                # Last in the order of their names too.
                of_handle = self._unborn.setdefault(handle, {})
                of_handle.pop(name, None)
                of_handle[name] = parameters

    def _deliver(self, source: HandleObject, event: Event) -> None:
        if source._receive(event):
            return
        if self._unclaimed is not None:
            self._unclaimed.put(event)
        else:
            source._hold(event)

    def _claim(self, stream: Stream) -> None:
        """From now on the stream gets what nobody else wants."""
        with self._events_lock:
            self._unclaimed = stream
            for each in list(self._objects.values()):
                for early in (each._early or {}).values():
                    stream.put(early)
                each._early = None
            if self._channel.failure is not None:
                stream.end(self._channel.failure)

    def _end_events(self, error: SluiceError) -> None:
        """The conversation is over: who waits for events is told why, or just that, if the program itself closed it."""
        reason = None if isinstance(error, SessionClosedError) else error
        with self._events_lock:
            for each in list(self._objects.values()):
                each._end_streams(reason)
            self._kept.clear()
            if self._unclaimed is not None:
                self._unclaimed.end(error)

    def _forget(self) -> None:
        """In a forked child: all this is the parent's, and the sidecar's connection must not be kept open here."""
        self._is_forgotten = True
        self._channel.forget(SidecarError("this session belongs to the parent process"))
        self._events_lock = threading.RLock()
        if self._process is not None:
            self._process.forget()
        self._connection.close()


_sessions: weakref.WeakSet[SessionCore] = weakref.WeakSet()


def _forget_all() -> None:
    for each in list(_sessions):
        each._forget()


os.register_at_fork(after_in_child=_forget_all)


def report_exception() -> None:
    """Shows an exception that nobody can catch, as Python does for a thread."""
    kind, error, trace = sys.exc_info()
    if kind is not None:
        threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))
