#!/usr/bin/env python3
"""Sends each line of standard input to a server and prints each line the server sends, with callbacks.

    line_client.py HOST PORT

Callbacks run on a thread of the client's own, so this program can wait for its input meanwhile. At the end of the input it tells
the server so (half close), and ends when the server has closed too.
"""

import sys
import threading

import sluice


def talk(sock, host, port):
    ended = threading.Event()

    def print_lines(event):
        while event.source.can_read_line():
            sys.stdout.buffer.write(event.source.read_line())
        sys.stdout.flush()

    sock.on_line_available(print_lines)
    sock.on_disconnected(lambda event: ended.set())
    sock.connect_to_host(host, port)
    if not sock.wait_for_connected():
        print(f"line_client.py: {sock.error_string()}", file=sys.stderr)
        return 1

    for line in sys.stdin.buffer:
        sock.sendall(line)
    sock.shutdown_write()
    ended.wait()
    # What came last without a newline.
    sys.stdout.buffer.write(sock.read_all())
    sys.stdout.flush()
    return 0


def main():
    if len(sys.argv) != 3:
        print("usage: line_client.py HOST PORT", file=sys.stderr)
        return 2
    try:
        with sluice.start() as session, session.tcp_socket() as sock:
            return talk(sock, sys.argv[1], int(sys.argv[2]))
    except sluice.SluiceError as error:
        print(f"line_client.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
