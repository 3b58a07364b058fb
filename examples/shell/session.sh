#!/usr/bin/env bash
# A session with the sidecar in plain bash: sends a line to a server and prints the line that answers it.
#
#     session.sh HOST PORT LINE
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sluice.bash"

if [ $# -ne 3 ]; then
    echo "usage: session.sh HOST PORT LINE" >&2
    exit 2
fi

sluice_start
call tcpSocket.create '{}'
socket=$result
call socket.connectToHost "{\"handle\":$socket,\"host\":$(quote "$1"),\"port\":$2}"
wait_for socket.connected
call socket.write "{\"handle\":$socket,\"data\":$(quote "$3"$'\n')}"
wait_for socket.lineAvailable
call socket.readLine "{\"handle\":$socket}"
data_of "$result"
sluice_end
