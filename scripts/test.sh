#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# test.sh — builds nvmmio with gcc, clang and the sanitizers and runs all tests; on a fresh Debian 12 machine too, where it
# installs what is missing (as root, or with sudo).
#
#   scripts/test.sh            everything, in about half an hour: real DAX and power cuts in a virtual machine too
#   scripts/test.sh quick      gcc only: build, all tests of ctest, in about twelve minutes
#
# Environment: NVMMIO_BUILD (where to build; default: build), NVMMIO_JOBS (default: the number of processors),
# NVMMIO_TEST_SCALE (N: the random tests run N times as long).
# The last two lines are "N passed, M failed", counting tests and steps, and the verdict. Exit status 0 if all passed.

set -u
cd "$(dirname "$0")/.." || exit 1

# As root all runs in namespaces of its own: what a test leaves over is seen, and ends with the run.
enclosed=${NVMMIO_TEST_ENCLOSED:-}
if [ -z "$enclosed" ] && [ "$(id -u)" -eq 0 ]; then
    export NVMMIO_TEST_ENCLOSED=no
    enclose="unshare --mount --pid --fork --kill-child --mount-proc"
    own_shm="mount -t tmpfs -o mode=1777 tmpfs /dev/shm"
    if $enclose $own_shm 2>/dev/null; then
        export NVMMIO_TEST_ENCLOSED=yes
        # shellcheck disable=SC2016
        exec $enclose sh -c "$own_shm && exec \"\$@\"" sh scripts/test.sh "$@"
    fi
fi
# The first process of a pid namespace gets only the signals that it handles.
trap 'exit 130' INT
trap 'exit 143' TERM

. scripts/packages.sh
nvmmio_packages="$nvmmio_packages $nvmmio_packages_apps"

build=${NVMMIO_BUILD:-build}
jobs=${NVMMIO_JOBS:-$(nproc)}
what=${1:-all}
kills_wanted=500
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

begin_stage() { # begin_stage NAME
    echo "== $1"
    stage_start=$(date +%s)
}

end_stage() { # end_stage TEXT
    echo "   $1 ($(($(date +%s) - stage_start)) s)"
}

step() { # step NAME COMMAND...: runs it, with its output in a log that is shown if it fails
    name=$1
    shift
    begin_stage "$name"
    "$@" >"$build/$name.log" 2>&1
    status=$?
    [ "$status" -eq 0 ] || tail -n 60 "$build/$name.log"
    note "$status" "$name"
    end_stage "status $status"
    return "$status"
}

configure_and_build() { # configure_and_build DIRECTORY COMPILER SANITIZER PROGRAMS
    CC=$2 cmake -S . -B "$1" -G Ninja -DNVMMIO_SANITIZE="$3" -DNVMMIO_APPS="$4" -DCMAKE_BUILD_TYPE=RelWithDebInfo &&
        ninja -C "$1" -j "$jobs"
}

run_ctest() { # run_ctest NAME COMMAND...: runs ctest in the directory of NAME, counts its tests
    name=$1
    shift
    begin_stage "$name: tests"
    log=$build/$name.ctest.log
    "$@" --test-dir "$build/$name" --output-on-failure --timeout 900 --no-tests=error >"$log" 2>&1
    status=$?
    # "97% tests passed, 1 tests failed out of 40"
    counts=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests\{0,1\} failed out of \([0-9]*\)$/\1 \2/p' "$log")
    if [ -z "$counts" ]; then
        tail -n 40 "$log"
        note 1 "$name.ctest"
        end_stage "status $status"
        return
    fi
    bad=${counts% *}
    all=${counts#* }
    passed=$((passed + all - bad))
    failed=$((failed + bad))
    if [ "$status" -ne 0 ]; then
        grep -v -e '^ *[0-9]*/[0-9]* Test .* Passed ' -e '^ *Start ' "$log" | tail -n 300
        # "	 20 - unit.test_msg (Failed)"
        list=$(sed -n 's/^[[:space:]]*[0-9]* - \([^ ]*\) (.*/\1/p' "$log")
        for test in $list; do
            echo "FAILED: $name:$test"
            failures="$failures $name:$test"
        done
        [ "$bad" -gt 0 ] || note 1 "$name.ctest" # ctest itself
    fi
    end_stage "$((all - bad)) of $all tests passed"
}

enough_kills() { # enough_kills NAME: did the kill campaign of that build kill as many writers as it must?
    kills=$(awk '/^kill campaign on /{ ours = /the preload library|kill_worker_nv,/ }
        /^ok: .* sessions, /{ if (ours) n += $4 }
        END { print n + 0 }' "$build/$1/Testing/Temporary/LastTest.log")
    echo "$kills writers killed, wanted are $kills_wanted"
    [ "$kills" -ge "$kills_wanted" ]
}

others() { # the processes of this namespace but for this one, zombies aside; without starting any
    found=
    for process in /proc/[0-9]*; do
        [ "$process" != /proc/$$ ] && read -r line <"$process/stat" || continue
        case $line in
        *") Z "*) ;;
        *) found="$found [$line]" ;;
        esac
    done 2>/dev/null
}

nothing_left() { # nothing_left: neither processes nor files of the tests
    others
    for _ in 1 2 3 4 5; do # what was killed may need a moment
        [ -z "$found" ] && break
        sleep 1
        others
    done
    files=$(ls -A /dev/shm)
    echo "processes left: ${found:-none}"
    echo "files left in /dev/shm: ${files:-none}"
    [ -z "$found$files" ]
}

if ! step packages packages_install; then
    echo "$passed passed, $failed failed"
    echo "nvmmio: packages are missing and could not be installed"
    exit 1
fi

if step gcc configure_and_build "$build/gcc" gcc none all; then
    run_ctest gcc ctest -j "$jobs"
    step kills enough_kills gcc && cat "$build/kills.log"
    # ctest has run what it can here; real DAX and power cuts need a machine.
    if [ "$what" != quick ]; then
        step vm env NVMMIO_BUILD="$build/gcc" scripts/vm.sh ci && grep -v '^seed' "$build/vm.log"
    fi
fi
if [ "$what" != quick ]; then
    if step clang configure_and_build "$build/clang" clang none none; then
        run_ctest clang ctest -j "$jobs"
    fi
    if step address configure_and_build "$build/address" gcc address none; then
        run_ctest address ctest -j "$jobs" -L unit
    fi
    # TSan does not know the most random address space layouts of newer kernels.
    plain_layout="setarch $(uname -m) -R"
    $plain_layout true 2>/dev/null || plain_layout=
    if step thread configure_and_build "$build/thread" gcc thread none; then
        # shellcheck disable=SC2086
        run_ctest thread $plain_layout ctest -j "$jobs" -L unit
    fi
    step format scripts/check-format.sh
    step layers scripts/check-layers.sh
fi
[ "$enclosed" = yes ] && step leftovers nothing_left

echo "$passed passed, $failed failed"
if [ "$failed" -eq 0 ]; then
    echo "nvmmio: all tests passed"
    exit 0
fi
echo "nvmmio: tests failed:$failures"
exit 1
