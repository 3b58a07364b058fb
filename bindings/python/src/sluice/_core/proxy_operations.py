"""Proxies: how they travel, and the operations about those of the whole application."""

from __future__ import annotations

from typing import Any, Dict, List

from ..enums import ProxyType
from ..proxies import Proxy
from .calls import Call, operation
from .objects import SessionPart
from .results import list_of, nothing, read_proxy

_NAMES = {ProxyType.DEFAULT: "Default", ProxyType.SOCKS5: "Socks5", ProxyType.NONE: "None", ProxyType.HTTP: "Http"}


def proxy_to_wire(proxy: Proxy) -> Dict[str, Any]:
    if not isinstance(proxy, Proxy):
        raise TypeError(f"a proxy is Proxy.socks5(host, port), Proxy.http(host, port), Proxy.none() or Proxy(), not {type(proxy).__name__}")
    if proxy.type in (ProxyType.DEFAULT, ProxyType.NONE):
        return {"type": _NAMES[proxy.type]}
    members: Dict[str, Any] = {
        "type": _NAMES[ProxyType(proxy.type)], "host": proxy.host, "port": proxy.port, "hostNameLookup": proxy.host_name_lookup,
    }  # fmt: skip
    if proxy.user:
        members.update(user=proxy.user, password=proxy.password)
    return members


class ProxyOperations(SessionPart):
    noun = "proxy"

    @operation
    def application(self) -> Call[Proxy]:
        """The proxy that sockets use whose own is ``Proxy()``; NONE at first."""
        return Call(read_proxy)

    @operation
    def set_application(self, proxy: Proxy) -> Call[None]:
        """Sets it; ``Proxy()`` stands for what the sidecar's environment says. Loopback addresses are reached without it."""
        return Call(nothing, {"proxy": proxy_to_wire(proxy)})

    @operation
    def for_query(self, host: str, port: int) -> Call[List[Proxy]]:
        """The proxies that the sidecar's environment (ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY) names for a host."""
        return Call(list_of(read_proxy), {"host": host, "port": port})
