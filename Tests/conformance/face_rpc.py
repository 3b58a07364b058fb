"""The face of JSON-RPC: a sidecar of our own, spoken to through the Python client's lowest layer."""
from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Set

import vocabulary
from face import Face, FaceError, Notice, Outcome
from sidecar import Sidecar, decode_bytes, encode_bytes
from vocabulary import Operation

_PR_CAPBSET_DROP = 24
_SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 434, 438
_ENUMS: Dict[str, Dict[str, int]] = {
    "state": {name: number for number, name in enumerate(vocabulary.STATES)},
    "error": vocabulary.ERRORS,
    "type": {"Unknown": -1, "Tcp": 0, "Udp": 1, "Local": 2, "Tls": 3},
}
_FLAGS: Dict[str, Dict[str, int]] = {
    "openMode": vocabulary.OPEN_MODE,
    "pauseMode": {"OnSslErrors": 1, "Never": 0},
    "access": {"None": 0, "User": 1, "Group": 2, "Other": 4, "World": 7, "AbstractNamespace": 8},
}


@dataclass
class HandedOver:
    """A descriptor that the sidecar has been given: who has it there, and its number there as far as it is known."""
    kind: str
    handle: int
    number: int = -1


class RPCFace(Face):
    name, handlers, contexts, ahead = "rpc", False, False, True

    def __init__(self, path: str):
        super().__init__()
        self.path = path
        document = json.loads(subprocess.run([self.path, "--openrpc"], check=True, stdout=subprocess.PIPE).stdout)
        self.methods = {method["name"] for method in document["methods"]}
        self.sidecar: Optional[Sidecar] = None
        self.to_hand_over: Dict[int, Any] = {}    # descriptors of this process, and the peers that have them
        self.handed_over: Dict[int, HandedOver] = {}    # by their numbers here
        self.handing: Set[int] = set()            # those of which it is not known yet
        self.gone: List[Any] = []                 # those that have just been taken

    def provides(self, operation: str) -> bool:
        return (operation if operation != "localServer.listenDescriptor" else "localServer.listen") in self.methods

    def prepare(self, scenario: Dict[str, Any]) -> Optional[str]:
        """The steps that act on the process: what has to be done before the sidecar starts, or why the scenario cannot be run."""
        started = False
        for step in scenario["steps"]:
            started = started or step.get("new") in vocabulary.KINDS
            if step.get("sys") == "isolateNetwork" and started:
                return "isolateNetwork after the sidecar has started: face c"
            if step.get("sys") == "dropPrivileges":
                # A running process cannot be made to drop its privileges from outside: it is started without any.
                libc = ctypes.CDLL(None)
                for capability in range(64):
                    libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
            arguments = step.get("args") or [None]
            if isinstance(arguments[0], dict) and "hopLimit" in arguments[0].get("datagram", {}):
                return "not provided: the hop limit of one datagram: face c"
        return None

    # -- the conversation ---------------------------------------------------------------------------------------------------------------
    def ready(self) -> Sidecar:
        if self.sidecar is None:
            self.sidecar = Sidecar(self.path, self.event)
        return self.sidecar

    def event(self, method: str, values: Mapping[str, Any]) -> None:
        name = method.split(".", 1)[1]
        state = vocabulary.STATES.index(values.get("state", "Unconnected"))
        number = values.get("bytes", 0)
        if name == "stateChanged":
            number = state
        self.listener(Notice(values["handle"], name, state, bool(values.get("isOpen")), number, values.get("value", 0),
                             values.get("realm") or values.get("message", ""), values.get("proxy")))

    def watch(self, handle: int) -> None:
        self.ready().request("handle.subscribe", {"handle": handle, "events": "all"}, self.expect_success)

    def watch_questions(self, handle: int) -> None:
        # Who names the event will answer it.
        self.ready().request("handle.subscribe", {"handle": handle, "events": vocabulary.SOCKET_SIGNALS}, self.expect_success)

    @staticmethod
    def expect_success(result: Any, error: Optional[BaseException]) -> None:
        if error is not None:
            raise FaceError("a request of the driver's own failed: %s" % error)

    def request(self, operation: Operation, handle: int, values: Dict[str, Any], done: Callable[[Outcome], None]) -> None:
        parameters: Dict[str, Any] = {"handle": handle} if handle and not operation.name.endswith(".removeServer") else {}
        for name, kind, _ in operation.parameters:
            value = values[name]
            if kind == "data":
                parameters.update(encode_bytes(value))
            elif not (operation.result == "line" and value < 0):
                parameters[name] = value
        method = "localServer.listen" if operation.name == "localServer.listenDescriptor" else operation.name
        if operation.name == "udpSocket.writeDatagrams":
            method = "udpSocket.writeDatagram"
            fields = parameters.pop("datagrams")
            parameters.update({**fields, **encode_bytes(fields["data"])})
        descriptor = parameters.get("descriptor")
        peer = self.to_hand_over.pop(descriptor, None) if isinstance(descriptor, int) else None

        def answered(result: Any, error: Optional[BaseException]) -> None:
            if error is None:
                if peer is not None:
                    self.gone.append((descriptor, peer, handed))
                done(_read(operation.result, result))
                return
            code = getattr(error, "code", None)
            if code is None or int(code) < 0:
                raise FaceError("%s %s: %s" % (method, json.dumps(parameters)[:200], error))
            done(Outcome(None, int(code)))
        handed = HandedOver("socket" if method == "socket.setDescriptor" else "server", handle)
        self.ready().request(method, parameters, answered, descriptor if peer is not None else None)
        if peer is not None:
            self.learn_number(handed)

    # -- descriptors --------------------------------------------------------------------------------------------------------------------
    def hand_over(self, number: int, peer: Any) -> None:
        if number in self.handing:
            self.settle()    # once it is gone it is not handed over again
        if peer.kind != "closed" and number not in self.handed_over:
            self.to_hand_over[number] = peer
            self.handing.add(number)

    def let_go(self, number: int, peer: Any, handed: HandedOver) -> None:
        """The sidecar has it now, and nobody else shall: its number here stands for nothing from now on, but is not used again."""
        port = peer.port() if peer.s is not None and peer.s.family != socket.AF_UNIX else 0
        peer.port = lambda: port
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), number)
        self.handed_over[number] = handed

    def learn_number(self, handed: HandedOver) -> None:
        def answered(outcome: Outcome) -> None:
            handed.number = outcome.value if outcome.error is None else handed.number
        self.request(vocabulary.METHODS[handed.kind]["socketDescriptor"], handed.handle, {}, answered)

    def own_number(self, number: Any) -> Any:
        if type(number) is not int or number not in self.handed_over:
            return number
        handed = self.handed_over[number]
        self.settle()
        if handed.number < 0:
            # An unconnected socket does not tell.
            self.learn_number(handed)
            self.settle()
        return handed.number

    def settle(self) -> None:
        if self.sidecar is not None:
            self.sidecar.settle()
        self.handing.clear()
        while self.gone:
            self.let_go(*self.gone.pop())

    def run(self, milliseconds: float, condition: Optional[Callable[[], bool]] = None) -> bool:
        return self.ready().run(milliseconds, condition)

    # -- steps of the operating system --------------------------------------------------------------------------------------------------
    def sys(self, name: str, arguments: List[Any]) -> Any:
        if name == "limitFds":
            return self.ready().limit_descriptors(*arguments)
        if name == "unlimitFds":
            return self.ready().unlimit_descriptors()
        arguments = [self.own_number(a) for a in arguments] if name in ("fdOpen", "fdBlocking", "fdCloexec", "getsockopt") else arguments
        if name in ("fdOpen", "fdBlocking", "fdCloexec"):
            flags = self.ready().descriptor_flags(arguments[0])
            if name == "fdOpen":
                return flags is not None
            if flags is None:
                raise FaceError("the sidecar has no descriptor %s" % arguments[0])
            return not flags & os.O_NONBLOCK if name == "fdBlocking" else bool(flags & os.O_CLOEXEC)
        if name == "getsockopt":
            copy = self.copied(arguments[0])
            try:
                return self.system.getsockopt(copy, *arguments[1:])
            finally:
                os.close(copy)
        return super().sys(name, arguments)

    def copied(self, number: int) -> int:
        """A copy of one of the sidecar's descriptors in this process."""
        libc = ctypes.CDLL(None, use_errno=True)
        process = libc.syscall(_SYS_PIDFD_OPEN, self.ready().process.pid, 0)
        copy = libc.syscall(_SYS_PIDFD_GETFD, process, number, 0)
        error = ctypes.get_errno()
        os.close(process)
        if copy < 0:
            raise FaceError("descriptor %d of the sidecar: %s" % (number, os.strerror(error)))
        return int(copy)

    def close(self) -> None:
        if self.sidecar is not None:
            self.sidecar.close()


def _read(kind: str, value: Any) -> Outcome:
    """A result of the protocol as the dictionary's kinds have it: numbers for enums and flags, bytes for data."""
    if kind in ("data", "all", "line"):
        return Outcome(decode_bytes(value))
    if kind in _ENUMS:
        name = value
        if kind == "error":
            name = {"UnknownError": "UnknownSocketError"}.get(value, value)
        return Outcome(_ENUMS[kind][name])
    if kind in _FLAGS:
        total = 0
        for name in value:
            total |= _FLAGS[kind][name]
        return Outcome(total)
    if kind == "newConnection":
        return Outcome([value["available"], value["timedOut"]])
    if kind == "char" and value is None:
        return Outcome(None, vocabulary.ERRORS["TemporaryError"])
    if kind in ("text", "interface"):
        return Outcome(value or "")
    if kind in ("datagram", "senderDatagram"):
        return Outcome({**value, "data": decode_bytes(value)})
    return Outcome(value)
