"""The operations of TLS sockets, each declared once for both faces."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

from ..enums import NetworkProtocol, OpenMode, SslErrorCode, TlsVersion, VerifyMode
from ..events import Callback
from ..tls import Certificate, SslError, TlsConfiguration
from .calls import Call, operation
from .results import flag, list_of, nothing, read_certificate, read_ssl_error, text
from .socket_operations import DEFAULT_TIMEOUT, SocketOperations

_TEXTS = {
    "certificateAuthorities": "certificate_authorities",
    "certificate": "certificate",
    "privateKey": "private_key",
    "passphrase": "passphrase",
    "verifyName": "verify_name",
    "ciphers": "ciphers",
    "sessionTicket": "session_ticket",
}


def configuration_to_wire(configuration: TlsConfiguration) -> Dict[str, Any]:
    if not isinstance(configuration, TlsConfiguration):
        raise TypeError(f"a TlsConfiguration is needed, not {type(configuration).__name__}")
    if isinstance(configuration.alpn, str):
        raise TypeError(f"alpn is a list of protocols, as [{configuration.alpn!r}]")
    given = {name: getattr(configuration, attribute) for name, attribute in _TEXTS.items()}
    members: Dict[str, Any] = {name: str(value) for name, value in given.items() if value}
    mode = VerifyMode.from_wire(configuration.verify_mode)
    members["verifyMode"] = "auto" if mode is VerifyMode.AUTOMATIC else mode.name.lower()
    version = TlsVersion.from_wire(configuration.minimum_version)
    members["minimumVersion"] = "TLSv1.2" if version is TlsVersion.TLS_1_2 else "TLSv1.3"
    if configuration.alpn:
        members["alpn"] = list(configuration.alpn)
    return members


def configuration_from_wire(value: Any) -> TlsConfiguration:
    return TlsConfiguration(
        **{attribute: text(value.get(name)) for name, attribute in _TEXTS.items()},
        verify_mode=VerifyMode.from_wire(value["verifyMode"]),
        alpn=tuple(map(text, value.get("alpn") or ())),
        minimum_version=TlsVersion.from_wire(value["minimumVersion"]),
    )


class TlsSocketOperations(SocketOperations):
    noun = "tlsSocket"

    @operation
    def configuration(self) -> Call[TlsConfiguration]:
        """What was set, but for the private key and its passphrase."""
        return Call(configuration_from_wire)

    @operation
    def set_configuration(self, configuration: TlsConfiguration) -> Call[None]:
        """Before the handshake. Raises SslInvalidUserDataError, which names what is wrong, for bad material."""
        return Call(nothing, {"configuration": configuration_to_wire(configuration)})

    @operation
    def connect_to_host_encrypted(
        self,
        host: str,
        port: int,
        open_mode: OpenMode = OpenMode.READ_WRITE,
        protocol: NetworkProtocol = NetworkProtocol.ANY_IP,
    ) -> Call[None]:
        """Begins to connect, and then the handshake. The outcome is the event encrypted or errorOccurred, or what
        ``wait_for_encrypted`` returns."""
        return Call(nothing, {"host": host, "port": port, "openMode": open_mode, "protocol": protocol})

    @operation
    def start_client_encryption(self) -> Call[None]:
        """Begins the handshake on a connection that stands."""
        return Call(nothing)

    @operation
    def start_server_encryption(self) -> Call[None]:
        """As ``start_client_encryption``, in the server's part."""
        return Call(nothing)

    @operation
    def wait_for_encrypted(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits for the end of the handshake. False on an error and at the time-out."""
        return Call(flag, {"timeout": timeout}, waits=timeout)

    @operation
    def is_encrypted(self) -> Call[bool]:
        return Call(flag)

    @operation
    def session_protocol(self) -> Call[str]:
        """"TLSv1.3", or empty before the handshake."""
        return Call(text)

    @operation
    def session_cipher(self) -> Call[str]:
        return Call(text)

    @operation
    def negotiated_protocol(self) -> Call[str]:
        """Which of the configuration's ``alpn`` both sides have chosen; empty if none."""
        return Call(text)

    @operation
    def is_session_resumed(self) -> Call[bool]:
        return Call(flag)

    @operation
    def session_ticket(self) -> Call[str]:
        """What the next connection to the same server may begin with; empty as long as the server has sent none."""
        return Call(text)

    @operation
    def peer_certificate(self) -> Call[Optional[Certificate]]:
        return Call(lambda value: None if value is None else read_certificate(value))

    @operation
    def peer_certificate_chain(self) -> Call[List[Certificate]]:
        """The peer's own first."""
        return Call(list_of(read_certificate))

    @operation
    def ssl_errors(self) -> Call[List[SslError]]:
        """What is wrong with the peer's certificates."""
        return Call(list_of(read_ssl_error))

    @operation
    def ignore_errors(self, errors: Optional[Iterable[SslErrorCode]] = None) -> Call[None]:
        """These are no obstacle; without a list none is. To be called before the handshake, or while it waits (``pause_mode``)."""
        return Call(nothing, {} if errors is None else {"errors": [_error_name(each) for each in errors]})

    def on_encrypted(self, callback: Callback) -> Callback:
        return self.on("encrypted", callback)

    def on_ssl_errors(self, callback: Callback) -> Callback:
        return self.on("sslErrors", callback)


def _error_name(code: SslErrorCode) -> str:
    return "".join(word.title() for word in SslErrorCode(code).name.split("_"))
