#!/usr/bin/env bash
# A session with the sidecar in plain bash: sends a line to a server and prints the line that answers it.
#
#     session.sh HOST PORT LINE
#
# sluiced runs as a coprocess. A request is one line to its standard input; answers and events are lines from its standard
# output. SLUICED names the program when it is not on the PATH.
set -euo pipefail

if [ $# -ne 3 ]; then
    echo "usage: session.sh HOST PORT LINE" >&2
    exit 2
fi

sluiced=$(command -v "${SLUICED:-sluiced}") || { echo "session.sh: there is no ${SLUICED:-sluiced}" >&2; exit 1; }
coproc SIDECAR { exec "$sluiced" --stdio; }
# Bash forgets these when the coprocess ends.
sidecar=$SIDECAR_PID
exec {to}>&"${SIDECAR[1]}" {from}<&"${SIDECAR[0]}" {SIDECAR[1]}>&- {SIDECAR[0]}<&-

last_id=0
events=" " # the names of those that have come

die() {
    echo "session.sh: $1" >&2
    exit 1
}

# quote TEXT: TEXT as a JSON string.
quote() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    printf '"%s"' "$text"
}

# receive: the next message into $message; an event is noted down, and an error ends the script with its text.
receive() {
    IFS= read -r -t 30 message <&"$from" || die "no answer from the sidecar"
    if [[ $message =~ \"method\":\"([^\"]*)\" ]]; then
        events+="${BASH_REMATCH[1]} "
    fi
    if [[ $message == *'"error":'* && $message =~ \"message\":\"([^\"]*)\" ]]; then
        die "${BASH_REMATCH[1]}"
    fi
}

# call METHOD PARAMS: sends a request and leaves its result in $result. Events that were raised meanwhile come first.
call() {
    local id=$((++last_id))
    printf '{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}\n' "$id" "$1" "$2" >&"$to"
    receive
    until [[ $message =~ \"id\":$id[,\}] ]]; do receive; done
    [[ $message =~ \"result\":(.*)\}$ ]] || die "not understood: $message"
    result=${BASH_REMATCH[1]}
}

# wait_for EVENT: returns when the event has come, perhaps already.
wait_for() {
    until [[ $events == *" $1 "* ]]; do receive; done
}

call tcpSocket.create '{}'
socket=$result
call socket.connectToHost "{\"handle\":$socket,\"host\":$(quote "$1"),\"port\":$2}"
wait_for socket.connected
call socket.write "{\"handle\":$socket,\"data\":$(quote "$3"$'\n')}"
wait_for socket.lineAvailable
call socket.readLine "{\"handle\":$socket}"
[[ $result =~ \"data\":\"(.*)\\n\" ]] || die "no line: $result"
line=${BASH_REMATCH[1]//\\\"/\"}
printf '%b\n' "$line"

# The end of its input ends the sidecar, which closes what is open.
exec {to}>&-
wait "$sidecar"
