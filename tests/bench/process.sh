#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# process.sh — a psync process is an ordinary program, interrupts end a run with a report, and a job that is killed is
# told and hangs nobody.

. "$(dirname "$0")/common.sh"

long=(--directory="$dir" --rw=randwrite --bs=4k --size=1m --time_based --runtime=20)

# Runs nvbench in the background until its files are there; its process id is in $bench.
start() {
    "$NVBENCH" "$@" >"$dir/.out" 2>"$dir/.err" &
    bench=$!
    for _ in $(seq 100); do
        sleep 0.05
        [ "$(stat -c %s "$dir"/*.0.0 2>/dev/null | sort -n | head -1)" = 1048576 ] && break
    done
    sleep 0.3
}

children() {
    for stat in /proc/[0-9]*/stat; do
        # The name, in parentheses, may hold anything but ends before the last ")".
        { line=$(<"$stat"); } 2>/dev/null || continue
        set -- ${line##*) }
        [ "${2:-}" = "$bench" ] && basename "${stat%/stat}"
    done
}

# Only the engine that needs a library has it.
for engine in psync mmap libpmem; do
    start "${long[@]}" --name=$engine --ioengine=$engine
    check "$engine has libnvmmio" "$(grep -c libnvmmio "/proc/$bench/maps")" -eq 0
    if [ $engine = libpmem ]; then
        check "$engine without libpmem" "$(grep -c libpmem "/proc/$bench/maps")" -gt 0
    else
        check "$engine has libpmem" "$(grep -c libpmem "/proc/$bench/maps")" -eq 0
    fi
    kill -INT "$bench"
    wait "$bench"
    check "status after an interrupt" $? -eq 0
    check "report after an interrupt" "$(grep -c IOPS= "$dir/.out")" -eq 1
    rm -f "$dir"/*.0.0
done

# One of two processes is killed.
start "${long[@]}" --name=killed --numjobs=2 --thread=0
victim=$(children | head -1)
kill -KILL "$victim"
for child in $(children); do
    kill -INT "$child"
done
kill -INT "$bench"
wait "$bench"
check "status after a kill" $? -eq 1
check "message after a kill" "$(grep -c 'killed by signal 9' "$dir/.err")" -eq 1

finish
