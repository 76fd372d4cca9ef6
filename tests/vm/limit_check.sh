#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# limit_check.sh LIMIT_CHECK [PRELOAD] — the end of space on a small tmpfs; quotas and DAX are scripts/vm.sh's. Skipped (77)
# where nothing can be mounted.

program=$1
preload=${2:-}
nobody=65534
dir=$(mktemp -d /tmp/nvmmio-limit.XXXXXX) || exit 1
mount -t tmpfs -o size=24M,mode=1777 tmpfs "$dir" 2>/dev/null || {
    rmdir "$dir"
    exit 77
}
trap 'umount -l "$dir"; rmdir "$dir"' EXIT
[ -z "$preload" ] || export LD_PRELOAD="$preload"
NVMMIO_ROOT="$dir" "$program" run "$dir" $nobody ENOSPC
