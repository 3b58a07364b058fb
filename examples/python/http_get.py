#!/usr/bin/env python3
"""Fetches one file over HTTP or HTTPS, with the blocking face of the client.

    http_get.py [-o FILE] [--trust FILE] http[s]://HOST[:PORT]/PATH

A proxy that the environment names (https_proxy, http_proxy, all_proxy, no_proxy) is used.
"""

import argparse
import re
import sys
import urllib.parse

import sluice


def read_header(sock):
    """The status line, and the other lines as a dictionary with lower-case names."""
    lines = sock.lines()
    status = next(lines, b"").decode("latin-1").strip()
    fields = {}
    for line in lines:
        text = line.decode("latin-1").strip()
        if not text:
            return status, fields
        name, _, value = text.partition(":")
        fields[name.lower()] = value.strip()
    raise sluice.RemoteHostClosedError("the server closed the connection within the header")


def connect(session, address, trust):
    if address.scheme == "https":
        configuration = sluice.TlsConfiguration(certificate_authorities=trust, alpn=["http/1.1"])
        return session.connect_tls(address.hostname, address.port or 443, configuration=configuration)
    return session.connect_tcp(address.hostname, address.port or 80)


def fetch(url, out, trust):
    address = urllib.parse.urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise SystemExit(f"http_get.py: {url} is no http:// or https:// address")
    path = urllib.parse.urlunsplit(("", "", address.path or "/", address.query, ""))
    request = f"GET {path} HTTP/1.0\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n"

    with sluice.start() as session:
        session.proxy.set_application(sluice.Proxy())
        with connect(session, address, trust) as sock:
            receive(sock, request, out)


def receive(sock, request, out):
    # What the sidecar holds for us is limited: it reads on as we do.
    sock.set_read_buffer_size(1 << 20)
    sock.sendall(request.encode("ascii"))
    status, fields = read_header(sock)
    if not re.match(r"HTTP/\d\.\d 200 ", status):
        raise SystemExit(f"http_get.py: {status}")

    expected = int(fields.get("content-length", -1))
    received = 0
    for chunk in sock.chunks():
        out.write(chunk)
        received += len(chunk)
        if received == expected:
            break
    if expected >= 0 and received != expected:
        raise SystemExit(f"http_get.py: {received} of {expected} bytes came")


def main():
    parser = argparse.ArgumentParser(description="Fetches one file over HTTP or HTTPS.")
    parser.add_argument("-o", metavar="FILE", dest="output", help="where to write it (else standard output)")
    parser.add_argument("--trust", metavar="FILE", default="", help="certificates to trust (else the system's)")
    parser.add_argument("url", metavar="http[s]://HOST[:PORT]/PATH")
    options = parser.parse_args()
    try:
        if options.output:
            with open(options.output, "wb") as out:
                fetch(options.url, out, options.trust)
        else:
            fetch(options.url, sys.stdout.buffer, options.trust)
    except sluice.SluiceError as error:
        raise SystemExit(f"http_get.py: {error}")


if __name__ == "__main__":
    main()
