#!/usr/bin/env bash
# Tests the C library: run.sh BUILD_DIR INCLUDE_DIR [NAME…] compiles each program in tests/ against libsluice.so and the header, and
# runs it as a process of its own under a time limit. The checks of the library file itself are in check_* below.
# CC and CXX name the compilers, TEST_LIMIT the seconds for each test.
set -uo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 BUILD_DIR INCLUDE_DIR [NAME…]" >&2
    exit 2
fi
build=$(cd "$1" && pwd) || exit 2
include=$(cd "$2" && pwd) || exit 2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
cc=${CC:-cc}
limit=${TEST_LIMIT:-120}
library=$build/libsluice.so
[ -f "$library" ] || { echo "run.sh: there is no $library" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/lib" "$work/tmp"
# Programs look for the library by its soname.
ln -s "$library" "$work/lib/libsluice.so"
ln -s "$library" "$work/lib/libsluice.so.0"
export TMPDIR=$work/tmp

# The functions that the header declares.
declared() { grep -oE '\bsluice_[a-z0-9_]+\(' "$include/sluice.h" | tr -d '(' | sort -u | grep -xFf <(
    sed -n '/^SLUICE_API/,/;/p' "$include/sluice.h" | grep -oE '\bsluice_[a-z0-9_]+\(' | tr -d '(' | sort -u); }
exported() { nm -D --defined-only "$library" | awk '{ print $3 }' | sed 's/@.*//' | sort -u; }

check_header_c99() { "$cc" -std=c99 -Wall -Wextra -pedantic -Werror -fsyntax-only -x c -I "$include" - <<<'#include "sluice.h"'; }

check_header_cxx() {
    local cxx=${CXX:-}
    for candidate in c++ g++ clang++; do
        [ -n "$cxx" ] || ! command -v "$candidate" >/dev/null || cxx=$candidate
    done
    [ -n "$cxx" ] || { echo 'there is no C++ compiler: set CXX'; return 1; }
    "$cxx" -std=c++11 -Wall -Wextra -pedantic -Werror -fsyntax-only -x c++ -I "$include" - <<<'#include "sluice.h"'
}

check_exports() {
    diff <(declared) <(exported | grep -v '^SLUICE') >"$work/exports" && return
    echo 'declared (<) and exported (>) differ:'
    cat "$work/exports"
    return 1
}

# Nothing of Swift may be needed on the machine of a user.
check_needed() {
    local needed
    needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    if grep -iE 'swift|foundation|dispatch|blocksruntime' <<<"$needed"; then return 1; fi
    if ldd "$library" | grep -iE 'swift|foundation|not found'; then return 1; fi
}

check_dynamic_section() {
    readelf -d "$library" >"$work/dynamic"
    grep -q 'SONAME.*\[libsluice\.so\.0\]' "$work/dynamic" || { echo 'no soname libsluice.so.0'; return 1; }
    grep -q 'NODELETE' "$work/dynamic" || { echo 'not marked as never to be unloaded'; return 1; }
    if grep -E '(RPATH|RUNPATH).*/' "$work/dynamic" | grep -vF '[$ORIGIN]'; then
        echo 'a path of the build machine is left in the library'
        return 1
    fi
}

# The walk over all functions with handles that are no good must not forget one.
check_every_function_is_tested() {
    local name missing=0
    for name in $(declared); do
        grep -qwE "$name" "$here"/tests/*.c || { echo "no test calls $name"; missing=1; }
    done
    return $missing
}

run_program() {
    local source=$here/tests/$1.c
    "$cc" -std=c99 -Wall -Wextra -pedantic -Werror -g -pthread -I "$include" -o "$work/$1" "$source" -L "$work/lib" -lsluice -ldl \
        -Wl,-rpath,"$work/lib" || return
    mkdir "$work/tmp/$1"
    LIBSLUICE=$library TMPDIR=$work/tmp/$1 timeout --kill-after=5 "$limit" "$work/$1"
    local status=$?
    if [ $status -eq 124 ] || [ $status -eq 137 ]; then echo "no end within $limit s"; fi
    rm -rf "$work/tmp/$1" "${work:?}/$1"
    return $status
}

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    names=(check_header_c99 check_header_cxx check_exports check_needed check_dynamic_section check_every_function_is_tested)
    for source in "$here"/tests/*.c; do names+=("$(basename "$source" .c)"); done
fi

passed=0
failed=0
for name in "${names[@]}"; do
    if [[ $name == check_* ]]; then "$name" >"$work/log" 2>&1; else run_program "$name" >"$work/log" 2>&1; fi
    status=$?
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name (status $status)"
        sed 's/^/    /' "$work/log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
