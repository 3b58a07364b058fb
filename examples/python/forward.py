#!/usr/bin/env python3
"""Forwards every connection to another place. With the asyncio face of the client.

    forward.py PORT HOST PORT          PORT 0: the system picks one

This program directs, and none of the bytes comes to it: a relay moves them inside the sidecar, and on plain connections not even that,
but inside the system.
"""

import asyncio
import sys

import sluice
from sluice import aio


# Who sends no more may still want an answer.
HALF_OPEN = {"allowHalfOpen": True}


async def forward(session, descriptor, host, port):
    try:
        async with session.tcp_socket(HALF_OPEN) as client, session.tcp_socket(HALF_OPEN) as server:
            await client.set_descriptor(descriptor)
            await server.connect_to_host(host, port)
            if not await server.wait_for_connected():
                print(f"forward.py: {await server.error_string()}", file=sys.stderr)
                return
            async with session.relay(client, server) as relay:
                event = await relay.events().get()
                if event is not None:
                    print("%d bytes there, %d back" % event.counters, flush=True)
    except sluice.SocketError as error:
        print(f"forward.py: {error}", file=sys.stderr)


async def serve(own_port, host, port):
    async with aio.start() as session, session.tcp_server() as server:
        # Bare connections: their sockets shall be half open from the beginning.
        await server.set_incoming_handler()
        incoming = server.events()
        await server.listen("any", own_port)
        print(f"listening on port {await server.port()}", flush=True)
        async with asyncio.TaskGroup() as tasks:
            async for event in incoming:
                if event.name == "incomingConnection":
                    tasks.create_task(forward(session, event.descriptor, host, port))


def main():
    if len(sys.argv) != 4 or not sys.argv[1].isdigit() or not sys.argv[3].isdigit():
        print("usage: forward.py PORT HOST PORT", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
    except KeyboardInterrupt:
        return 0
    except sluice.SluiceError as error:
        print(f"forward.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
