#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# cut_worker.sh WORKER [PRELOAD] — the writers of the power-cut test on emulated PM, without cuts: a file that was left in
# some state is judged to be in it, and in no other.

worker=$1
preload=${2:-}
dir=$(mktemp -d /dev/shm/nvmmio-cut-worker.XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT
export NVMMIO_ROOT="$dir"
[ -z "$preload" ] || export LD_PRELOAD="$preload"
roles="atomic plain osync stored first rename"
case $worker in
*_nv) roles="$roles mapped" ;;
esac
epochs=25
bad=0

play() { # play ROLE STATES WORDS...: the worker's status
    role=$1
    states=$2
    shift 2
    "$worker" --role "$role" --dir "$dir" --seed 7 --generation 3 --known "$states" --events "$dir/events" --plain "$@" \
        >"$dir/output" 2>&1
}

for role in $roles; do
    last=3:$epochs:$epochs
    wrong=3:$((epochs - 1)):$((epochs - 1))
    case $role in
    first) last=$last:$epochs:$epochs wrong=$wrong:$epochs:$epochs ;; # two writers
    rename) ;;
    esac
    : >"$dir/events"
    play "$role" any --epochs $epochs || {
        cat "$dir/output"
        echo "$role: could not write"
        bad=1
    }
    grep -q "^A $epochs\$" "$dir/events" || {
        echo "$role: $epochs epochs were not acknowledged"
        bad=1
    }
    play "$role" "9:0:0:0:0,$last" --verify || {
        cat "$dir/output"
        echo "$role: its last state was not recognised"
        bad=1
    }
    if play "$role" "$wrong" --verify; then
        echo "$role: the state before was taken for the last one"
        bad=1
    fi
done
[ $bad -eq 0 ] && echo "$roles: each state was recognised"
exit $bad
