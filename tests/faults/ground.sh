#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# ground.sh GROUND LIBRARY|none [CASE] — ground.c in a root of its own.

ground=$1 library=$2
shift 2
base=$(mktemp -d "${NVMMIO_TEST_DIR:-/dev/shm}/nvmmio-ground-XXXXXX") || exit 2
trap 'rm -rf "$base"' EXIT
[ "$library" = none ] && library=
LD_PRELOAD=$library NVMMIO_ROOT=$base NVMMIO_CONF=pm:force "$ground" "$base" "$@"
