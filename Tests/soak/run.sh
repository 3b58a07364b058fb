#!/usr/bin/env bash
# Runs that are long enough to show what leaks, what is lost and what gets out of order: `run.sh [--short]`.
# SLUICE_BUILD and SLUICE_INCLUDE say where the library and its header are, SLUICED which sidecar, CC which compiler.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${SLUICE_BUILD:-$root/.build/release}
include=${SLUICE_INCLUDE:-$root/include}
export SLUICED=${SLUICED:-$build/sluiced}
export PYTHONPATH=$root/bindings/python/src${PYTHONPATH:+:$PYTHONPATH}

# Connections at once, connections in a row, MiB through one; the sidecar's connections at once and in a row.
many=1000 cycles=100000 stream=10240 handles=400 sidecar_cycles=20000
if [ "${1:-}" = --short ]; then many=200 cycles=2000 stream=256 handles=200 sidecar_cycles=500; fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The library is asked for by its soname, whatever the file here is called.
ln -s "$build/libsluice.so" "$folder/libsluice.so.0"
export LD_LIBRARY_PATH=$folder
"${CC:-cc}" -std=gnu99 -O2 -Wall -Wextra -Werror -I"$include" "$here/soak.c" -o "$folder/soak" "$folder/libsluice.so.0" || exit 1
# Both ends of every connection are in one process.
ulimit -n $((2 * many + 100)) 2>/dev/null || true

passed=0 failed=0
run() {
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL ${*##*/}"; fi
}
run "$folder/soak" many "$many"
run "$folder/soak" cycles "$cycles"
run "$folder/soak" stream "$stream"
run python3 "$here/soak_sidecar.py" "$handles" "$sidecar_cycles"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
