#!/usr/bin/env python3
"""A chat: what one member types, all others see. With the asyncio face of the client.

    chat_server.py [PORT]          without a port, the system picks one

Talk to it with line_client.py, telnet or nc. The first line a member sends is its name.
"""

import asyncio
import sys

import sluice
from sluice import aio

# A member who does not read may have so much waiting, and is then shown out.
MOST_UNSENT = 1 << 20
LONGEST_LINE = 4096


class Chat:
    def __init__(self):
        self.members = {}

    async def say(self, text, apart_from=None):
        for member, name in list(self.members.items()):
            if member is apart_from:
                continue
            try:
                if await member.bytes_to_write() > MOST_UNSENT:
                    await member.abort()
                else:
                    await member.write(text.encode() + b"\n")
            except sluice.SluiceError:
                # It is gone; its own task sees that too, and takes leave of it.
                continue

    async def attend(self, member):
        """From the first line of a member to its last."""
        async with member:
            # A line that does not fit comes in pieces, so that nobody can fill our memory with one.
            await member.set_read_buffer_size(LONGEST_LINE)
            await member.write(b"Who are you?\n")
            lines = member.lines(timeout=-1)
            name = (await anext(lines, b"")).decode(errors="replace").strip()
            if not name:
                return
            self.members[member] = name
            await member.write(f"Welcome, {name}.\n".encode())
            await self.say(f"* {name} is here", apart_from=member)
            try:
                async for line in lines:
                    await self.say(f"{name}: {line.decode(errors='replace').rstrip()}", apart_from=member)
            finally:
                del self.members[member]
                await self.say(f"* {name} has left")

    async def attend_safely(self, member):
        try:
            await self.attend(member)
        except sluice.SocketError as error:
            print(f"chat_server.py: {error}", file=sys.stderr)

    async def serve(self, port):
        async with aio.start() as session, session.listen_tcp("any", port) as server:
            print(f"listening on port {await server.port()}", flush=True)
            async with asyncio.TaskGroup() as tasks:
                while True:
                    tasks.create_task(self.attend_safely(await server.accept(timeout=-1)))


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and not sys.argv[1].isdigit()):
        print("usage: chat_server.py [PORT]", file=sys.stderr)
        return 2
    try:
        asyncio.run(Chat().serve(int(sys.argv[1]) if len(sys.argv) == 2 else 0))
    except KeyboardInterrupt:
        return 0
    except sluice.SluiceError as error:
        print(f"chat_server.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
