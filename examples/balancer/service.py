#!/usr/bin/env python3
"""One of many processes that serve the same port behind a load balancer.

    service.py PORT

Each process listens at the port by itself, and the system spreads the connections over them (ReusePort). The balancer says in front
of each connection whose it is (PROXY protocol), so the service knows its clients' addresses and not the balancer's.
"""

import asyncio
import os
import sys

import sluice
from sluice import aio


async def attend(client):
    try:
        async with client:
            await client.write(f"you are {await client.peer_address()}:{await client.peer_port()}, I am {os.getpid()}\n".encode())
    except sluice.SocketError as error:
        print(f"service.py: {error}", file=sys.stderr)


async def serve(port):
    async with aio.start() as session, session.tcp_server({"proxyProtocol": True}) as server:
        await server.listen("127.0.0.1", port, sluice.BindMode.REUSE_PORT)
        print("ready", flush=True)
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(attend(await server.accept(timeout=-1)))


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        print("usage: service.py PORT", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(int(sys.argv[1])))
    except KeyboardInterrupt:
        return 0
    except sluice.SluiceError as error:
        print(f"service.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
