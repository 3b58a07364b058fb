"""Hosts for a test: network namespaces with interfaces, addresses and routes of their own, joined by cables that can be cut.

A host is known by a descriptor of this process alone, never by a name in a folder. So any number of runs go side by side, and whatever
becomes of this process, its hosts, cables and routes end with it (and with the programs that it started in them).
"""
from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import time
from typing import Callable, Iterator, List, Optional

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
_SIOCGIFFLAGS, _IFF_RUNNING = 0x8913, 0x40
#: Seconds that nothing here takes.
_PATIENCE = 30
#: A hardware address that no interface has: what is sent there is lost without a word.
_NOWHERE = "02:00:00:00:de:ad"

_libc = ctypes.CDLL(None, use_errno=True)
_path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _current() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Host:
    """A host. Inside `with host:` everything this thread makes is made there: sockets stay there for good, programs run there."""

    def __init__(self) -> None:
        home = _current()
        try:
            _check(_libc.unshare(_CLONE_NEWNET))
            try:
                self.descriptor = _current()
            finally:
                _check(_libc.setns(home, _CLONE_NEWNET))
        finally:
            os.close(home)
        self._came_from: List[int] = []
        # An address of IPv6 is used at once, without asking first whether another host has it, and stays while its interface is down.
        for scope in ("all", "default"):
            self.sysctl("net/ipv6/conf/%s/accept_dad" % scope, 0, optional=True)
            self.sysctl("net/ipv6/conf/%s/keep_addr_on_down" % scope, 1, optional=True)
        self.ip("link set lo up")

    def __enter__(self) -> "Host":
        self._came_from.append(_current())
        _check(_libc.setns(self.descriptor, _CLONE_NEWNET))
        return self

    def __exit__(self, *_: object) -> None:
        home = self._came_from.pop()
        _check(_libc.setns(home, _CLONE_NEWNET))
        os.close(home)

    def close(self) -> None:
        os.close(self.descriptor)

    def ip(self, *commands: str) -> None:
        """Runs commands of ip(8) here, the first that fails is an error."""
        with self:
            done = subprocess.run([_ip(), "-batch", "-"], input="\n".join(commands), text=True, capture_output=True,
                                  pass_fds=[self.descriptor])
        if done.returncode != 0:
            raise OSError("ip: %s: %s" % ("; ".join(commands), done.stderr.strip()))

    def sysctl(self, name: str, value: object, optional: bool = False) -> None:
        try:
            with self, open("/proc/sys/" + name, "w") as file:
                file.write(str(value))
        except OSError:
            if not optional:
                raise

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
        with self:
            return socket.socket(family, kind)


def _ip() -> str:
    program = shutil.which("ip", path=_path)
    if program is None:
        raise OSError("there is no program ip")
    return program


class Cable:
    """Two interfaces, one of each host (of this name on both), with what is sent by the one arriving at the other."""

    def __init__(self, left: Host, right: Host, name: str = "eth0", mtu: int = 1500):
        self.ends, self.name = (left, right), name
        with left:
            done = subprocess.run([_ip(), "link", "add", name, "mtu", str(mtu), "type", "veth", "peer", "name", name, "mtu", str(mtu),
                                   "netns", "/proc/self/fd/%d" % right.descriptor], text=True, capture_output=True,
                                  pass_fds=[right.descriptor])
        if done.returncode != 0:
            raise OSError("ip link add: " + done.stderr.strip())
        for host in self.ends:
            host.ip("link set %s up" % name)

    def addresses(self, host: Host, *addresses: str) -> None:
        host.ip(*("address add %s dev %s%s" % (address, self.name, " nodad" if ":" in address else "") for address in addresses))

    def index(self, host: Host) -> int:
        with host:
            return socket.if_nametoindex(self.name)

    def lose(self, host: Host, *addresses: str) -> None:
        """From now on all that this host sends to these addresses is lost without a word, whether anybody has them or not."""
        host.ip(*("neighbour replace %s lladdr %s dev %s nud permanent" % (address, _NOWHERE, self.name) for address in addresses))

    def find(self, host: Host, *addresses: str) -> None:
        """Ends `lose`."""
        host.ip(*("neighbour del %s dev %s" % (address, self.name) for address in addresses))

    def cut(self) -> None:
        """Pulls the plug at the right end; at the left one the interface stays up without a carrier."""
        self.ends[1].ip("link set %s down" % self.name)

    def mend(self) -> None:
        for host in self.ends:
            host.ip("link set %s up" % self.name)
        # The system notices in its own time that there is a carrier again.
        deadline = time.monotonic() + _PATIENCE
        while not all(self.is_running(host) for host in self.ends):
            if time.monotonic() > deadline:
                raise OSError("the cable is never ready")
            time.sleep(0.005)

    def is_running(self, host: Host) -> bool:
        with host.socket(kind=socket.SOCK_DGRAM) as asking:
            answer = fcntl.ioctl(asking, _SIOCGIFFLAGS, struct.pack("@16sH14x", self.name.encode(), 0))
        return bool(struct.unpack("@16sH14x", answer)[1] & _IFF_RUNNING)


def own_files(files: "dict[str, str]") -> Callable[[], None]:
    """For a program's preexec_fn: the program (and what it starts) sees each file at the place of another, as {"/etc/hosts": path}."""
    def mount() -> None:
        _check(_libc.unshare(_CLONE_NEWNS))
        _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
        for place, path in files.items():
            _check(_libc.mount(path.encode(), place.encode(), None, _MS_BIND, None))
    return mount


@contextlib.contextmanager
def closing(hosts: List[Host]) -> Iterator[None]:
    try:
        yield
    finally:
        for host in hosts:
            host.close()


def obstacle() -> Optional[str]:
    """Why no hosts can be made here; None when they can."""
    hosts: List[Host] = []
    with closing(hosts):
        try:
            _ip()
            for _ in range(2):
                hosts.append(Host())
            cable = Cable(hosts[0], hosts[1])
            cable.addresses(hosts[0], "10.1.0.1/24", "fd01::1/64")
            hosts[0].sysctl("net/ipv4/ip_forward", 1)
        except OSError as error:
            return str(error)
    return None
