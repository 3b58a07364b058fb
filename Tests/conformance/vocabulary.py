"""The words of the scenarios, and the operations they stand for.

Scenarios speak of TcpSocket.setSocketDescriptor, of ConnectedState and of UserAccessOption; the operations are named socket.setDescriptor and
the values Connected and User.  This file holds that dictionary and nothing else: both faces and the recorder look words up here.
"""
from __future__ import annotations

import base64
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

ERRORS: Dict[str, int] = {
    "NoError": 0, "EmptyHostNameError": 1, "PortNumberOutOfRangeError": 2, "DatagramWriteError": 3, "UnknownSocketError": 9,
    "ConnectionRefusedError": 10, "RemoteHostClosedError": 11, "HostNotFoundError": 12, "SocketAccessError": 13, "SocketResourceError": 14,
    "SocketTimeoutError": 15, "DatagramTooLargeError": 16, "NetworkError": 17, "AddressInUseError": 18, "SocketAddressNotAvailableError": 19,
    "UnsupportedSocketOperationError": 20, "UnfinishedSocketOperationError": 21, "ProxyAuthenticationRequiredError": 22,
    "SslHandshakeFailedError": 23, "ProxyConnectionRefusedError": 24, "ProxyConnectionClosedError": 25, "ProxyConnectionTimeoutError": 26,
    "ProxyNotFoundError": 27, "ProxyProtocolError": 28, "OperationError": 29, "SslInternalError": 30, "SslInvalidUserDataError": 31,
    "TemporaryError": 32, "InvalidHandleError": 100, "WrongKindError": 101, "WrongThreadError": 102, "InvalidArgumentError": 103,
    "InvalidStateError": 104, "LimitReachedError": 105, "CancelledError": 106, "NotPermittedError": 107, "OutOfMemoryError": 108,
}
# The same number carries another name where a local socket reports it.
LOCAL_ERRORS = {11: "PeerClosedError", 12: "ServerNotFoundError", 17: "ConnectionError"}
STATES = ["Unconnected", "HostLookup", "Connecting", "Connected", "Bound", "Listening", "Closing"]
TYPES = {"UnknownSocketType": -1, "TcpSocket": 0, "UdpSocket": 1, "LocalSocket": 2, "TlsSocket": 3}
PROTOCOLS = {"UnknownNetworkLayerProtocol": -1, "IPv4Protocol": 0, "IPv6Protocol": 1, "AnyIPProtocol": 2}
OPTIONS = {"LowDelayOption": 0, "KeepAliveOption": 1, "MulticastTtlOption": 2, "MulticastLoopbackOption": 3, "TypeOfServiceOption": 4,
           "SendBufferSizeSocketOption": 5, "ReceiveBufferSizeSocketOption": 6, "PathMtuSocketOption": 7}
OPEN_MODE = {"NotOpen": 0, "ReadOnly": 1, "WriteOnly": 2, "ReadWrite": 3, "Append": 4, "Truncate": 8, "Unbuffered": 32}
BIND_MODE = {"DefaultForPlatform": 0, "ShareAddress": 1, "DontShareAddress": 2, "ReuseAddressHint": 4, "ReusePort": 8}
PAUSE_MODE = {"PauseNever": 0, "PauseOnSslErrors": 1}
ACCESS = {"NoOptions": 0, "UserAccessOption": 1, "GroupAccessOption": 2, "OtherAccessOption": 4, "WorldAccessOption": 7,
          "AbstractNamespaceOption": 8}
# How the operations' own names are made from the scenarios' words: "Connected" from "ConnectedState".
SUFFIXES = ("State", "AccessOption", "SocketOption", "Option", "Protocol")
FLAG_PREFIX = {"pauseMode": "Pause"}
ADDRESSES = {"Any": "any", "AnyIPv4": "0.0.0.0", "AnyIPv6": "::", "LocalHost": "127.0.0.1", "LocalHostIPv6": "::1",
             "Broadcast": "255.255.255.255", "Null": ""}

# What a snapshot holds, by kind of object.
_SOCKET_SNAPSHOT = ["state", "isOpen", "isValid", "openMode", "isReadable", "isWritable", "error", "errorString", "bytesAvailable",
                    "bytesToWrite", "canReadLine", "atEnd"]
SNAPSHOTS = {
    "socket": _SOCKET_SNAPSHOT + ["localAddress", "localPort", "peerAddress", "peerPort", "peerName", "socketDescriptor", "readBufferSize"],
    "local": _SOCKET_SNAPSHOT + ["serverName", "fullServerName", "socketDescriptor", "readBufferSize"],
    "server": ["isListening", "serverAddress", "serverPort", "serverError", "errorString", "hasPendingConnections", "maxPendingConnections",
               "listenBacklogSize", "socketDescriptor"],
    "localserver": ["isListening", "serverName", "fullServerName", "serverError", "errorString", "hasPendingConnections",
                    "maxPendingConnections", "listenBacklogSize", "socketDescriptor", "socketOptions"],
}
# The types of proxies, and the words by which a URL says them. The reference's types for caches have none: LeftOut names them.
PROXIES = {"DefaultProxy": "Default", "Socks5Proxy": "Socks5", "NoProxy": "None", "HttpProxy": "Http"}
PROXY_SCHEMES = {"Socks5": "socks5h", "Http": "http"}
# Scenario class -> (kind, noun that creates it, noun of what its pending connections are).
KINDS = {"TcpSocket": ("socket", "tcpSocket"), "LocalSocket": ("local", "localSocket"), "TcpServer": ("server", "tcpServer"),
         "LocalServer": ("localserver", "localServer"), "UdpSocket": ("socket", "udpSocket"), "AbstractSocket": ("socket", "tcpSocket")}
ACCEPTED_KIND = {"server": "socket", "localserver": "local"}
SOCKET_SIGNALS = ["hostFound", "connected", "disconnected", "stateChanged", "errorOccurred", "readyRead", "bytesWritten", "aboutToClose",
                  "readChannelFinished", "proxyAuthenticationRequired"]
# The signals recorded, by kind of object: those that the reference's class of that name has.
SIGNALS = {"socket": SOCKET_SIGNALS, "local": [s for s in SOCKET_SIGNALS if s not in ("hostFound", "proxyAuthenticationRequired")],
           "server": ["newConnection", "pendingConnectionAvailable", "acceptError"], "localserver": ["newConnection"]}


@dataclass(frozen=True)
class Operation:
    """One operation: its name, its parameters as (name, kind, default) and the kind of its result.

    A parameter without a default must be given.  Kinds of results are those `printed` understands."""
    name: str
    parameters: Tuple[Tuple[str, str, Any], ...]
    result: str


REQUIRED = object()


def _operation(name: str, result: str, *parameters: str) -> Operation:
    out = []
    for text in parameters:
        head, equals, default = text.partition("=")
        word, _, kind = head.partition(":")
        value: Any = REQUIRED
        if equals:
            value = default if kind in ("text", "address", "interface") else int(default)
        out.append((word, kind, value))
    return Operation(name, tuple(out), result)


_TIMEOUT = "timeout:int=30000"
_MODE = "openMode:openMode=3"
# Methods and getters of every socket.
_COMMON = {
    "connectToHost": _operation("socket.connectToHost", "nothing", "host:address", "port:int", _MODE, "protocol:protocol=2"),
    "disconnectFromHost": _operation("socket.disconnectFromHost", "nothing"),
    "abort": _operation("socket.abort", "nothing"),
    "close": _operation("socket.close", "nothing"),
    "shutdownWrite": _operation("socket.shutdownWrite", "success"),
    "bind": _operation("socket.bind", "success", "address:address=any", "port:int=0", "bindMode:bindMode=0"),
    "setSocketDescriptor": _operation("socket.setDescriptor", "success", "descriptor:int", "state:state=3", _MODE),
    "socketDescriptor": _operation("socket.descriptor", "descriptor"),
    "state": _operation("socket.state", "state"),
    "error": _operation("socket.error", "error"),
    "errorString": _operation("socket.errorString", "text"),
    "socketType": _operation("socket.socketType", "type"),
    "openMode": _operation("socket.openMode", "openMode"),
    "isValid": _operation("socket.isValid", "bool"),
    "isOpen": _operation("socket.isOpen", "bool"),
    "isReadable": _operation("socket.isReadable", "bool"),
    "isWritable": _operation("socket.isWritable", "bool"),
    "isSequential": _operation("socket.isSequential", "bool"),
    "localAddress": _operation("socket.localAddress", "text"),
    "localPort": _operation("socket.localPort", "port"),
    "peerAddress": _operation("socket.peerAddress", "text"),
    "peerPort": _operation("socket.peerPort", "port"),
    "peerName": _operation("socket.peerName", "text"),
    "bytesAvailable": _operation("socket.bytesAvailable", "int"),
    "bytesToWrite": _operation("socket.bytesToWrite", "int"),
    "atEnd": _operation("socket.atEnd", "bool"),
    "canReadLine": _operation("socket.canReadLine", "bool"),
    "read": _operation("socket.read", "data", "maxSize:int"),
    "readAll": _operation("socket.readAll", "all"),
    "readLine": _operation("socket.readLine", "line", "maxSize:int=-1"),
    "peek": _operation("socket.peek", "data", "maxSize:int"),
    "skip": _operation("socket.skip", "count", "maxSize:int"),
    "getChar": _operation("socket.getChar", "char"),
    "putChar": _operation("socket.putChar", "success", "byte:byte"),
    "ungetChar": _operation("socket.ungetChar", "nothing", "byte:byte"),
    "write": _operation("socket.write", "count", "data:data"),
    "flush": _operation("socket.flush", "bool"),
    "readBufferSize": _operation("socket.readBufferSize", "int"),
    "setReadBufferSize": _operation("socket.setReadBufferSize", "nothing", "bytes:int"),
    "socketOption": _operation("socket.option", "value", "option:option"),
    "setSocketOption": _operation("socket.setOption", "nothing", "option:option", "value:int"),
    "waitForConnected": _operation("socket.waitForConnected", "bool", _TIMEOUT),
    "waitForReadyRead": _operation("socket.waitForReadyRead", "bool", _TIMEOUT),
    "waitForBytesWritten": _operation("socket.waitForBytesWritten", "bool", _TIMEOUT),
    "waitForDisconnected": _operation("socket.waitForDisconnected", "bool", _TIMEOUT),
    "pauseMode": _operation("socket.pauseMode", "pauseMode"),
    "setPauseMode": _operation("socket.setPauseMode", "nothing", "pauseMode:pauseMode"),
    "resume": _operation("socket.resume", "nothing"),
    "setLocalAddress": _operation("socket.setLocalAddress", "nothing", "value:address"),
    "setLocalPort": _operation("socket.setLocalPort", "nothing", "value:narrow"),
    "setPeerAddress": _operation("socket.setPeerAddress", "nothing", "value:address"),
    "setPeerPort": _operation("socket.setPeerPort", "nothing", "value:narrow"),
    "setPeerName": _operation("socket.setPeerName", "nothing", "value:text"),
    "setSocketState": _operation("socket.setState", "nothing", "value:state"),
    "setSocketError": _operation("socket.setError", "nothing", "value:error"),
    "setErrorString": _operation("socket.setErrorString", "nothing", "value:text"),
    "setProxy": _operation("socket.setProxy", "nothing", "proxy:proxy"),
    "proxy": _operation("socket.proxy", "proxy"),
    "authenticateProxy": _operation("socket.authenticateProxy", "nothing", "user:text", "password:text"),
}
# The methods of datagram sockets.
_DATAGRAMS = {
    "hasPendingDatagrams": _operation("udpSocket.hasPendingDatagrams", "bool"),
    "pendingDatagramSize": _operation("udpSocket.pendingDatagramSize", "int"),
    "readDatagram": _operation("udpSocket.readDatagram", "senderDatagram", "maxSize:int"),
    "receiveDatagram": _operation("udpSocket.readDatagram", "datagram", "maxSize:int=-1"),
    "writeDatagram": _operation("udpSocket.writeDatagram", "count", "data:data", "address:literal", "port:int"),
    "writeDatagramObject": _operation("udpSocket.writeDatagrams", "datagramSize", "datagrams:datagram"),
    "joinMulticastGroup": _operation("udpSocket.joinMulticastGroup", "success", "group:literal", "interface:interface="),
    "leaveMulticastGroup": _operation("udpSocket.leaveMulticastGroup", "success", "group:literal", "interface:interface="),
    "multicastInterface": _operation("udpSocket.multicastInterface", "interface"),
    "setMulticastInterface": _operation("udpSocket.setMulticastInterface", "nothing", "interface:interface"),
}
_LOCAL = {**_COMMON,
          "connectToServer": _operation("localSocket.connectToServer", "nothing", "name:text", _MODE),
          "open": _operation("localSocket.connectToServer", "success", "name:text", _MODE),
          "disconnectFromServer": _operation("localSocket.disconnectFromServer", "nothing"),
          "serverName": _operation("localSocket.serverName", "text"),
          "setServerName": _operation("localSocket.setServerName", "nothing", "name:text"),
          "fullServerName": _operation("localSocket.fullServerName", "text"),
          "socketOptions": _operation("localSocket.socketOptions", "access"),
          "setSocketOptions": _operation("localSocket.setSocketOptions", "nothing", "options:access")}
_SERVER = {
    "close": _operation("server.close", "nothing"),
    "isListening": _operation("server.isListening", "bool"),
    "hasPendingConnections": _operation("server.hasPendingConnections", "bool"),
    "nextPendingConnection": _operation("server.nextPendingConnection", "handle"),
    "maxPendingConnections": _operation("server.maxPendingConnections", "int"),
    "setMaxPendingConnections": _operation("server.setMaxPendingConnections", "nothing", "count:int"),
    "listenBacklogSize": _operation("server.listenBacklog", "int"),
    "setListenBacklogSize": _operation("server.setListenBacklog", "nothing", "count:int"),
    "serverAddress": _operation("server.address", "text"),
    "serverPort": _operation("server.port", "port"),
    "serverError": _operation("server.error", "error"),
    "errorString": _operation("server.errorString", "text"),
    "socketDescriptor": _operation("server.descriptor", "descriptor"),
    "setSocketDescriptor": _operation("server.setDescriptor", "success", "descriptor:int"),
    "pauseAccepting": _operation("server.pauseAccepting", "nothing"),
    "resumeAccepting": _operation("server.resumeAccepting", "nothing"),
    "waitForNewConnection": _operation("server.waitForNewConnection", "newConnection", "timeout:int=0"),
    "addPendingConnection": _operation("server.addPendingConnection", "nothing", "socket:handle"),
    "setProxy": _operation("server.setProxy", "nothing", "proxy:proxy"),
    "proxy": _operation("server.proxy", "proxy"),
}
METHODS: Dict[str, Dict[str, Operation]] = {
    "socket": {**_COMMON, **_DATAGRAMS},
    "local": _LOCAL,
    "server": {**_SERVER, "listen": _operation("tcpServer.listen", "success", "address:address=any", "port:int=0")},
    "localserver": {**_SERVER,
                    "listen": _operation("localServer.listen", "success", "name:text"),
                    "listenDescriptor": _operation("localServer.listenDescriptor", "success", "descriptor:int"),
                    "removeServer": _operation("localServer.removeServer", "bool", "name:text"),
                    "serverName": _operation("localServer.serverName", "text"),
                    "fullServerName": _operation("localServer.fullServerName", "text"),
                    "socketOptions": _operation("localServer.socketOptions", "access"),
                    "setSocketOptions": _operation("localServer.setSocketOptions", "nothing", "options:access")},
}
CREATE = {noun: _operation(noun + ".create", "handle") for _, noun in KINDS.values()}
DESTROY = _operation("handle.destroy", "nothing")
SUBSCRIBE = _operation("handle.subscribe", "nothing", "events:events")
INCOMING = _operation("server.setIncomingHandler", "nothing")
APPLICATION_PROXY = _operation("proxy.setApplication", "nothing", "proxy:proxy")


def kind_and_noun(step: Dict[str, Any]) -> Tuple[str, str]:
    """The kind of object that a step makes, and the noun that creates it."""
    kind, noun = KINDS[step["new"]]
    return kind, "udpSocket" if step.get("type") == "UdpSocket" else noun


def operation(kind: str, method: str, arguments: List[Any]) -> Optional[Operation]:
    """What a method of that kind of object stands for, or None when the dictionary has no such word."""
    if kind == "localserver" and method == "listen" and arguments and (isinstance(arguments[0], int) or str(arguments[0]).endswith(".fd")):
        method = "listenDescriptor"
    if method == "writeDatagram" and arguments and isinstance(arguments[0], dict) and "datagram" in arguments[0]:
        method = "writeDatagramObject"
    return METHODS.get(kind, {}).get(method)


_NUMBERS = {"openMode": OPEN_MODE, "bindMode": BIND_MODE, "pauseMode": PAUSE_MODE, "access": ACCESS, "protocol": PROTOCOLS,
            "option": OPTIONS, "error": ERRORS, "state": {s + "State": i for i, s in enumerate(STATES)}}


def payload(value: Any) -> bytes:
    """The bytes a scenario's data stands for."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    if "utf8" in value:
        return value["utf8"].encode()
    if "base64" in value:
        return base64.b64decode(value["base64"])
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    text, count = value["repeat"]
    return text.encode() * count


def literal(text: str) -> str:
    """What the reference makes of a text where it wants an address: nothing of what is no literal."""
    text = "::" if text == "Any" else ADDRESSES.get(text, text)
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return text


def datagram(fields: Dict[str, Any]) -> Dict[str, Any]:
    """The parameters of a datagram to be sent."""
    out: Dict[str, Any] = {"data": payload(fields["data"])}
    if "host" in fields:
        out.update(address=literal(fields["host"]), port=fields["port"])
    if "hopLimit" in fields:
        out["hopLimit"] = fields["hopLimit"]
    return out


def proxy(fields: Dict[str, Any]) -> Dict[str, Any]:
    """A proxy as JSON-RPC has it."""
    out: Dict[str, Any] = {"type": PROXIES[fields["type"]]}
    if out["type"] in PROXY_SCHEMES:
        out.update({name: fields[name] for name in ("host", "port", "user", "password") if name in fields})
    return out


def argument(kind: str, value: Any) -> Any:
    """A scenario's argument as the operations take it: text, a number (enums and flags too), or bytes."""
    if kind in _NUMBERS and isinstance(value, str):
        total = 0
        for word in value.split("|"):
            total |= _NUMBERS[kind][word]
        return total
    if kind == "address":
        return ADDRESSES.get(value, value)
    if kind == "literal":
        return literal(value)
    if kind == "interface":
        name = value["iface"] if isinstance(value, dict) else value
        return name if name in [interface for _, interface in socket.if_nameindex()] else ""    # as an interface that is none
    if kind == "datagram":
        return datagram(value["datagram"])
    if kind == "proxy":
        return proxy(value["proxy"])
    if kind == "data":
        return payload(value)
    if kind == "int" and isinstance(value, str):
        return int(value) if re.fullmatch(r"-?\d+", value) else 0    # as the reference reads a text as a number
    if kind == "byte":
        return value if isinstance(value, int) else payload(value)[0]
    return value


def arguments(op: Operation, method: str, raw: List[Any]) -> Dict[str, Any]:
    """The parameters of a call by name, defaults filled in."""
    values = list(raw)
    if method == "readLine" and values and values[0] >= 2:
        values[0] -= 1  # the reference counts a closing NUL
    out = {}
    for index, (name, kind, default) in enumerate(op.parameters):
        value = values[index] if index < len(values) else default
        if value is REQUIRED:
            raise ValueError("%s: no value for %s" % (op.name, name))
        out[name] = argument(kind, value)
    return out


@dataclass(frozen=True)
class Port:
    """A port in a record, until it is known whose it is."""
    number: int


def _flags(table: Dict[str, int], value: int, none: Any) -> Any:
    for name, number in table.items():
        if number == value and value:
            return name
    if not value:
        return none
    return "|".join(n for n, b in table.items() if b and b & (b - 1) == 0 and value & b)


def _interface_name(number: int) -> str:
    try:
        return socket.if_indextoname(number)
    except OSError:
        return ""


def _datagram(value: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    if value is None:
        return {"valid": False, "data": b"", "sender": "", "senderPort": -1, "destination": "", "destinationPort": -1, "hopLimit": -1,
                "interface": ""}
    return {"valid": True, "data": value["data"], "sender": value["senderAddress"], "senderPort": Port(value["senderPort"]),
            "destination": value["destinationAddress"], "destinationPort": Port(value["destinationPort"]), "hopLimit": value["hopLimit"],
            "interface": _interface_name(value["interfaceIndex"])}


def printed_proxy(value: Optional[Dict[str, Any]]) -> Any:
    """A proxy as the traces write it."""
    if value is None:
        return None
    name = next(word for word, kind in PROXIES.items() if kind == value["type"])
    return {"type": name, "host": value.get("host", ""), "port": Port(value.get("port", 0)), "user": value.get("user") or ""}


def error_name(number: int, kind: str) -> str:
    """An error's name as an object of that kind reports it."""
    if kind in ("local",) and number in LOCAL_ERRORS:
        return LOCAL_ERRORS[number]
    for name, code in ERRORS.items():
        if code == number:
            return name
    return "error %d" % number


# The kinds of results that show a failure too.
FAILURES_ARE_VALUES = ("success", "count", "data", "all", "line", "char", "value", "datagram", "senderDatagram", "datagramSize")


def printed(result: str, kind: str, value: Any, error: Optional[int], had_arguments: bool) -> Any:
    """A result as the traces write it.  An operation that failed prints the value by which the reference tells of a failure."""
    failed = error is not None
    if result == "nothing":
        return None
    if result == "success":
        return not failed
    if result in ("count", "datagramSize"):
        return -1 if failed else value
    if result == "datagram":
        return _datagram(value)
    if result == "senderDatagram":
        return [None, "", Port(0)] if value is None else [value["data"], value["senderAddress"], Port(value["senderPort"])]
    if result == "interface":
        return {"iface": value}
    if result in ("data", "value"):
        return None if failed else value
    if result == "line":
        return (None if had_arguments else b"") if failed else value
    if result == "all":
        return b"" if failed else value
    if result == "char":
        return [False, b"\0"] if failed else [True, bytes([value])]
    if result == "newConnection":
        return [False, False] if failed else [value[0], value[1]]
    if result == "port":
        return Port(value)
    if result == "proxy":
        return printed_proxy(value)
    if result == "descriptor":
        return "<fd>" if value >= 0 else value
    if result == "state":
        return STATES[value] + "State"
    if result == "error":
        return error_name(value, kind)
    if result == "type":
        return next(n for n, c in TYPES.items() if c == value)
    if result == "openMode":
        return _flags(OPEN_MODE, value, "NotOpen")
    if result == "pauseMode":
        return _flags(PAUSE_MODE, value, "PauseNever")
    if result == "access":
        return _flags(ACCESS, value, "0")
    return value
