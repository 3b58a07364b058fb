"""What the tests between hosts share: two hosts and a cable, a sidecar on one of them and sockets of Python's own on the other."""
from __future__ import annotations

import functools
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Optional, Tuple

import hosts
from hosts import Cable, Host

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests" / "SluiceRPCTests"))
import support  # noqa: E402
from support import PATIENCE, Process  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / ".build" / "release")).resolve()

#: The unit under test and its peer.
OUR, PEER = "10.1.0.1", "10.1.0.2"
OUR6, PEER6 = "fd01::1", "fd01::2"

#: Milliseconds, as a limit that is meant to be reached, and as one that must not be.
SHORT, LONG = 300, 30000


@functools.lru_cache(maxsize=None)
def obstacle() -> Optional[str]:
    reason = hosts.obstacle()
    if reason:
        print("skipped: no hosts can be made here: " + reason, file=sys.stderr)
    return reason


@functools.lru_cache(maxsize=None)
def files_obstacle() -> Optional[str]:
    """Why no program can be given files of its own in /etc; None when it can."""
    try:
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run([sys.executable, "-c", ""], check=True, preexec_fn=hosts.own_files({"/etc/hosts": file.name}))
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None


@functools.lru_cache(maxsize=None)
def waits_program() -> Tuple[str, tempfile.TemporaryDirectory]:
    """The C program of the blocking waits, and the folder that it lives in as long as this process."""
    folder = tempfile.TemporaryDirectory(prefix="sluice-netns-")
    compiler = os.environ.get("CC") or subprocess.run([ROOT / ".ci" / "cc"], check=True, capture_output=True, text=True).stdout.strip()
    # Programs look for the library by its soname.
    os.symlink(BUILD / "libsluice.so", os.path.join(folder.name, "libsluice.so.0"))
    program = os.path.join(folder.name, "waits")
    include = os.environ.get("SLUICE_INCLUDE", str(ROOT / "include"))
    subprocess.run([compiler, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", include, "-o", program, str(HERE / "waits.c"),
                    os.path.join(folder.name, "libsluice.so.0"), "-Wl,-rpath," + folder.name], check=True)
    return program, folder


class NetworkCase(support.TestCase):
    def setUp(self) -> None:
        reason = obstacle()
        if reason:
            self.skipTest("no hosts can be made here: " + reason)

    # -- the network ------------------------------------------------------------------------------------------------------
    def host(self) -> Host:
        host = Host()
        self.addCleanup(host.close)
        return host

    def pair(self) -> Tuple[Host, Host, Cable]:
        """Us and the peer, joined by a cable."""
        us, peer = self.host(), self.host()
        cable = Cable(us, peer)
        cable.addresses(us, OUR + "/24", OUR6 + "/64")
        cable.addresses(peer, PEER + "/24", PEER6 + "/64")
        return us, peer, cable

    def routed(self, mtu: int = 1500) -> Tuple[Host, Host, Host]:
        """Us, a router, and a host behind it (10.2.0.2, fd02::2) whose cable takes packets up to this size."""
        us, router, far = self.host(), self.host(), self.host()
        near_cable, far_cable = Cable(us, router, "eth0"), Cable(router, far, "eth1", mtu=mtu)
        near_cable.addresses(us, OUR + "/24", OUR6 + "/64")
        near_cable.addresses(router, "10.1.0.254/24", "fd01::fe/64")
        far_cable.addresses(router, "10.2.0.254/24", "fd02::fe/64")
        far_cable.addresses(far, "10.2.0.2/24", "fd02::2/64")
        us.ip("route add default via 10.1.0.254", "route add default via fd01::fe")
        far.ip("route add default via 10.2.0.254", "route add default via fd02::fe")
        router.sysctl("net/ipv4/ip_forward", 1)
        router.sysctl("net/ipv6/conf/all/forwarding", 1)
        # Each packet that does not get through is told of, not one in a while.
        for limit in ("net/ipv4/icmp_ratemask", "net/ipv6/icmp/ratelimit"):
            router.sysctl(limit, 0, optional=True)
        return us, router, far

    def listen(self, host: Host, address: str = PEER, receive_buffer: int = 0, port: int = 0) -> socket.socket:
        listener = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.addCleanup(listener.close)
        listener.settimeout(PATIENCE)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        listener.bind((address, port))
        listener.listen(16)
        return listener

    def accept(self, listener: socket.socket) -> socket.socket:
        connection, _ = listener.accept()
        connection.settimeout(PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def datagrams(self, host: Host, address: str = PEER, port: int = 0) -> socket.socket:
        """A datagram socket of Python's own."""
        receiver = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(receiver.close)
        receiver.settimeout(PATIENCE)
        receiver.bind((address, port))
        return receiver

    # -- the unit under test ----------------------------------------------------------------------------------------------
    def sidecar(self, host: Host, names: Optional[str] = None, resolver: Optional[str] = None) -> Process:
        """A sidecar on this host, and what it sees as /etc/hosts and /etc/resolv.conf."""
        preexec = self.own_files({"/etc/hosts": names, "/etc/resolv.conf": resolver})
        with host:
            return self.stdio(**({"preexec_fn": preexec} if preexec else {}))

    def own_files(self, texts: Dict[str, Optional[str]]) -> Any:
        """For preexec_fn; None when there is nothing to see."""
        folder, files = self.folder(), {}
        for place, text in texts.items():
            if text is None:
                continue
            if not os.path.exists(place) or files_obstacle():
                self.skipTest("a program cannot have a %s of its own: %s" % (place, files_obstacle() or "there is none"))
            files[place] = os.path.join(folder, os.path.basename(place))
            with open(files[place], "w") as file:
                file.write(text)
        return hosts.own_files(files) if files else None

    def waits(self, host: Host, *words: object, names: Optional[str] = None) -> "Waits":
        program, _ = waits_program()
        preexec = self.own_files({"/etc/hosts": names})
        with host:
            waits = Waits([program, *map(str, words)], preexec)
        self.addCleanup(waits.close)
        return waits

    def connected(self, rpc: Process, host: Host, address: str = PEER, receive_buffer: int = 0,
                  options: Optional[Dict[str, int]] = None, **properties: Any) -> Tuple[int, socket.socket]:
        """A handle that is connected to this host, with these options and properties, and the other end."""
        listener = self.listen(host, address, receive_buffer)
        handle = rpc.call("tcpSocket.create", properties=properties)
        for name, value in (options or {}).items():
            rpc.call("socket.setOption", handle, name, value)
        rpc.call("socket.connectToHost", handle, address, listener.getsockname()[1])
        self.assertIs(rpc.call("socket.waitForConnected", handle), True)
        connection = self.accept(listener)
        listener.close()
        rpc.seen.clear()
        return handle, connection

    def failure(self, rpc: Process, handle: int) -> Dict[str, Any]:
        """What the next errorOccurred tells."""
        return rpc.event("socket.errorOccurred", handle)

    def assertFailed(self, rpc: Process, handle: int, error: str, *system_errors: int) -> Dict[str, Any]:
        told = self.failure(rpc, handle)
        self.assertEqual(told["error"], error, told)
        if system_errors:
            self.assertIn(told["systemError"], system_errors, told)
        return told

    def assertEnded(self, rpc: Process, handle: int) -> None:
        """A connection that was there is over."""
        rpc.event("socket.disconnected", handle)
        self.assertEqual(rpc.call("socket.state", handle), "Unconnected")


class DatagramCase(NetworkCase):
    def bound(self, rpc: Any, address: str = "any", port: int = 0, **options: int) -> int:
        handle = rpc.call("udpSocket.create")
        for name, value in options.items():
            rpc.call("socket.setOption", handle, name, value)
        rpc.call("socket.bind", handle, address, port)
        return handle

    def connected_to(self, rpc: Any, place: Any) -> int:
        handle = rpc.call("udpSocket.create")
        rpc.call("socket.connectToHost", handle, place[0], place[1])
        self.assertIs(rpc.call("socket.waitForConnected", handle), True)
        rpc.seen.clear()
        return handle

    def receive(self, rpc: Any, handle: int) -> Dict[str, Any]:
        """The next datagram, its bytes as `bytes`."""
        self.assertIs(rpc.call("socket.waitForReadyRead", handle, LONG), True)
        datagram = rpc.call("udpSocket.readDatagram", handle=handle, encoding="base64")
        # Without the interface, which `interfaceIndex` tells.
        destination = datagram["destinationAddress"].partition("%")[0].removeprefix("::ffff:")
        return datagram | {"bytes": support.decoded(datagram), "destinationAddress": destination}


class Waits:
    """The C program: it says one line at each step, and goes on when it is told to."""

    def __init__(self, command: List[str], preexec: Any):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=preexec)

    def line(self) -> str:
        return self.process.stdout.readline().rstrip("\n")

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
