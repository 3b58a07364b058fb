# A sidecar for bash scripts, to be sourced: `. sluice.bash`. Needs nothing but bash.
#
#     sluice_start                         a sidecar of our own; SLUICED names the program when it is not on the PATH
#     call METHOD PARAMS                   a request; its result is in $result
#     wait_for EVENT                       returns when an event of that name has come, perhaps already
#     quote TEXT                           prints TEXT as a JSON string
#     data_of JSON                         prints the bytes of a result that has "data" and "encoding"
#     sluice_end                           ends the sidecar, which closes what is open
#
# sluiced runs as a coprocess. A request is one line to its standard input; answers and events are lines from its standard
# output. An error ends the script with its text.

last_id=0
events=" " # the names of those that have come

die() {
    echo "${0##*/}: $1" >&2
    exit 1
}

sluice_start() {
    local sluiced
    sluiced=$(command -v "${SLUICED:-sluiced}") || die "there is no ${SLUICED:-sluiced}"
    coproc SIDECAR { exec "$sluiced" --stdio; }
    # Bash forgets these when the coprocess ends.
    sidecar=$SIDECAR_PID
    exec {to}>&"${SIDECAR[1]}" {from}<&"${SIDECAR[0]}" {SIDECAR[1]}>&- {SIDECAR[0]}<&-
}

quote() {
    local text=$1
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    printf '"%s"' "$text"
}

data_of() {
    [[ $1 =~ \"data\":\"(([^\"\\]|\\.)*)\" ]] || die "no data: $1"
    local text=${BASH_REMATCH[1]}
    if [[ $1 == *'"encoding":"base64"'* ]]; then
        base64 -d <<<"$text"
    else
        text=${text//\\\"/\"}
        text=${text//\\\//\/}
        printf '%b' "$text"
    fi
}

# The next message into $message; an event is noted down.
receive() {
    IFS= read -r -t 30 message <&"$from" || die "no answer from the sidecar"
    if [[ $message =~ \"method\":\"([^\"]*)\" ]]; then
        events+="${BASH_REMATCH[1]} "
    fi
    if [[ $message == *'"error":'* && $message =~ \"message\":\"([^\"]*)\" ]]; then
        die "${BASH_REMATCH[1]}"
    fi
}

# Events that were raised meanwhile come before the answer.
call() {
    local id=$((++last_id))
    printf '{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}\n' "$id" "$1" "$2" >&"$to"
    receive
    until [[ $message =~ \"id\":$id[,\}] ]]; do receive; done
    [[ $message =~ \"result\":(.*)\}$ ]] || die "not understood: $message"
    result=${BASH_REMATCH[1]}
}

wait_for() {
    until [[ $events == *" $1 "* ]]; do receive; done
}

sluice_end() {
    exec {to}>&-
    wait "$sidecar"
}
