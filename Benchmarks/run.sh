#!/usr/bin/env bash
# Measures sluice: `run.sh [PEERS] [ARGUMENT…]`, or `make bench` with PEERS=folder. Builds release and the programs first.
# PEERS is a folder of benchmark peers with a run.py that takes `--extra FILE` (the contract of sluice.json); without one sluice is
# measured beside the programs in baseline/. The arguments go on to run.py or measure.py (--rounds 3, --only tcp_rtt_1core, …).
# CC, SWIFT and PYTHON name the programs to use.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
python=${PYTHON:-python3}
cc=${CC:-$("$root/.ci/cc")}

if [ $# -gt 0 ] && [ -d "$1" ]; then
    PEERS=$1
    shift
fi

(cd "$root" && ${SWIFT:-swift} build -c release)
release=$root/.build/release
programs=$root/.build/bench
mkdir -p "$programs"
# Programs look for the library by its soname.
ln -sf ../release/libsluice.so "$programs/libsluice.so.0"

flags=(-std=gnu11 -O2 -Wall -Wextra -pedantic -I "$here/programs")
"$cc" "${flags[@]}" -I "$root/include" -o "$programs/sluice_bench" \
    "$here"/programs/{sluice_bench,sluice_event,sluice_blocking,sluice_tls,bench}.c -L "$release" -lsluice -Wl,-rpath,'$ORIGIN'
"$cc" "${flags[@]}" -o "$programs/baseline" "$here/baseline/baseline.c" "$here/programs/bench.c"
"$cc" "${flags[@]}" -I "$root/include" -o "$programs/sluice_datagrams" "$here"/programs/{sluice_datagrams,bench}.c \
    -L "$release" -lsluice -Wl,-rpath,'$ORIGIN'
"$cc" "${flags[@]}" -o "$programs/datagrams" "$here/baseline/datagrams.c" "$here/programs/bench.c"
"$cc" "${flags[@]}" -o "$programs/rpc_load" "$here/baseline/rpc_load.c" "$here/programs/bench.c"
# shellcheck disable=SC2046
"$cc" "${flags[@]}" $(pkg-config --cflags openssl) -o "$programs/tls" "$here"/{baseline/tls,programs/bench}.c $(pkg-config --libs openssl)
# shellcheck disable=SC2046
"$cc" "${flags[@]}" $(pkg-config --cflags jansson) -o "$programs/rpc_server" "$here/baseline/rpc_server.c" $(pkg-config --libs jansson)

if [ -n "${PEERS:-}" ]; then
    # Only sluice and what it is compared with, unless the caller names others.
    case " $* " in
        *' --peers '*) ;;
        *) set -- --peers raw_epoll,raw_blocking,raw_coalesce,raw_mmsg,raw_gso_gro,rpc_c_jansson,stdio_c_jansson,sluice_event,sluice_blocking,sluice_batch,sluiced,sluiced_stdio "$@" ;;
    esac
    exec "$python" "$PEERS/run.py" --extra "$here/sluice.json" --out "$programs/peers.json" "$@"
fi
exec "$python" "$here/measure.py" --programs "$programs" --sluiced "$release/sluiced" --out "$programs/results.json" "$@"
