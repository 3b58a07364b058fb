#!/usr/bin/env bash
# Runs every test of the project, one runner after another, and ends with one line for each: `run-all.sh [STEP…]` runs only these.
# What a runner prints goes to .build/logs/STEP.log, and to the terminal too when it fails (or always, with V=1).
# SWIFT, PYTHON and CC name the programs to use; STEP_LIMIT bounds each runner, in seconds.
set -uo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
python=${PYTHON:-python3}
limit=${STEP_LIMIT:-900}
logs=$PWD/.build/logs

# What the runners are told: where the products are, and which compiler builds their C programs.
export SLUICE_BUILD=$PWD/.build/release
export SLUICE_INCLUDE=$PWD/include
export SLUICED=$SLUICE_BUILD/sluiced
export LIBSLUICE=$SLUICE_BUILD/libsluice.so
export PYTHONPATH=$PWD/bindings/python/src${PYTHONPATH:+:$PYTHONPATH}
export PYTHONDONTWRITEBYTECODE=1
CC=$(.ci/cc) || { echo 'run-all: no C compiler' >&2; exit 1; }
export CC

steps=(swift c rpc python parity conformance-driver conformance-rpc conformance-c examples install netns soak)

unit_tests() { "$python" -m unittest discover --start-directory "$1" --top-level-directory "$1"; }

# All of it goes to swift.full.log; what passed is left out of what is shown. SwiftPM would take CC for its own clang.
swift_tests() {
    env -u CC "$swift" test --disable-xctest 2>&1 | tee "$logs/swift.full.log" | grep -avE '^(◇|↳|✔ Suite|✔ Test ([^ ]+\(|")|\[)'
    local status=${PIPESTATUS[0]}
    if grep -E '/(Sources|Tests|examples)/.*: warning:' "$logs/swift.full.log"; then
        echo 'warnings count as errors'
        return 1
    fi
    return "$status"
}

run_step() {
    case $1 in
        swift) swift_tests ;;
        c) Tests/SluiceABITests/run.sh "$SLUICE_BUILD" "$SLUICE_INCLUDE" ;;
        rpc) unit_tests Tests/SluiceRPCTests ;;
        python) unit_tests bindings/python/tests ;;
        parity) unit_tests Tests/parity ;;
        conformance-driver) unit_tests Tests/conformance ;;
        conformance-rpc) conformance rpc ;;
        conformance-c) conformance c ;;
        examples) unit_tests Tests/examples ;;
        install) unit_tests Tests/install ;;
        netns) unit_tests Tests/netns ;;
        soak) Tests/soak/run.sh --short ;;
        *) echo "run-all: no step is called $1 (there are: ${steps[*]})" >&2; return 2 ;;
    esac
}

conformance() {
    "$python" Tests/conformance/run.py --face "$1" --area tcp-client,tcp-server,udp,local,buffering,options,waitfor,errors,descriptor,proxy \
        --library "$LIBSLUICE" --sidecar "$SLUICED"
}

# The line by which a runner sums itself up: unittest's are two, swift test's is not the last one.
closing_line() {
    local log=$1 line
    line=$(grep -aE '^Ran [0-9]+ tests? in ' "$log" | tail -n 1)
    if [ -n "$line" ]; then
        echo "$line: $(grep -aE '^(OK|FAILED|NO TESTS RAN)' "$log" | tail -n 1)"
        return
    fi
    line=$(grep -aE 'Test run with [0-9]+ test' "$log" | tail -n 1)
    [ -n "$line" ] || line=$(grep -av '^[[:space:]]*$' "$log" | tail -n 1)
    echo "${line#"${line%%[![:space:]]*}"}"
}

# Every step runs as a process of its own under a time limit, so that a hang is a failure and not a wait without end.
if [ "${1:-}" = --step ]; then
    run_step "$2"
    exit
fi

mkdir -p "$logs"
[ $# -eq 0 ] || steps=("$@")
summary=()
failed=0
for step in "${steps[@]}"; do
    printf '== %s\n' "$step"
    log=$logs/$step.log
    started=$SECONDS
    if [ "${V:-0}" = 1 ]; then
        timeout --kill-after=10 "$limit" "$0" --step "$step" 2>&1 | tee "$log"
        status=${PIPESTATUS[0]}
    else
        timeout --kill-after=10 "$limit" "$0" --step "$step" >"$log" 2>&1
        status=$?
    fi
    # A folder in which no test is found must not pass for one in which all passed.
    if [ "$status" -eq 0 ] && grep -qaE '^Ran 0 tests in ' "$log"; then
        status=5
    fi
    case $status in
        0) verdict=ok ;;
        124 | 137) verdict="FAILED (no end within $limit s)" ;;
        *) verdict="FAILED (status $status)" ;;
    esac
    if [ "$status" -ne 0 ]; then
        failed=$((failed + 1))
        [ "${V:-0}" = 1 ] || tail -n 120 "$log"
    fi
    line=$(printf '%-18s %-8s %4d s  %s' "$step" "$verdict" $((SECONDS - started)) "$(closing_line "$log")")
    summary+=("$line")
    printf '%s\n' "$line"
done

printf '\n'
printf '%s\n' "${summary[@]}" | tee "$logs/summary"
if [ "$failed" -eq 0 ]; then
    echo "all ${#steps[@]} runners passed"
else
    echo "$failed of ${#steps[@]} runners failed: see ${logs#"$PWD"/}"
fi | tee -a "$logs/summary"
[ "$failed" -eq 0 ]
