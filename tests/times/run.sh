#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# run.sh TIMES LIBRARY|none [CASE] — times.c on the kernel and, with a library, in a root: both must find all promises kept,
# and tell the same numbers of blocks.

times=$1 library=$2
shift 2
base=$(mktemp -d "${NVMMIO_TEST_DIR:-/dev/shm}/nvmmio-times-XXXXXX") || exit 2
trap 'rm -rf "$base"' EXIT
mkdir "$base/kernel" "$base/root"
"$times" "$base/kernel" "$@" >"$base/kernel.out"
status=$?
grep -v '^blocks' "$base/kernel.out"
[ "$library" = none ] && exit $status
LD_PRELOAD=$library NVMMIO_ROOT=$base/root NVMMIO_CONF=pm:force "$times" "$base/root" "$@" >"$base/root.out" || status=1
grep -v '^blocks' "$base/root.out"
grep '^blocks' "$base/kernel.out" >"$base/kernel.blocks"
grep '^blocks' "$base/root.out" >"$base/root.blocks"
diff "$base/kernel.blocks" "$base/root.blocks" || status=1
exit $status
