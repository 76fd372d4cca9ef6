#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# bench.sh — builds nvmmio and compares it, side by side on an emulated PM directory (tmpfs), with the kernel and with
# the raw limit; on a fresh Debian 12 machine too, where it installs what is missing (as root, or with sudo).
#
#   scripts/bench.sh            about two and a half minutes
#   scripts/bench.sh --quick    about one minute, less sure
#   scripts/bench.sh --full     about fifteen minutes, larger files
#   scripts/bench.sh --dir=DIR  emulated PM in this directory of a tmpfs (default: /dev/shm)
#
#   kernel    pread, pwrite, fsync
#   preload   the same program under libnvmmio_preload.so
#   api       nvpread, nvpwrite, nvfsync
#   limit     pmem_memcpy and drain per write, memcpy per read, nothing to sync: what the memory itself allows
#
# Rounds are interleaved (each way once per round) and ratios are taken within a round, since machines are noisy; the
# table shows medians. Environment: NVMMIO_BUILD (where to build; default: build), NVMMIO_JOBS.
# What the harness itself takes, measured with nvbench's null engine, is subtracted. The last line is the verdict. Exit status 0 if everything ran, whatever it measured.

set -u
cd "$(dirname "$0")/.." || exit 1
. scripts/packages.sh

build=${NVMMIO_BUILD:-build}/release
jobs=${NVMMIO_JOBS:-$(nproc)}
rounds=7
runtime=250ms
size=64
parent=/dev/shm
for option in "$@"; do
    case $option in
    --quick) rounds=5 runtime=100ms ;;
    --full) rounds=9 runtime=1s size=256 ;;
    --dir=*) parent=${option#--dir=} ;;
    *)
        sed -n '8,11s/^# *//p' "$0"
        exit 2
        ;;
    esac
done
# Files of three ways, two logs, and the file and log of the measurement of write amplification; MiB.
space=$((6 * size + 2 * 256 + 128))

fail() {
    echo "nvmmio: bench failed: $*"
    exit 1
}

# ---- build ----

echo "== packages"
packages_install || fail "packages are missing and could not be installed"
mkdir -p "$build" || fail "cannot write to $build"
echo "== build"
{
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF && ninja -C "$build" -j "$jobs"
} >"$build/bench.log" 2>&1 || {
    tail -n 40 "$build/bench.log"
    fail "it does not build ($build/bench.log)"
}
nvbench=$build/bin/nvbench
preload=$(realpath -m "$build/lib/libnvmmio_preload.so")
[ -e "$preload" ] || fail "there is no $preload"

# ---- emulated PM ----

pm=
mounted=
cleanup() {
    [ -n "$mounted" ] && umount "$pm"
    [ -n "$pm" ] && rm -rf "$pm"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[ "$(stat -f -c %T "$parent" 2>/dev/null)" = tmpfs ] || fail "$parent is no tmpfs"
if [ "$(df -Pm "$parent" | awk 'END { print $4 }')" -ge "$space" ]; then
    pm=$(mktemp -d "$parent/nvmmio-bench.XXXX") || fail "cannot write to $parent"
else
    pm=$(mktemp -d) && mount -t tmpfs -o size=${space}m nvmmio-bench "$pm" 2>/dev/null && mounted=1
    [ -n "$mounted" ] || fail "$parent has less than $space MiB, and another tmpfs could not be mounted (try --dir)"
fi
mkdir "$pm/kernel" "$pm/root" "$pm/limit"
export NVMMIO_ROOT=$pm/root
export NVMMIO_CONF=pm:force # what PM costs, though this is a tmpfs, where nothing would have to be made durable

# ---- the workloads ----

# title | file, MiB | options. Appending has a file of its own, since it leaves another size.
workloads=(
    "4 KiB random write|$size|--rw=randwrite --bs=4k"
    "4 KiB random read|$size|--rw=randread --bs=4k"
    "4 KiB random write, fsync each|$size|--rw=randwrite --bs=4k --fsync=1"
    "4 KiB random write, fsync each 32|$size|--rw=randwrite --bs=4k --fsync=32"
    "4 KiB random, 70% read|$size|--rw=randrw --rwmixread=70 --bs=4k"
    "4 KiB append|$size|--rw=append --bs=4k --filename=append --unlink"
    "64 KiB sequential write|$size|--rw=write --bs=64k"
    "64 KiB sequential read|$size|--rw=read --bs=64k"
    "512 B random write|$((size / 4))|--rw=randwrite --bs=512"
    "64 B random write|$((size / 8))|--rw=randwrite --bs=64"
    "4 KiB random write, 2 threads|$size|--rw=randwrite --bs=4k --numjobs=2 --group_reporting"
)
ways="kernel preload api limit null"
results=$pm/results

run_way() { # run_way WAY OPTIONS...: nvbench by one of the ways
    local way=$1
    shift
    case $way in
    kernel) "$nvbench" --directory="$pm/kernel" --ioengine=psync "$@" ;;
    preload) LD_PRELOAD=$preload "$nvbench" --directory="$pm/root" --ioengine=psync "$@" ;;
    api) "$nvbench" --directory="$pm/root" --ioengine=nvmmio "$@" ;;
    limit) "$nvbench" --directory="$pm/limit" --ioengine=libpmem "$@" ;;
    null) "$nvbench" --directory="$pm/limit" --ioengine=null "$@" --runtime=30ms ;;
    esac
}

measure() { # measure ROUND INDEX WAY: appends "index round way ns" to the results
    local title mib options line
    IFS='|' read -r title mib options <<<"${workloads[$2]}"
    # Two passes before timing: memory that is touched for the first time is no part of the comparison.
    # shellcheck disable=SC2086
    line=$(run_way "$3" --name=bench --filename="file.$mib" --size="${mib}m" --ramp_size=$((2 * mib))m --time_based \
        --runtime=$runtime --gtod_reduce=1 --output-format=terse $options 2>"$pm/errors") || {
        cat "$pm/errors"
        fail "$title by $3"
    }
    # A job's time for all its operations, reads and writes and syncs together.
    awk -F';' -v key="$2 $1 $3" -v options="$options" '
        NR > 1 { n += $5; ns = $7 }
        END { printf "%s %.1f\n", key, ns * (options ~ /numjobs=2/ ? 2 : 1) / n }' <<<"$line" >>"$results"
}

echo "== files in $pm"
for way in kernel root limit; do
    for mib in $size $((size / 4)) $((size / 8)); do
        "$nvbench" --name=layout --directory="$pm/$way" --filename="file.$mib" --size="${mib}m" --create_only ||
            fail "laying out files"
    done
done

for ((round = 1; round <= rounds; round++)); do
    echo "== round $round of $rounds"
    for ((i = 0; i < ${#workloads[@]}; i++)); do
        for way in $ways; do
            measure "$round" "$i" "$way"
        done
    done
done

echo "== write amplification"
amplification=$(run_way api --name=amplification --rw=randwrite --bs=4k --size=256m --io_size=1792m --fsync=32 --stats \
    --output-format=terse --unlink) || fail "write amplification"
amplification=$(awk -F';' 'NR == 2 { print $20, $21 }' <<<"$amplification")

# ---- the table ----

cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
printf '\nnvmmio on %s, %s processors, Linux %s\n' "${cpu:-unknown}" "$(nproc)" "$(uname -r)"
printf 'ns per operation (with its share of the fsyncs), medians of %s rounds\n\n' "$rounds"
printf '%s\n' "${workloads[@]}" | awk -F'|' -v results="$results" -v amplification="$amplification" '
    function median(list, n,    i, k, swap) {
        for (i = 2; i <= n; i++)
            for (k = i; k > 1 && list[k] < list[k - 1]; k--) {
                swap = list[k]; list[k] = list[k - 1]; list[k - 1] = swap
            }
        return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    function ns(i, r, way) {
        return raw[i, r, way] - raw[i, r, "null"]
    }
    function of(i, way,    list, r) {
        for (r = 1; r <= rounds; r++)
            list[r] = ns(i, r, way)
        return median(list, rounds)
    }
    function ratio(i, a, b,    list, r) {
        for (r = 1; r <= rounds; r++)
            list[r] = ns(i, r, a) / ns(i, r, b)
        return median(list, rounds)
    }
    function goal(text, value, limit, at_least) {
        met = at_least ? value >= limit : value <= limit
        goals++
        missed += !met
        printf "  %-58s %6.2f   %s %s: %s\n", text, value, at_least ? "at least" : "at most", limit, met ? "met" : "MISSED"
    }
    BEGIN {
        while ((getline line < results) > 0) {
            split(line, field, " ")
            raw[field[1], field[2], field[3]] = field[4]
            if (field[2] > rounds)
                rounds = field[2]
        }
        printf "%-34s %8s %8s %8s %8s %10s %10s %11s\n", "", "kernel", "preload", "api", "limit", "api/limit",
            "kernel/api", "preload/api"
    }
    {
        i = NR - 1
        printf "%-34s %8.0f %8.0f %8.0f %8.0f %9.2fx %9.2fx %10.2fx\n", $1, of(i, "kernel"), of(i, "preload"), of(i, "api"),
            of(i, "limit"), ratio(i, "api", "limit"), ratio(i, "kernel", "api"), ratio(i, "preload", "api")
    }
    END {
        split(amplification, amp, " ")
        print ""
        print "Bytes stored to PM, entries included, for each byte written: 4 KiB random overwrites of 256 MiB, seven"
        printf "passes, fsync each 32: %.3f, with the write-back of the last close %.3f\n\n", amp[1], amp[2]
        print "Goals:"
        goal("4 KiB random write: api / limit", ratio(0, "api", "limit"), 1.6, 0)
        goal("4 KiB random write: kernel / api", ratio(0, "kernel", "api"), 2, 1)
        goal("4 KiB random write: preload / api", ratio(0, "preload", "api"), 1.1, 0)
        goal("4 KiB random read: api / limit", ratio(1, "api", "limit"), 1.4, 0)
        goal("4 KiB random read: preload / api", ratio(1, "preload", "api"), 1.1, 0)
        goal("write amplification", amp[1], 1.05, 0)
        printf "\nnvmmio: bench finished, %d of %d goals met\n", goals - missed, goals
    }'
