"""Long runs through the sidecar: `soak_sidecar.py HANDLES CYCLES`. Ends with 0 when nothing was lost and nothing is left behind."""
import os
import sys

import sluice


def resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def sidecar_of(parent: int) -> int:
    """The one child of this process: the sidecar that the session started."""
    with open(f"/proc/{parent}/task/{parent}/children") as children:
        return int(children.read().split()[0])


def check(condition: bool, message: str) -> None:
    if not condition:
        sys.exit(f"soak: {message}")


def cycle(session: "sluice.Session", server: "sluice.TcpServer", number: int) -> None:
    message = b"message %d\n" % number
    with session.connect_tcp("127.0.0.1", server.port()) as client, server.accept(timeout=30000) as accepted:
        client.write(message)
        accepted.wait_for_ready_read(30000)
        accepted.write(accepted.read_all())
        client.wait_for_ready_read(30000)
        check(client.read_all() == message, f"cycle {number}: a wrong echo")


def run(handles: int, cycles: int) -> None:
    with sluice.start() as session:
        pid = sidecar_of(os.getpid())
        with session.tcp_server() as server:
            server.listen("127.0.0.1", 0)
            for number in range(cycles // 10 + 10):
                cycle(session, server, number)
            open_before, memory_before = descriptors(pid), resident_kib(pid)
            for number in range(cycles):
                cycle(session, server, number)
            growth = resident_kib(pid) - memory_before
            check(descriptors(pid) <= open_before, "descriptors are left in the sidecar")
            check(growth <= 2048, f"the sidecar has {growth} KiB more memory than before")
            print(f"sidecar: {cycles} connections one after another, no descriptor left, memory {growth:+} KiB")

            pairs = [(session.connect_tcp("127.0.0.1", server.port()), server.accept(timeout=30000)) for _ in range(handles)]
            for number, (client, _) in enumerate(pairs):
                client.write(b"%06d" % number)
            for number, (_, accepted) in enumerate(pairs):
                while accepted.bytes_available() < 6:
                    check(accepted.wait_for_ready_read(30000), f"connection {number}: nothing came")
                check(accepted.read_all() == b"%06d" % number, f"connection {number}: wrong bytes")
            for client, accepted in pairs:
                client.destroy()
                accepted.destroy()
            print(f"sidecar: {handles} connections at once, every byte verified")


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]))
