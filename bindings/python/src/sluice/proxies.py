"""Proxies as a program names them."""

from __future__ import annotations

from typing import NamedTuple

from .enums import ProxyType

__all__ = ["Proxy"]


class Proxy(NamedTuple):
    """A proxy: ``Proxy.socks5(host, port)``, ``Proxy.http(host, port)``, ``Proxy.none()``, or ``Proxy()`` for the one of the
    whole application."""

    type: ProxyType = ProxyType.DEFAULT
    host: str = ""
    port: int = 0
    user: str = ""
    #: Never told by the sidecar.
    password: str = ""
    #: Whether the proxy looks names up; else this machine does.
    host_name_lookup: bool = True

    def __repr__(self) -> str:
        if self.type in (ProxyType.DEFAULT, ProxyType.NONE):
            return f"<Proxy {self.type.name}>"
        user = f"{self.user}@" if self.user else ""
        return f"<Proxy {self.type.name} {user}{self.host}:{self.port}>"

    @classmethod
    def socks5(cls, host: str, port: int = 1080, user: str = "", password: str = "") -> Proxy:
        return cls(ProxyType.SOCKS5, host, port, user, password)

    @classmethod
    def http(cls, host: str, port: int = 8080, user: str = "", password: str = "") -> Proxy:
        return cls(ProxyType.HTTP, host, port, user, password)

    @classmethod
    def none(cls) -> Proxy:
        """Straight, whatever the application's proxy is."""
        return cls(ProxyType.NONE)
