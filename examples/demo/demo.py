#!/usr/bin/env python3
"""The main job on real input, as `make demo` runs it.

A large file is fetched from Python's own HTTP server, once through the sidecar from Python and once through libsluice from C, and
an echo server in the sidecar serves Python's own sockets. Everything that went over a wire is compared by checksum.
"""

import argparse
import contextlib
import hashlib
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build" / "release"
MIB = 1 << 20

sys.path.insert(0, str(ROOT / "bindings" / "python" / "src"))
os.environ.setdefault("SLUICED", str(BUILD / "sluiced"))

import sluice  # noqa: E402  (from this tree, whatever is installed)


class Mismatch(Exception):
    """Something did not arrive as it was sent."""


def say(text):
    print(text, flush=True)


def report(who, size, seconds, sent, received):
    """One line of the transcript. Raises where the checksums differ."""
    if sent != received:
        raise Mismatch(f"{who}: sha256 {received}, but {sent} was sent")
    say(f"   {who:<34} {size / MIB:7.1f} MiB  {seconds:7.3f} s  {size / MIB / seconds:8.0f} MiB/s   sha256 {received[:12]}… same")


def make_file(path, size):
    """A file that nobody can compress or guess; its sha256."""
    digest = hashlib.sha256()
    source = random.Random(size)
    with open(path, "wb") as out:
        for _ in range(0, size, MIB):
            block = source.randbytes(MIB)
            digest.update(block)
            out.write(block)
    return digest.hexdigest()


@contextlib.contextmanager
def http_server(folder):
    """Python's own HTTP server as a process of its own; yields its port."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        greeting = process.stdout.readline()
        port = re.search(r"port (\d+)", greeting)
        if port is None:
            raise Mismatch(f"the HTTP server does not say its port: {greeting!r}")
        yield int(port.group(1))
    finally:
        process.terminate()
        process.communicate()


def fetch_from_python(port, name):
    """Size and sha256 of a file, through the sidecar."""
    digest = hashlib.sha256()
    size = 0
    with sluice.start() as session, session.connect_tcp("localhost", port) as sock:
        sock.set_read_buffer_size(4 * MIB)
        sock.sendall(f"GET /{name} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        for line in sock.lines():
            if line == b"\r\n":
                break
        for chunk in sock.chunks():
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def fetch_from_c(program, port, name, target):
    """Size and sha256 of a file, through libsluice."""
    subprocess.run([program, "-o", target, f"http://localhost:{port}/{name}"], check=True, timeout=600)
    with open(target, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return target.stat().st_size, digest.hexdigest()


def build_c(target):
    """The examples in C, compiled against this tree."""
    flags = f"-I{ROOT / 'include'} -L{BUILD} -lsluice -Wl,-rpath,{BUILD}"
    command = ["make", "-s", "-C", ROOT / "examples" / "c", f"OUT={target}", f"SLUICE={flags}"]
    if compiler := os.environ.get("CC"):
        command.append(f"CC={compiler}")
    subprocess.run([str(word) for word in command], check=True)
    return target / "http_get"


def echo_server(server, clients):
    """Serves so many clients, each until it closes."""

    def serve(connection):
        with connection:
            for chunk in connection.chunks():
                connection.sendall(chunk)

    threads = []
    for _ in range(clients):
        connection = server.accept()
        # A client that sends and does not read is made to wait, instead of filling the sidecar's memory.
        connection.set_read_buffer_size(MIB)
        threads.append(threading.Thread(target=serve, args=(connection,)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def plain_client(port, size, seed, checksums):
    """Python's own socket: sends, reads what comes back, and notes the checksums of both."""
    data = random.Random(seed).randbytes(size)
    digest = hashlib.sha256()
    with socket.create_connection(("localhost", port), timeout=600) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        left = size
        while left > 0 and (chunk := connection.recv(min(left, MIB))):
            digest.update(chunk)
            left -= len(chunk)
        sender.join()
    checksums[seed] = (hashlib.sha256(data).hexdigest(), digest.hexdigest())


def show_fetching(folder, size):
    served = folder / "served"
    served.mkdir()
    sent = make_file(served / "large.bin", size)
    program = build_c(folder)
    with http_server(served) as port:
        say(f"1. Fetching a file of {size // MIB} MiB from Python's http.server on localhost:{port}, by name")
        start = time.monotonic()
        received_size, received = fetch_from_python(port, "large.bin")
        report("Python, through sluiced", received_size, time.monotonic() - start, sent, received)
        start = time.monotonic()
        received_size, received = fetch_from_c(program, port, "large.bin", folder / "fetched.bin")
        report("C, through libsluice.so", received_size, time.monotonic() - start, sent, received)


def show_serving(size, clients):
    with sluice.start() as session, session.listen_tcp("any", 0) as server:
        port = server.port()
        say(f"2. An echo server in the sidecar, on port {port}, for {clients} sockets of Python's own at once")
        server_thread = threading.Thread(target=echo_server, args=(server, clients))
        server_thread.start()
        checksums = {}
        threads = [threading.Thread(target=plain_client, args=(port, size, seed, checksums)) for seed in range(clients)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - start
        server_thread.join()
        if len(checksums) != clients:
            raise Mismatch(f"only {len(checksums)} of {clients} clients came to their end")
        for seed, (sent, received) in sorted(checksums.items()):
            if sent != received:
                raise Mismatch(f"client {seed}: sha256 {received}, but {sent} was sent")
        sent, received = checksums[0]
        report(f"{clients} clients, there and back", 2 * size * clients, seconds, sent, received)


def main():
    parser = argparse.ArgumentParser(description="The main job on real input.")
    parser.add_argument("--short", action="store_true", help="a smaller file")
    options = parser.parse_args()
    size = (8 if options.short else 64) * MIB

    say(f"Sluice {sluice.__version__}")
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        try:
            show_fetching(pathlib.Path(folder), size)
            show_serving(size // 32, 8)
        except (Mismatch, sluice.SluiceError, OSError, subprocess.SubprocessError) as error:
            say(f"demo: FAILED: {error}")
            return 1
    say("demo: all checksums agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
