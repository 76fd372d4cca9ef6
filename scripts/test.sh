#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# test.sh — builds nvmmio with gcc, clang and the sanitizers and runs all tests; on a fresh Debian 12 machine too, where it
# installs what is missing (as root, or with sudo).
#
#   scripts/test.sh            everything
#   scripts/test.sh quick      gcc only: build, all tests
#
# Environment: NVMMIO_BUILD (where to build; default: build), NVMMIO_JOBS (default: the number of processors).
# The last two lines are "N passed, M failed", counting tests and steps, and the verdict. Exit status 0 if all passed.

set -u
cd "$(dirname "$0")/.." || exit 1
. scripts/packages.sh

build=${NVMMIO_BUILD:-build}
jobs=${NVMMIO_JOBS:-$(nproc)}
what=${1:-all}
passed=0
failed=0
failures=
mkdir -p "$build" || exit 1

note() { # note STATUS NAME: counts one step
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures="$failures $2"
        echo "FAILED: $2"
    fi
}

step() { # step NAME COMMAND...: runs it, with its output in a log that is shown if it fails
    name=$1
    shift
    echo "== $name"
    if "$@" >"$build/$name.log" 2>&1; then
        note 0 "$name"
        return 0
    fi
    tail -n 60 "$build/$name.log"
    note 1 "$name"
    return 1
}

configure_and_build() { # configure_and_build DIRECTORY COMPILER SANITIZER
    CC=$2 cmake -S . -B "$1" -G Ninja -DNVMMIO_SANITIZE="$3" -DCMAKE_BUILD_TYPE=RelWithDebInfo &&
        ninja -C "$1" -j "$jobs"
}

run_ctest() { # run_ctest NAME COMMAND...: runs ctest in the directory of NAME, counts its tests
    name=$1
    shift
    echo "== $name: tests"
    log=$build/$name.ctest.log
    "$@" --test-dir "$build/$name" --output-on-failure --timeout 900 --no-tests=error >"$log" 2>&1
    status=$?
    # "97% tests passed, 1 tests failed out of 40"
    counts=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$log")
    if [ -z "$counts" ]; then
        tail -n 40 "$log"
        note 1 "$name.ctest"
        return
    fi
    bad=${counts% *}
    all=${counts#* }
    passed=$((passed + all - bad))
    failed=$((failed + bad))
    grep 'tests passed' "$log"
    if [ "$status" -ne 0 ]; then
        grep -v '^ *[0-9]*/[0-9]* Test .* Passed ' "$log" | tail -n 120
        failures="$failures $name:$(sed -n 's/^[[:space:]]*[0-9]* - \([^ ]*\) (.*/\1/p' "$log" | tr '\n' ',')"
    fi
}

if ! step packages packages_install; then
    echo "0 passed, 1 failed"
    echo "nvmmio: packages are missing and could not be installed"
    exit 1
fi

if step gcc configure_and_build "$build/gcc" gcc none; then
    run_ctest gcc ctest -j "$jobs"
fi
if [ "$what" != quick ]; then
    if step clang configure_and_build "$build/clang" clang none; then
        run_ctest clang ctest -j "$jobs" -L unit
    fi
    if step address configure_and_build "$build/address" gcc address; then
        run_ctest address ctest -j "$jobs" -L unit
    fi
    # TSan does not know the most random address space layouts of newer kernels.
    plain_layout="setarch $(uname -m) -R"
    $plain_layout true 2>/dev/null || plain_layout=
    if step thread configure_and_build "$build/thread" gcc thread; then
        # shellcheck disable=SC2086
        run_ctest thread $plain_layout ctest -j "$jobs" -L unit
    fi
    step format scripts/check-format.sh
    step layers scripts/check-layers.sh
fi

echo "$passed passed, $failed failed"
if [ "$failed" -eq 0 ]; then
    echo "nvmmio: all tests passed"
    exit 0
fi
echo "nvmmio: tests failed:$failures"
exit 1
