#!/usr/bin/env python3
"""Finds services on the local network, by multicast.

    discover.py offer NAME PORT [--interface NAME]      answers whoever asks, until it is interrupted
    discover.py find [NAME...] [--interface NAME] [--wait MS]
                                                        asks, and prints who answers: name, address and port; ends when all those
                                                        names were found, or nobody answers any more

A question is one datagram to a group, and every service answers with one datagram to who asked. Datagrams may be lost, so the question
is asked a few times.
"""

import argparse
import json
import sys

import sluice

GROUP = "239.255.76.68"
PORT = 7668
QUESTION = b"who is there?"


def offer(session, options):
    # Several services of one machine share the address.
    with session.bind_udp("AnyIPv4", PORT, sluice.BindMode.SHARE_ADDRESS) as sock:
        sock.join_multicast_group(GROUP, options.interface)
        answer = json.dumps({"name": options.name, "port": options.port}).encode()
        print("offering", flush=True)
        for question in sock.datagrams(timeout=-1):
            if question.data == QUESTION:
                sock.write_datagram(answer, *question.sender)


def find(session, options):
    found = set()
    wanted = set(options.names)
    with session.bind_udp("AnyIPv4") as sock:
        sock.set_multicast_interface(options.interface or "")
        for _ in range(3):
            sock.write_datagram(QUESTION, GROUP, PORT)
            try:
                for answer in sock.datagrams(options.wait):
                    report(answer, found)
                    if wanted and wanted <= {name for name, _, _ in found}:
                        return 0
            except sluice.SocketTimeoutError:
                continue
    return 0 if found and not wanted else 1


def report(answer, found):
    try:
        said = json.loads(answer.data)
        service = said["name"], answer.sender_address, int(said["port"])
    except (ValueError, KeyError, TypeError):
        return  # Somebody says something else at this address.
    if service not in found:
        found.add(service)
        print(*service, flush=True)


def main():
    parser = argparse.ArgumentParser(description="Finds services on the local network.")
    modes = parser.add_subparsers(dest="mode", required=True)
    offering = modes.add_parser("offer", help="answer whoever asks")
    offering.add_argument("name", metavar="NAME")
    offering.add_argument("port", metavar="PORT", type=int)
    finding = modes.add_parser("find", help="ask, and print who answers")
    finding.add_argument("names", metavar="NAME", nargs="*")
    finding.add_argument("--wait", metavar="MS", type=int, default=500, help="how long to wait for another answer")
    for mode in (offering, finding):
        mode.add_argument("--interface", metavar="NAME", help="the network interface (else the system chooses)")
    options = parser.parse_args()
    try:
        with sluice.start() as session:
            return (offer if options.mode == "offer" else find)(session, options)
    except KeyboardInterrupt:
        return 0
    except sluice.SluiceError as error:
        print(f"discover.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
