"""A TLS peer of Python's ssl module for the tests: peer.py FOLDER MODE [ARGUMENTS]. As a server it says its port first."""

import socket
import ssl
import sys

FOLDER, MODE, *ARGUMENTS = sys.argv[1:]


def server_context(name="server", version=None, clients=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{FOLDER}/{name}-chain.pem", f"{FOLDER}/{name.split('@')[0]}.key")
    if version == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if version == "1.3":
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(f"{FOLDER}/root.pem")
    return context


def client_context(version=None, certificate=None):
    context = ssl.create_default_context(cafile=f"{FOLDER}/root.pem")
    if version == "1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        context.load_cert_chain(f"{FOLDER}/{certificate}-chain.pem", f"{FOLDER}/{certificate}.key")
    return context


def say(text):
    print(text, flush=True)


def listen():
    listener = socket.create_server(("127.0.0.1", 0))
    say(listener.getsockname()[1])
    return listener


def read_all(stream):
    total = bytearray()
    while chunk := stream.recv(65536):
        total += chunk
    return bytes(total)


def echo(version=None, clients=None):
    """Sends everything back until the client says that it has finished, then says so too."""
    context = server_context(version=version, clients=clients == "clients")
    with listen() as listener:
        while True:
            plain, _ = listener.accept()
            try:
                with context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False) as stream:
                    while chunk := stream.recv(65536):
                        stream.sendall(chunk)
                    stream.unwrap().close()
                    say("end")
            except OSError as error:
                say(f"error {getattr(error, 'reason', error)}")


def truncate(version=None):
    """Sends some bytes and ends the connection without a word."""
    with listen() as listener:
        plain, _ = listener.accept()
        stream = server_context(version=version).wrap_socket(plain, server_side=True)
        stream.sendall(b"half of it")
        plain = socket.socket(fileno=stream.detach())
        plain.shutdown(socket.SHUT_WR)
        plain.recv(1)


def present(name):
    """Handshakes with this certificate, one after the other."""
    context = server_context(name)
    with listen() as listener:
        while True:
            plain, _ = listener.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as stream:
                    read_all(stream)
                    say("connected")
            except OSError as error:
                say(f"error {getattr(error, 'reason', error)}")


def client(port, version=None, certificate=None, size="100000"):
    """Connects, sends a pattern, says it has finished, and reports what came back."""
    data = bytes(index * 7 % 251 for index in range(int(size)))
    plain = socket.create_connection(("127.0.0.1", int(port)))
    try:
        context = client_context(version, certificate if certificate != "-" else None)
        with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as stream:
            stream.sendall(data)
            back = bytearray()
            while len(back) < len(data):
                chunk = stream.recv(65536)
                if not chunk:
                    break
                back += chunk
            version = stream.version()
            stream.unwrap()
            say(f"{version} {'same' if back == data else 'different'}")
    except OSError as error:
        say(f"error {getattr(error, 'reason', error)}")


{"echo": echo, "truncate": truncate, "present": present, "client": client}[MODE](*ARGUMENTS)
