#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# prove.sh COMPARE CASES WRONG_LIBRARY — the comparison finds no difference between the kernel and the kernel, and each
# fault of wrong.c.

compare=$1 cases=$2 wrong=$3
bad=0

expect() { # wanted status, then what to run
    wanted=$1
    shift
    output=$("$@" 2>&1)
    status=$?
    if [ $status -ne "$wanted" ]; then
        echo "POSIX_WRONG=$POSIX_WRONG: status $status, wanted $wanted"
        echo "$output" | tail -n 40
        bad=1
    fi
}

expect 0 "$compare" -s synced "$cases" "$cases" resize read stat
expect 1 "$compare" -r -s fresh -c whences "$cases" "$cases" seek # nothing managed the root
find_fault() { # fault, state, theme, case
    POSIX_WRONG=$1 expect 1 "$compare" -p "$wrong" -s "$2" -c "$4" "$cases" "$cases" "$3"
}
expect 0 "$compare" -p "$wrong" -s synced -c read_all "$cases" "$cases" read
find_fault data synced read read_all
find_fault offset fresh bad negative_numbers
find_fault errno fresh bad bad_buffers
find_fault touched fresh read past_the_end
find_fault size fresh seek end_moves
find_fault number fresh dup lowest_number
find_fault lock cold lock locked_before_first_write
find_fault late fresh read copy_within
find_fault crash fresh resize down_and_up
[ $bad -eq 0 ] && echo "every fault was found"
exit $bad
