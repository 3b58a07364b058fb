#!/usr/bin/env python3
"""Sends each line of standard input to a server and prints each line the server sends, with callbacks.

    line_client.py HOST PORT

Callbacks run on a thread of the client's own, so this program can wait for its input meanwhile. At the end of the input it tells
the server so (half close), and ends when the server has sent all.
"""

import sys
import threading

import sluice


def main():
    if len(sys.argv) != 3:
        print("usage: line_client.py HOST PORT", file=sys.stderr)
        return 2
    host, port = sys.argv[1], int(sys.argv[2])
    ended = threading.Event()

    def print_lines(event):
        while event.source.can_read_line():
            sys.stdout.buffer.write(event.source.read_line())
        sys.stdout.flush()

    def finish(event):
        ended.set()

    try:
        with sluice.start() as session, session.connect_tcp(host, port) as sock:
            sock.on_line_available(print_lines)
            sock.on_read_channel_finished(finish)
            for line in sys.stdin.buffer:
                sock.sendall(line)
            sock.shutdown_write()
            ended.wait()
            sys.stdout.buffer.write(sock.read_all())
            sys.stdout.flush()
    except sluice.SluiceError as error:
        print(f"line_client.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
