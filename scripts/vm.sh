#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# vm.sh — nvmmio on real DAX with MAP_SYNC, and through power cuts: in a virtual machine, Debian's cloud kernel in qemu with
# an emulated NVDIMM that is a file. Software emulation; /dev/kvm is used only if asked for.
#
#   scripts/vm.sh test [ext4|xfs] [--tests REGEX]   the test suite on a file system with dax=always (both, if none is named)
#   scripts/vm.sh cuts N [ext4|xfs]                 N power cuts: write, cut, boot, recover, compare, check, write on
#   scripts/vm.sh cuts N --plant early|cache|kernel the same with a fault, which must be found
#   scripts/vm.sh limits [ext4|xfs]                 a user at his quota, and a full file system
#   scripts/vm.sh shell [ext4|xfs]                  a shell in the machine, the file system on /mnt
#   scripts/vm.sh ci                                what continuous integration runs: cuts on both and a part of the suite
#
# Before the command: --kvm, --seed N (a campaign's, printed by it), --keep DIR (images, consoles, acknowledgements).
# NVMMIO_BUILD is where to build (default: build), or a build directory that is there already (default: $NVMMIO_BUILD/gcc).
# What is missing is installed by apt-get, as root or with sudo; the guest's kernel is only unpacked into the build
# directory. When the script ends, however it ends, machines and images are gone. Exit status 0 if all was as it must.

set -u
cd "$(dirname "$0")/.." || exit 1

. scripts/packages.sh

build=${NVMMIO_BUILD:-build}
[ -e "$build/build.ninja" ] || build=$build/gcc
jobs=${NVMMIO_JOBS:-$(nproc)}

mkdir -p "$build" || exit 1
nvmmio_packages="$nvmmio_packages $nvmmio_packages_vm"
packages_install >"$build/vm-packages.log" 2>&1 || {
    tail -n 30 "$build/vm-packages.log"
    echo "vm.sh: packages are missing and could not be installed"
    exit 1
}
if [ ! -e "$build/build.ninja" ]; then
    CC=gcc cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >"$build/vm-cmake.log" || exit 1
fi
ninja -C "$build" -j "$jobs" >"$build/vm-ninja.log" || {
    tail -n 60 "$build/vm-ninja.log"
    exit 1
}
exec python3 tests/vm/run.py --build "$build" "$@"
