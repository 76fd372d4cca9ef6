#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# startup.sh PRELOAD_LIBRARY STARTUP_COST — promise: a program that opens nothing in a root loads the thin library and
# nothing else, makes no file, and starts less than a millisecond later. Compares short programs with and without it.
set -eu

# Tests that run beside this one make files in /dev/shm: in an own one, where we may, no file is theirs.
if [ -z "${NVMMIO_STARTUP_ENCLOSED:-}" ] && unshare -m true 2>/dev/null; then
    exec env NVMMIO_STARTUP_ENCLOSED=1 unshare -m sh -c 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec sh "$@"' sh "$0" "$@"
fi

library=$1
cost=$2
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

# Neither in the root nor beside it nor in /dev/shm. (The dynamic linker's notes of the runs above are ours.)
rm -f "$root"/debug.* "$root"/with* "$root"/all "$root"/copy
names() {
    ls -A "$root" "$NVMMIO_ROOT"
    ls -A /dev/shm | grep '^nvmmio-[0-9]*-' || true
}
before=$(names)
for program in /bin/true "/bin/cat $root/outside" "/bin/ls -lR $root"; do
    # shellcheck disable=SC2086
    LD_PRELOAD=$library $program >/dev/null
done
if [ "$before" != "$(names)" ]; then
    echo "FAIL: a file was made:"
    names
    failed=1
fi

# With a root, and without: then every file on a DAX mount is managed.
"$cost" "$library" /bin/true || failed=1
"$cost" "$library" /bin/cat "$root/outside" || failed=1
(unset NVMMIO_ROOT && "$cost" "$library" /bin/cat "$root/outside") || failed=1
[ $failed = 0 ] && echo "startup: only the thin library is loaded, and no file made"
exit $failed
