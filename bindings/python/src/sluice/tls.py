"""TLS as a program sees it: configurations, certificates, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Sequence

from .enums import SslErrorCode, TlsVersion, VerifyMode

__all__ = ["Certificate", "SslError", "TlsConfiguration"]


@dataclass
class TlsConfiguration:
    """How a TLS connection is made. Certificates and keys are PEM text, or the path of a file that has it; empty is not set."""

    #: Whom to trust: PEM text, a file or a folder. Empty: whom the system trusts.
    certificate_authorities: str = ""
    #: Our own certificate, its chain behind it.
    certificate: str = ""
    private_key: str = field(default="", repr=False)
    #: Of the private key.
    passphrase: str = field(default="", repr=False)
    verify_mode: VerifyMode = VerifyMode.AUTOMATIC
    #: The name that the peer's certificate has to have; empty: the host that was connected to.
    verify_name: str = ""
    #: The protocols to choose from, the preferred one first: ["h2", "http/1.1"].
    alpn: Sequence[str] = ()
    minimum_version: TlsVersion = TlsVersion.TLS_1_2
    #: As OpenSSL lists them.
    ciphers: str = ""
    #: What ``session_ticket()`` of an earlier connection to the same server said.
    session_ticket: str = field(default="", repr=False)


class Certificate(NamedTuple):
    """A certificate of the peer."""

    pem: str
    subject: str
    issuer: str
    common_name: str
    #: In hexadecimal.
    serial_number: str
    #: "2049-12-31T00:00:00Z"
    valid_from: str
    valid_until: str
    #: "DNS:example.org", "IP:192.0.2.1"
    subject_alternative_names: Sequence[str]
    #: SHA-256, in hexadecimal.
    fingerprint: str
    is_self_signed: bool


class SslError(NamedTuple):
    """One thing that is wrong with the peer's certificates."""

    code: SslErrorCode
    message: str
    #: Which certificate of the chain: 0 is the peer's own, 1 that of its issuer, and so on.
    depth: int
