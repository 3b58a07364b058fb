"""The name rule, checked: noun.verbWords in JSON-RPC is sluice_noun_verb_words in C and noun.verb_words in Python.

Walks the header, the description of the sidecar's operations, and the classes of both Python faces. An operation that one of
them lacks is a failure, unless it stands in EXCEPTIONS below with its reason.

Run it with unittest or pytest. SLUICED names the sidecar; without one the description in bindings/openrpc.json is taken.
"""

from __future__ import annotations

import inspect
import json
import pathlib
import re
import subprocess
import sys
import unittest
from typing import Any, Dict, Set

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bindings" / "python" / "src"))

import sluice  # noqa: E402
from sluice import aio  # noqa: E402

NOUNS = (
    "loop", "handle", "socket", "tcp_socket", "udp_socket", "local_socket", "tls_socket", "server", "tcp_server", "local_server",
    "host", "proxy", "relay", "session", "rpc",
)  # fmt: skip

CLASSES = {
    "handle": "Handle",
    "socket": "Socket",
    "tcp_socket": "TcpSocket",
    "udp_socket": "UdpSocket",
    "tls_socket": "TlsSocket",
    "local_socket": "LocalSocket",
    "server": "Server",
    "tcp_server": "TcpServer",
    "local_server": "LocalServer",
    "host": "Host",
    "proxy": "Proxies",
    "relay": "Relay",
    "session": "Session",
    "rpc": "Session",
}

_IN_A_PROPERTY = "C has functions for it; elsewhere it is one of the properties, by name"
_BY_NAME = "over JSON-RPC and in Python a client says so by naming the event proxyAuthenticationRequired"
_LOOKUP = "in C a lookup is an object with an event; elsewhere it is a call that is answered when it is done"
_WITH_THE_ERROR = "C asks for it after a failure; elsewhere it comes with the error and with the event"

# Operations, or whole nouns, that stand in only some of the three, with the reason.
EXCEPTIONS: Dict[str, str] = {
    "loop.*": "C programs run their loops; the sidecar runs its own",
    "session.*": "a conversation with the sidecar is what C programs do not need",
    "rpc.discover": "describes JSON-RPC itself",
    "echo": "answers with its parameters, to measure JSON-RPC itself",
    "handle.set_callback": "in C the receiver of events is a function; over JSON-RPC it is the connection, in Python `on`",
    "local_server.listen_descriptor": "C has no parameters to choose from; elsewhere it is a parameter of local_server.listen",
    "socket.write_borrowed": "memory can be lent only within a process",
    "socket.set_delivery": "spares clients of JSON-RPC a call for each piece; C has readyRead, Python chunks and lines",
    "socket.attach": "gives the client's connection to the sidecar to a socket; Python takes the socket itself, and C has it",
    "socket.set_transport": "a transport is code of the program's own, which only its own process can call",
    "socket.transport_ready": "as socket.set_transport",
    "socket.allow_half_open": _IN_A_PROPERTY,
    "socket.set_allow_half_open": _IN_A_PROPERTY,
    "socket.connect_timeout": _IN_A_PROPERTY,
    "socket.set_connect_timeout": _IN_A_PROPERTY,
    "socket.close_timeout": _IN_A_PROPERTY,
    "socket.set_close_timeout": _IN_A_PROPERTY,
    "socket.proxy_timeout": _IN_A_PROPERTY,
    "socket.set_proxy_timeout": _IN_A_PROPERTY,
    "server.proxy_protocol": _IN_A_PROPERTY,
    "server.set_proxy_protocol": _IN_A_PROPERTY,
    "socket.awaits_proxy_authentication": _BY_NAME,
    "socket.set_awaits_proxy_authentication": _BY_NAME,
    "host.is_finished": _LOOKUP,
    "host.wait_for_finished": _LOOKUP,
    "host.address": _LOOKUP,
    "host.address_count": _LOOKUP,
    "host.error": _LOOKUP,
    "host.error_string": _LOOKUP,
    "relay.is_finished": "who reads no events asks for it; over JSON-RPC and in Python the event finished always comes",
    "socket.system_error": _WITH_THE_ERROR,
    "socket.attempt": _WITH_THE_ERROR,
    "socket.attempt_count": _WITH_THE_ERROR,
    "server.system_error": _WITH_THE_ERROR,
}

# The header's constants: prefix of the C name, and the Python enumeration.
ENUMERATIONS: Dict[str, Any] = {
    "SLUICE_ERROR_": sluice.ErrorCode,
    "SLUICE_STATE_": sluice.SocketState,
    "SLUICE_PROTOCOL_": sluice.NetworkProtocol,
    "SLUICE_SOCKET_TYPE_": sluice.SocketType,
    "SLUICE_OPTION_": sluice.SocketOption,
    "SLUICE_KIND_": sluice.ObjectKind,
    "SLUICE_OPEN_": sluice.OpenMode,
    "SLUICE_BIND_": sluice.BindMode,
    "SLUICE_PAUSE_": sluice.PauseMode,
    "SLUICE_ACCESS_": sluice.LocalAccess,
    "SLUICE_PHASE_": sluice.ConnectPhase,
    "SLUICE_TLS_VERIFY_": sluice.VerifyMode,
    "SLUICE_TLS_VERSION_": sluice.TlsVersion,
    "SLUICE_INTERFACE_": sluice.InterfaceFlags,
}

# Constants whose short name in C is a longer one elsewhere.
LONGER_NAMES = {
    "SLUICE_ERROR_NONE": "NO_ERROR",
    "SLUICE_PROTOCOL_ANY": "ANY_IP",
    "SLUICE_BIND_DEFAULT": "DEFAULT_FOR_PLATFORM",
    "SLUICE_TLS_VERSION_1_2": "TLS_1_2",
    "SLUICE_TLS_VERSION_1_3": "TLS_1_3",
}


# What no object has, and what a member says that nobody has set.
C_ALONE = {"SLUICE_KIND_NONE", "SLUICE_TLS_VERSION_DEFAULT"}


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match.group().lower(), name)


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


def header() -> str:
    """The header without its comments."""
    return re.sub(r"/\*.*?\*/", "", (ROOT / "include" / "sluice.h").read_text(), flags=re.DOTALL)


def header_operations() -> Set[str]:
    """The functions of the header as noun.verb_words; those without a noun are about the library itself."""
    found = set()
    for name in re.findall(r"\bsluice_(\w+)\s*\(", header()):
        nouns = [noun for noun in NOUNS if name.startswith(noun + "_")]
        if nouns:
            noun = max(nouns, key=len)
            found.add(f"{noun}.{name[len(noun) + 1 :]}")
    return found


def description() -> Any:
    """The sidecar's description of itself."""
    try:
        binary = sluice.find_sidecar()
    except sluice.SidecarNotFoundError:
        return json.loads((ROOT / "bindings" / "openrpc.json").read_text())
    return json.loads(subprocess.run([binary, "--openrpc"], stdout=subprocess.PIPE, timeout=60, check=True).stdout)


def described_operations() -> Set[str]:
    """The sidecar's operations as noun.verb_words."""
    return {".".join(snake(part) for part in method["name"].split(".")) for method in description()["methods"]}


def python_operations(face: object) -> Set[str]:
    """The operations that the classes of a face declare, as noun.verb_words; each must be a public method of the noun's class."""
    found = set()
    for noun, name in CLASSES.items():
        kind = getattr(face, name)
        for member in dir(kind):
            operation = getattr(getattr(kind, member), "operation", None)
            if operation is not None:
                of_noun, _, verb = operation.method.partition(".")
                if snake(of_noun) == noun:
                    assert snake(verb) == member, f"{name}.{member} calls {operation.method}"
                    found.add(f"{noun}.{member}")
        if noun not in ("handle", "socket", "server") and inspect.ismethod(getattr(kind, "create", None)):
            found.add(f"{noun}.create")
    return found


class Parity(unittest.TestCase):
    faces: Dict[str, Set[str]]
    all: Set[str]

    @classmethod
    def setUpClass(cls) -> None:
        cls.faces = {
            "C": header_operations(),
            "JSON-RPC": described_operations(),
            "Python": python_operations(sluice),
            "Python asyncio": python_operations(aio),
        }
        cls.all = set.union(*cls.faces.values())

    def test_each_operation_is_everywhere(self) -> None:
        self.assertGreater(len(self.all), 100, "this is not the whole of it")
        for operation in sorted(self.all):
            if operation in EXCEPTIONS or operation.partition(".")[0] + ".*" in EXCEPTIONS:
                continue
            with self.subTest(operation):
                lacking = [face for face, operations in self.faces.items() if operation not in operations]
                self.assertEqual(lacking, [], f"{operation} is lacking")

    def test_no_exception_is_idle(self) -> None:
        for exception in EXCEPTIONS:
            noun, _, verb = exception.partition(".")
            with self.subTest(exception):
                meant = [each for each in self.all if each == exception or (verb == "*" and each.startswith(noun + "."))]
                self.assertTrue(meant, "there is no such operation any more")
                everywhere = all(each in operations for each in meant for operations in self.faces.values())
                self.assertFalse(everywhere, "it is everywhere by now")

    def test_what_is_said_to_be_a_property_is_one(self) -> None:
        try:
            binary = sluice.find_sidecar()
        except sluice.SidecarNotFoundError:
            self.skipTest("there is no sluiced")
        with sluice.start(binary) as session, session.tcp_socket() as sock:
            for exception, reason in EXCEPTIONS.items():
                noun, _, verb = exception.partition(".")
                if reason is not _IN_A_PROPERTY or verb.startswith("set_"):
                    continue
                with self.subTest(exception):
                    if noun == "socket":
                        self.assertIn(camel(verb), sock.properties())
                    else:
                        session.tcp_server({camel(verb): True}).destroy()

    def test_constants_have_the_same_numbers_and_names(self) -> None:
        constants = {name: int(value, 0) for name, value in re.findall(r"\b(SLUICE_[A-Z0-9_]+)\s*=\s*(-?(?:0x)?[0-9A-Fa-f]+)", header())}
        for prefix, kind in ENUMERATIONS.items():
            of_kind = {name: value for name, value in constants.items() if name.startswith(prefix)}
            self.assertTrue(of_kind, prefix)
            for name, value in of_kind.items():
                if name in C_ALONE:
                    continue
                with self.subTest(name):
                    self.assertEqual(kind(value).name, LONGER_NAMES.get(name, name[len(prefix) :]))

    def test_events_have_the_same_names(self) -> None:
        events = re.findall(r"\bSLUICE_EVENT_([A-Z_]+)\s*=\s*\d+", header())
        self.assertGreater(len(events), 10)
        for event in events:
            with self.subTest(event):
                name = camel(event.lower())
                for face in (sluice, aio):
                    kinds = [getattr(face, kind) for kind in CLASSES.values()]
                    sources = [kind for kind in kinds if name in getattr(kind, "event_names", ()) and hasattr(kind, f"on_{event.lower()}")]
                    self.assertTrue(sources, f"no class has on_{event.lower()}")


if __name__ == "__main__":
    unittest.main()
