#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# runs.sh — nvbench writes what was asked, in files of the right names, with every workload, as threads and as
# processes. Usage: NVBENCH=... runs.sh ENGINE

. "$(dirname "$0")/common.sh"
common=(--directory="$dir" --ioengine="$engine" --output-format=terse)

# field N: sum of column N of the last run's terse output. 4 error, 5 ios, 6 bytes, 17 syncs.
field() { awk -F';' -v n="$1" 'NR > 1 { s += $n } END { printf "%d", s }' "$dir/.out"; }
size() { stat -c %s "$1"; }

for threads in 1 0; do
    for rw in write randwrite rw randrw append; do
        expect 0 "" "$NVBENCH" "${common[@]}" --name=j$rw$threads --rw=$rw --bs=3k --size=300k --io_size=700k --numjobs=2 \
            --thread=$threads --verify=crc32c
        # 233 whole blocks of each job.
        check "$rw bytes" "$(field 6)" -eq $((2 * 233 * 3072))
        check "$rw operations" "$(field 5)" -eq 466
        for n in 0 1; do
            file=$dir/j$rw$threads.$n.0
            if [ $rw = append ]; then
                # 233 blocks are two files of 100 and one of 33.
                check "append size" "$(size "$file")" -eq $((33 * 3072))
            else
                check "$rw size" "$(size "$file")" -eq 307200
            fi
        done
    done
done
rm -f "$dir"/j*

# Mixed lengths; syncs where asked.
expect 0 "" "$NVBENCH" "${common[@]}" --name=range --rw=randwrite --bsrange=512-64k --size=4m --io_size=9m --verify=1
check "bytes of a range" "$(field 6)" -eq $((9 << 20))
expect 0 "" "$NVBENCH" "${common[@]}" --name=sync --rw=randwrite --bs=4k --size=1m --fsync=32 --fdatasync=64 --end_fsync
check "syncs" "$(field 17)" -eq $((256 / 32 + 256 / 64 + 1))
expect 0 "" "$NVBENCH" "${common[@]}" --name=ios --rw=randread --bs=4k --size=1m --number_ios=17
check "number_ios" "$(field 5)" -eq 17

# The ramp is not counted; runtime ends a run, time_based makes it last.
expect 0 "" "$NVBENCH" "${common[@]}" --name=ramp --rw=write --bs=4k --size=1m --ramp_size=3m --verify=1
check "ramp" "$(field 6)" -eq $((1 << 20))
expect 0 "" "$NVBENCH" "${common[@]}" --name=time --rw=randwrite --bs=4k --size=64k --time_based --runtime=100ms
check "time_based" "$(field 7)" -ge 100000000
check "time_based" "$(field 6)" -gt 65536

# One shared file: regions of each job, and all jobs on one region.
for threads in 1 0; do
    expect 0 "" "$NVBENCH" "${common[@]}" --name=shared --filename=shared --rw=randrw --bs=4k --size=1m --io_size=3m \
        --numjobs=2 --offset_increment=1m --thread=$threads --verify=1
    check "shared size" "$(size "$dir/shared")" -eq $((2 << 20))
    if [ "$engine" = psync ] || [ "$engine" = nvmmio ]; then
        expect 0 "" "$NVBENCH" "${common[@]}" --name=all --filename=all --rw=randwrite --bs=4k --size=256k --io_size=3m \
            --numjobs=2 --thread=$threads --verify=1
        expect 0 "" "$NVBENCH" "${common[@]}" --name=tail --filename=tail --rw=append --bs=1000 --size=100k --numjobs=2 \
            --thread=$threads
        check "shared append" "$(size "$dir/tail")" -eq $((2 * 102 * 1000))
    fi
done

# Files that are there are kept by readers, and laid out where missing; create_only does no I/O; unlink removes.
expect 0 "" "$NVBENCH" "${common[@]}" --name=made --rw=randread --bs=4k --size=1m --create_only
check "create_only says nothing" ! -s "$dir/.out"
check "layout size" "$(size "$dir/made.0.0")" -eq $((1 << 20))
before=$(cksum <"$dir/made.0.0")
expect 0 "" "$NVBENCH" "${common[@]}" --name=made --rw=randread --bs=4k --size=1m
check "readers keep the file" "$before" = "$(cksum <"$dir/made.0.0")"
expect 0 "" "$NVBENCH" "${common[@]}" --name=made --rw=randread --bs=4k --size=1m --unlink
check "unlink" ! -e "$dir/made.0.0"
expect 0 "" "$NVBENCH" "${common[@]}" --name=empty --rw=write --bs=4k --size=1m --io_size=512k --overwrite=0 --verify=1
[ "$engine" = libpmem ] || [ "$engine" = mmap ] || check "overwrite=0" "$(size "$dir/empty.0.0")" -eq $((1 << 19))

# Two sections, at once and one after the other.
expect 0 "" "$NVBENCH" "${common[@]}" --size=1m --bs=4k --name=one --rw=write --name=two --rw=randread --thread=0 --name=three \
    --stonewall --rw=randrw
check "three jobs" "$(field 5)" -eq 768

# What goes wrong is told, with a status.
expect 2 "unknown option" "$NVBENCH" --name=a --size=1m --sise=1m
expect 1 "No such file" "$NVBENCH" --name=a --size=1m --directory="$dir/none" --ioengine="$engine"
expect 1 "" "$NVBENCH" --name=a --size=1m --directory="$dir" --filename=. --ioengine="$engine"
expect 1 "" "$NVBENCH" --name=full --filename=/dev/full --size=1m --rw=write --ioengine="$engine"

finish
