"""The face of C: libsluice.so in this process, reached through ctypes by the declarations of include/sluice.h."""
from __future__ import annotations

import ctypes
import re
import urllib.parse
from ctypes import POINTER, c_bool, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_uint8, c_void_p
from typing import Any, Callable, Dict, List, Optional

import datagrams_c
import vocabulary
from face import Face, FaceError, Notice, Outcome, wait_slices
from vocabulary import Operation

EVENTS_ALL = 0xFFFFFFFF


class Event(ctypes.Structure):
    """sluice_event."""
    _fields_ = [("size", c_uint32), ("type", c_int32), ("handle", c_uint64), ("state", c_int32), ("is_open", c_bool),
                ("reserved", c_uint8 * 3), ("error", c_int32), ("system_error", c_int32), ("value", c_int64), ("message", c_char_p),
                ("name", c_char_p)]


CALLBACK = ctypes.CFUNCTYPE(None, POINTER(Event), c_void_p)
INCOMING = ctypes.CFUNCTYPE(None, c_uint64, c_int32, c_void_p)
# How the kinds of the dictionary are passed, and what comes back.
_PARAMETERS = {"int": c_int64, "text": c_char_p, "address": c_char_p, "handle": c_uint64, "byte": c_int32, "openMode": c_int32,
               "protocol": c_int32, "state": c_int32, "bindMode": c_int32, "option": c_int32, "pauseMode": c_int32, "access": c_int32,
               "error": c_int32, "events": c_uint32, "narrow": c_int32, "literal": c_char_p, "interface": c_char_p, "proxy": c_char_p}
_NARROW = {"port", "descriptor"}    # the integers that the header passes as int32_t
_RESULTS = {"nothing": c_int32, "success": c_int32, "bool": c_bool, "int": c_int64, "count": c_int64, "text": c_int64, "port": c_int32,
            "descriptor": c_int32, "state": c_int32, "error": c_int32, "type": c_int32, "openMode": c_int32, "pauseMode": c_int32,
            "access": c_int32, "data": c_int64, "all": c_int64, "line": c_int64, "char": c_int32, "value": c_int32, "handle": c_uint64,
            "newConnection": c_bool, "interface": c_int64, "proxy": c_int64}
_STRINGS = ("text", "interface", "proxy")
# The operations that concern no object.
_WITHOUT_HANDLE = ("localServer.removeServer", "proxy.setApplication")
_READERS = ("data", "all", "line")


def function_name(operation: str) -> str:
    """sluice_tcp_socket_create from tcpSocket.create."""
    noun, verb = operation.split(".")
    return "_".join(["sluice"] + [re.sub(r"(?<!^)([A-Z])", r"_\1", word).lower() for word in (noun, verb)])


def url_of(proxy: Dict[str, Any]) -> str:
    """A proxy as the header takes it."""
    scheme = vocabulary.PROXY_SCHEMES.get(proxy["type"])
    if scheme is None:
        return str(proxy["type"]).lower()
    quoted = [urllib.parse.quote(proxy[word], safe="") for word in ("user", "password") if proxy.get(word)]
    return "%s://%s%s:%d" % (scheme, ":".join(quoted) + "@" if quoted else "", proxy["host"], proxy["port"])


def proxy_of(text: str) -> Dict[str, Any]:
    """A proxy from how the library shows it."""
    parts = urllib.parse.urlsplit(text)
    if not parts.scheme:
        return {"type": text.capitalize()}
    name = next(kind for kind, scheme in vocabulary.PROXY_SCHEMES.items() if parts.scheme.startswith(scheme[:5]))
    return {"type": name, "host": parts.hostname or "", "port": parts.port or 0}


class CFace(Face):
    name, handlers, contexts = "c", True, True

    def __init__(self, path: str):
        super().__init__()
        try:
            self.library = ctypes.CDLL(path)
        except OSError as error:
            raise FaceError("cannot load %s: %s" % (path, error)) from None
        self.functions: Dict[str, Any] = {}
        self.loop = 0
        self.trampoline = CALLBACK(self.called)
        self.failure: Optional[BaseException] = None
        self.incoming: List[Any] = []
        self.event_name = self.library.sluice_event_name
        self.event_name.restype, self.event_name.argtypes = c_char_p, [c_int32]
        self.last_error = self.library.sluice_last_error
        self.last_error.restype, self.last_error.argtypes = c_int32, []
        self.library.sluice_loop_create.restype = c_uint64
        self.library.sluice_loop_run_once.restype, self.library.sluice_loop_run_once.argtypes = c_int64, [c_uint64, c_int64]
        self.library.sluice_loop_destroy.argtypes = [c_uint64]
        self.library.sluice_handle_kind.restype, self.library.sluice_handle_kind.argtypes = c_int32, [c_uint64]
        self.library.sluice_handle_set_callback.argtypes = [c_uint64, CALLBACK, c_void_p]
        self.library.sluice_socket_state.restype, self.library.sluice_socket_state.argtypes = c_int32, [c_uint64]
        self.library.sluice_socket_is_open.restype, self.library.sluice_socket_is_open.argtypes = c_bool, [c_uint64]
        self.library.sluice_socket_bytes_available.restype = c_int64
        self.library.sluice_socket_bytes_available.argtypes = [c_uint64]

    def provides(self, operation: str) -> bool:
        return hasattr(self.library, function_name(operation))

    # -- events -------------------------------------------------------------------------------------------------------------------------
    def called(self, pointer: Any, context: Any) -> None:
        """The callback of every object.  An exception must not leave it: it is kept for the next `check`."""
        try:
            event = pointer.contents
            name = self.event_name(event.type).decode()
            kind = self.library.sluice_handle_kind(event.handle)
            state, is_open = event.state, bool(event.is_open)
            if kind in (2, 3, 4):
                # What the event carries and what the getters say at this moment must be the same.
                now = self.library.sluice_socket_state(event.handle), bool(self.library.sluice_socket_is_open(event.handle))
                if now != (state, is_open):
                    raise FaceError("%s of %x says state %d, open %s; the getters say %d, %s" % ((name, event.handle, state, is_open) + now))
            proxy = proxy_of((event.name or b"").decode()) if name == "proxyAuthenticationRequired" else None
            self.listener(Notice(event.handle, name, state, is_open, event.value, event.error, (event.message or b"").decode(), proxy))
        except BaseException as error:  # noqa: B902 - nothing may pass into C
            self.failure = self.failure or error

    def check(self) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def watch(self, handle: int) -> None:
        self.library.sluice_handle_set_callback(handle, self.trampoline, None)
        self.request(vocabulary.SUBSCRIBE, handle, {"events": EVENTS_ALL}, lambda outcome: None)

    def watch_incoming(self, handle: int, handler: Callable[[int], None]) -> None:
        def called(server: int, descriptor: int, context: Any) -> None:
            try:
                handler(descriptor)
            except BaseException as error:  # noqa: B902 - nothing may pass into C
                self.failure = self.failure or error
        trampoline = INCOMING(called)
        self.incoming.append(trampoline)    # as long as the server lives
        function = self.library.sluice_server_set_incoming_handler
        function.argtypes, function.restype = [c_uint64, INCOMING, c_void_p], c_int32
        if function(handle, trampoline, None) != 0:
            raise FaceError("no handler for accepted descriptors")

    # -- the loop -----------------------------------------------------------------------------------------------------------------------
    def ready(self) -> int:
        if not self.loop:
            self.loop = self.library.sluice_loop_create()
            if not self.loop:
                raise FaceError("no loop: error %d" % self.last_error())
        return self.loop

    def run(self, milliseconds: float, condition: Optional[Callable[[], bool]] = None) -> bool:
        loop = self.ready()

        def turn(longest: float) -> None:
            if self.library.sluice_loop_run_once(loop, max(1, int(longest))) < 0:
                raise FaceError("the loop does not run: error %d" % self.last_error())
            self.check()
        return wait_slices(milliseconds, condition, turn)

    # -- operations ---------------------------------------------------------------------------------------------------------------------
    def function(self, op: Operation) -> Any:
        """The C function of an operation, with its types set as the header declares them."""
        if op.name in self.functions:
            return self.functions[op.name]
        function = getattr(self.library, function_name(op.name))
        types: List[Any] = [] if op.name in _WITHOUT_HANDLE else [c_uint64]
        for name, kind, _ in op.parameters:
            if kind == "data":
                types += [c_char_p, c_int64]
            elif op.result in _READERS and name == "maxSize":
                continue
            else:
                types.append(c_int32 if name in _NARROW else _PARAMETERS[kind])
        if op.result in _STRINGS:
            types += [c_void_p, c_size_t]
        elif op.result in _READERS:
            types += [c_void_p, c_int64]
        elif op.result == "value":
            types.append(POINTER(c_int64))
        elif op.result == "newConnection":
            types.append(POINTER(c_bool))
        elif op.name == "tcpServer.listen":
            types.append(c_int32)
        function.argtypes, function.restype = types, _RESULTS[op.result]
        self.functions[op.name] = function
        return function

    def request(self, operation: Operation, handle: int, values: Dict[str, Any], done: Callable[[Outcome], None]) -> None:
        datagrams = datagrams_c.call(self.library, operation, handle, values)
        if datagrams is not None and self.library.sluice_handle_kind(handle):
            outcome = datagrams()
            self.check()
            done(outcome)
            return
        function = self.function(operation)
        arguments: List[Any] = [self.ready() if operation.name.endswith(".create") else handle]
        if operation.name in _WITHOUT_HANDLE:
            arguments = []
        capacity = 0
        for name, kind, _ in operation.parameters:
            value = url_of(values[name]) if kind == "proxy" else values[name]
            if kind == "data":
                arguments += [value, len(value)]
            elif operation.result in _READERS and name == "maxSize":
                capacity = value
            else:
                arguments.append(value.encode() if isinstance(value, str) else value)
        if handle and not self.library.sluice_handle_kind(handle):
            done(Outcome(None, vocabulary.ERRORS["InvalidHandleError"]))
            return
        outcome = self.call(operation, function, arguments, handle, capacity)
        self.check()
        done(outcome)

    def call(self, op: Operation, function: Any, arguments: List[Any], handle: int, capacity: int) -> Outcome:
        if op.result in _STRINGS:
            length = function(*arguments, None, 0)
            if length < 0:
                return Outcome(None, -length)
            buffer = ctypes.create_string_buffer(length + 1)
            function(*arguments, buffer, length + 1)
            text = buffer.value.decode()
            return Outcome(proxy_of(text) if op.result == "proxy" else text)
        if op.result in _READERS:
            if op.result == "all" or op.result == "line" and capacity < 0:
                capacity = max(1, self.library.sluice_socket_bytes_available(handle))
            buffer = ctypes.create_string_buffer(max(1, capacity))    # a negative one is refused
            count = function(*arguments, buffer, capacity)
            return Outcome(None, -count) if count < 0 else Outcome(ctypes.string_at(buffer, count))
        if op.result == "value":
            value = c_int64()
            error = function(*arguments, ctypes.byref(value))
            return Outcome(None, error) if error else Outcome(value.value)
        if op.result == "newConnection":
            late = c_bool()
            got = function(*arguments, ctypes.byref(late))
            return Outcome([got, late.value])
        if op.name == "tcpServer.listen":
            arguments = arguments + [0]
        result = function(*arguments)
        if op.result in ("nothing", "success"):
            return Outcome(None, result) if result else Outcome()
        if op.result in ("count", "char"):
            return Outcome(None, -result) if result < 0 else Outcome(result)
        if op.name.endswith(".create") and not result:
            return Outcome(None, self.last_error())
        return Outcome(result)

    def close(self) -> None:
        if self.loop:
            self.library.sluice_loop_destroy(self.loop)
            self.loop = 0
