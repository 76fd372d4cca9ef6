#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# crash.sh — the long exploration of crash states, by hand: ten times what the tests explore, each persistence model to
# itself, then every mutant. About an hour on two processors.
#
#   scripts/crash.sh             all of it
#   scripts/crash.sh explore     the states alone
#   scripts/crash.sh mutants     the mutants alone
#
# Environment: NVMMIO_BUILD (where to build; default: build), NVMMIO_JOBS (default: the number of processors), NVMMIO_SEED
# (default: the time). A violation is printed with the command that replays it. Exit status 0 if there was none, at least
# ten million distinct states were seen, and no mutant survived.

set -eu
cd "$(dirname "$0")/.."

build=${NVMMIO_BUILD:-build}/gcc
jobs=${NVMMIO_JOBS:-$(nproc)}
seed=${NVMMIO_SEED:-$(date +%s)}
what=${1:-all}
seconds=900          # of each model
states=3400000       # of each model
failed=0

cmake -S . -B "$build" -G Ninja >/dev/null
ninja -C "$build" crash_explore
explore="$build/bin/crash_explore --jobs $jobs --seed $seed"

echo "seed $seed"
if [ "$what" != mutants ]; then
    for model in adr torn eadr; do
        echo "== $model"
        $explore --model $model --budget $seconds --require $states --full-share 5000 || failed=1
    done
fi
if [ "$what" != explore ]; then
    echo "== mutants"
    $explore --model adr --mutate --product 1024 --random 100 --subset 2 || failed=1
fi
[ $failed -eq 0 ] && echo "crash.sh: passed" || echo "crash.sh: FAILED"
exit $failed
