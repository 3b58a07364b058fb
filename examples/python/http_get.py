#!/usr/bin/env python3
"""Fetches one file over HTTP, with the blocking face of the client.

    http_get.py [-o FILE] http://HOST[:PORT]/PATH
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


def fetch(url, out):
    address = urllib.parse.urlsplit(url)
    path = urllib.parse.urlunsplit(("", "", address.path or "/", address.query, ""))
    request = f"GET {path} HTTP/1.0\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n"

    with sluice.start() as session, session.connect_tcp(address.hostname, address.port or 80) as sock:
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
    parser = argparse.ArgumentParser(description="Fetches one file over HTTP.")
    parser.add_argument("-o", metavar="FILE", dest="output", help="where to write it (else standard output)")
    parser.add_argument("url", metavar="http://HOST[:PORT]/PATH")
    options = parser.parse_args()
    try:
        if options.output:
            with open(options.output, "wb") as out:
                fetch(options.url, out)
        else:
            fetch(options.url, sys.stdout.buffer)
    except sluice.SluiceError as error:
        raise SystemExit(f"http_get.py: {error}")


if __name__ == "__main__":
    main()
