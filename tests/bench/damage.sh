#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# damage.sh — nvbench --verify sees every kind of damage: a file that was written without a fault is damaged, and the
# check must fail, and name the fault. Usage: NVBENCH=... damage.sh ENGINE

. "$(dirname "$0")/common.sh"
file=$dir/d.0.0
job=(--name=d --directory="$dir" --ioengine="$engine" --rw=randwrite --bs=4k --size=1m --verify=crc32c)

# block N: copies block N of the file to standard output; put N: standard input to block N.
block() { dd if="$file" bs=4096 skip="$1" count=1 status=none; }
put() { dd of="$file" bs=4096 seek="$1" count=1 conv=notrunc iflag=fullblock status=none; }

write_twice() { expect 0 "" "$NVBENCH" "${job[@]}" --io_size=2m --do_verify=0; }
verify() { expect "$1" "$2" "$NVBENCH" "${job[@]}" --io_size=2m --verify_only; }

# The first pass of the plan, and the block it left at 100.
expect 0 "" "$NVBENCH" "${job[@]}" --io_size=1m
block 100 >"$dir/stale"

write_twice
verify 0 ""

# One byte: in a header, in a payload, the last of the file.
for at in 409608 500000 1048575; do
    write_twice
    byte=$(od -An -tu1 -j "$at" -N 1 "$file")
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
    verify 1 "wrong data"
done

# Two blocks swapped: both are whole, at the wrong place.
write_twice
block 7 >"$dir/seven"
block 9 | put 7
put 9 <"$dir/seven"
verify 1 "another place"

# A block as it was before its last write.
write_twice
put 100 <"$dir/stale"
verify 1 "stale"

# Half of it: torn.
write_twice
head -c 2048 "$dir/stale" | dd of="$file" bs=2048 seek=200 conv=notrunc status=none
verify 1 "torn or damaged"

# A cache line of it.
write_twice
dd if="$dir/stale" of="$file" bs=64 skip=30 seek=$((100 * 64 + 30)) count=1 conv=notrunc status=none
verify 1 "up to byte 1920"

# A block of zeros, a hole at the end, a byte too many.
write_twice
head -c 4096 /dev/zero | put 50
verify 1 "missing"
write_twice
truncate -s 1040384 "$file"
if [ "$engine" = psync ] || [ "$engine" = nvmmio ]; then
    verify 1 "expected a size"
else
    verify 1 ""
fi
write_twice
echo >>"$file"
verify 1 "expected a size"

# All is well again when it is written again; another seed's plan does not fit.
write_twice
verify 0 ""
expect 1 "another place" "$NVBENCH" "${job[@]}" --io_size=2m --verify_only --randseed=5

# A wrong byte is also seen by a job that reads, and by the process that wrote, between its end and its check.
expect 0 "" "$NVBENCH" --name=d --directory="$dir" --ioengine="$engine" --rw=randread --bs=4k --size=1m --verify=1
head -c 1 /dev/zero | dd of="$file" bs=1 seek=300001 conv=notrunc status=none
head -c 1 /dev/urandom | dd of="$file" bs=1 seek=300002 conv=notrunc status=none
printf '\x55\xaa\x55' | dd of="$file" bs=1 seek=300003 conv=notrunc status=none
expect 1 "wrong data" "$NVBENCH" --name=d --directory="$dir" --ioengine="$engine" --rw=randread --bs=4k --size=1m --verify=1

finish
