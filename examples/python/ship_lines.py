#!/usr/bin/env python3
"""Ships each line of standard input to a server that comes and goes.

    ship_lines.py HOST PORT

The socket connects by itself, again and again, with growing pauses. What is written while nobody is there waits, up to a limit, and
goes out in order when the server is back; past the limit this program waits too, and with it whoever writes its input.
"""

import sys

import sluice

MOST_WAITING = 16 << 20


def ship(session, host, port):
    properties = {
        "hostname": host,
        "port": port,
        "writeBufferSize": MOST_WAITING,
        "reconnectDelay": {"first": 100, "ceiling": 10_000, "jitter": 50},
    }
    with session.tcp_socket(properties) as sock:
        sock.on_connected(lambda event: print("connected", file=sys.stderr))
        sock.on_error_occurred(lambda event: print(f"not now: {event.error}", file=sys.stderr))
        for line in sys.stdin.buffer:
            while line:
                # Takes what there is room for.
                line = line[sock.write(line) :]
                if line:
                    sock.sync(timeout=-1)
        sock.sync(timeout=-1)


def main():
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        print("usage: ship_lines.py HOST PORT", file=sys.stderr)
        return 2
    try:
        with sluice.start() as session:
            ship(session, sys.argv[1], int(sys.argv[2]))
    except sluice.SluiceError as error:
        print(f"ship_lines.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
