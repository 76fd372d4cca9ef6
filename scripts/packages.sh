# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# packages.sh — what nvmmio needs of Debian 12, and its installation. Sourced by the other scripts.

nvmmio_packages="cmake ninja-build gcc g++ clang clang-format pkg-config binutils libpmem-dev liburcu-dev libjemalloc2 libcmocka-dev
    fio sqlite3 strace git python3 rsync xfsprogs"

# The programs of tests/apps with NVMMIO_APPS=all.
nvmmio_packages_apps="redis-server postgresql-15 mariadb-server liblmdb-dev lmdb-utils libdb5.3-dev db5.3-util libleveldb-dev
    librocksdb-dev rocksdb-tools libkyotocabinet-dev kyotocabinet-utils perl openjdk-17-jdk-headless nodejs vim libpython3.11-testsuite memcached
    zip unzip cpio patch ed bzip2 xz-utils zstd lz4 gawk"

# What scripts/vm.sh needs besides: the machine, and what makes and checks its file systems.
nvmmio_packages_vm="qemu-system-x86 busybox-static ndctl e2fsprogs xfsprogs lz4"

# Installs what is missing, as root or with sudo. Nothing is asked of the network if nothing is missing.
packages_install() {
    missing=
    for package in $nvmmio_packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "missing packages:$missing (run as root, or install sudo)"
            return 1
        }
        as_root="sudo"
    fi
    # Servers are tested, not wanted: Debian asks this program whether it may start one that was just installed.
    policy=/usr/sbin/policy-rc.d
    made=
    [ -e "$policy" ] || made=$policy
    [ -z "$made" ] || printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    [ -z "$made" ] || $as_root chmod 755 "$policy"
    # shellcheck disable=SC2086
    $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing
    status=$?
    [ -z "$made" ] || $as_root rm -f "$policy"
    return "$status"
}
