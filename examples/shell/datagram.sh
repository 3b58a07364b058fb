#!/usr/bin/env bash
# Sends a datagram, and prints the one that answers it and who sent that.
#
#     datagram.sh HOST PORT TEXT
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sluice.bash"

if [ $# -ne 3 ]; then
    echo "usage: datagram.sh HOST PORT TEXT" >&2
    exit 2
fi

sluice_start
call udpSocket.create '{}'
socket=$result
call socket.connectToHost "{\"handle\":$socket,\"host\":$(quote "$1"),\"port\":$2}"
call socket.waitForConnected "{\"handle\":$socket}"
call udpSocket.writeDatagram "{\"handle\":$socket,\"data\":$(quote "$3")}"
# Datagrams may be lost: nobody waits for one without a limit.
call socket.waitForReadyRead "{\"handle\":$socket,\"timeout\":5000}"
call udpSocket.readDatagram "{\"handle\":$socket}"
data_of "$result"
[[ $result =~ \"senderAddress\":\"([^\"]*)\" ]] && echo " (from ${BASH_REMATCH[1]})"
sluice_end
