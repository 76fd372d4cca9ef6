#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# startup.sh PRELOAD_LIBRARY — promise: a program that opens nothing in a root loads the thin library and nothing else.
# Compares the libraries that short programs load with and without it.
set -eu

library=$1
root=$(mktemp -d /dev/shm/nvmmio-startup.XXXXXX)
trap 'rm -rf "$root"' EXIT
export NVMMIO_ROOT="$root/root"
mkdir "$NVMMIO_ROOT"
echo text >"$root/outside"
failed=0

# loaded PRELOADED PROGRAM ARGUMENT...: what the dynamic linker initialised in a run of the program, sorted.
loaded() {
    preloaded=$1
    shift
    rm -f "$root"/debug.*
    LD_PRELOAD=$preloaded LD_DEBUG=files LD_DEBUG_OUTPUT="$root/debug" "$@" >/dev/null
    sed -n 's/.*calling init: //p' "$root"/debug.* | sort -u
}

check() {
    loaded "" "$@" >"$root/without"
    loaded "$library" "$@" >"$root/all"
    grep -v "^$library\$" "$root/all" >"$root/with" || true
    if ! grep -q "^$library\$" "$root/all"; then
        echo "FAIL: $1 does not load $library"
        failed=1
    fi
    if ! cmp -s "$root/without" "$root/with"; then
        echo "FAIL: $1 loads other libraries under the preload:"
        diff "$root/without" "$root/with" || true
        failed=1
    fi
}

check /bin/true
check /bin/cat "$root/outside"
check /bin/ls -l "$root"
check /bin/ls -l "$NVMMIO_ROOT"
check /bin/cp "$root/outside" "$root/copy"

# And as the kernel sees it.
if LD_PRELOAD="$library" cat /proc/self/maps | grep -E 'libpmem|libnvmmio\.so|jemalloc|urcu'; then
    echo "FAIL: cat maps more than the thin library"
    failed=1
fi
if ! LD_PRELOAD="$library" cat /proc/self/maps | grep -q "$(basename "$library")"; then
    echo "FAIL: cat does not map the thin library"
    failed=1
fi
[ $failed = 0 ] && echo "startup: only the thin library is loaded"
exit $failed
