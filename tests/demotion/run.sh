#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# run.sh DEMOTION FILESYSTEM LIBRARY|none MODE [WAY] — the demotion test in a root of its own: on emulated PM (tmpfs), or on a
# file system of that kind in an image (xfs: for clones), where the caller is root and the kernel and its tools have it.

demotion=$1 filesystem=$2 library=$3 mode=$4
shift 4
base=$(mktemp -d "${NVMMIO_TEST_DIR:-/dev/shm}/nvmmio-demotion-XXXXXX") || exit 2
mkdir "$base/place"
conf=pm:force,aio:allow # on tmpfs too: files attach when PM needs it, whether it pays or not
finish() {
    mountpoint -q "$base/place" && umount -l "$base/place"
    rm -rf "$base"
}
trap finish EXIT
if [ "$filesystem" != tmpfs ]; then
    truncate -s 400M "$base/image"
    if ! command -v "mkfs.$filesystem" >/dev/null || ! "mkfs.$filesystem" -q "$base/image" ||
        ! mount -o loop "$base/image" "$base/place" 2>/dev/null; then
        echo "skipped: no $filesystem here"
        exit 77
    fi
fi
root=$base/place/root
mkdir "$root"
[ "$library" = none ] && library=
LD_PRELOAD=$library NVMMIO_ROOT=$root NVMMIO_CONF=$conf "$demotion" "$root" "$mode" "$@"
