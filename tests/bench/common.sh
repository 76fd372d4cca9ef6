# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# common.sh — for the shell tests of nvbench: $NVBENCH is the program, $dir a directory that is removed at the end.

set -u
NVBENCH=${NVBENCH:?the path of nvbench}
dir=$(mktemp -d /dev/shm/nvbench-test.XXXXXX)
trap 'rm -rf "$dir"' EXIT
failures=0

# The engine to test: one of nvbench, with files in a managed directory; "preload" is psync under the interposer.
case ${1:-psync} in
preload)
    engine=psync
    export NVMMIO_ROOT=$dir
    NVBENCH_PRELOAD=${NVMMIO_PRELOAD:?the path of libnvmmio_preload.so}
    ;;
*)
    engine=${1:-psync}
    export NVMMIO_ROOT=$dir
    NVBENCH_PRELOAD=
    ;;
esac

# expect STATUS TEXT COMMAND...: the command ends with STATUS, and what it says on standard error contains TEXT.
expect() {
    local wanted=$1 text=$2 status=0
    shift 2
    env LD_PRELOAD="$NVBENCH_PRELOAD" "$@" >"$dir/.out" 2>"$dir/.err" || status=$?
    if [ "$status" -ne "$wanted" ] || { [ -n "$text" ] && ! grep -qF -- "$text" "$dir/.err"; }; then
        echo "FAIL: status $status (wanted $wanted, \"$text\"): $*"
        head -5 "$dir/.err"
        failures=$((failures + 1))
    fi
}

# check TEXT CONDITION...: a test(1) condition.
check() {
    local text=$1
    shift
    if ! test "$@"; then
        echo "FAIL: $text: test $*"
        failures=$((failures + 1))
    fi
}

finish() {
    [ "$failures" -eq 0 ] && echo "ok"
    exit "$((failures > 0))"
}
