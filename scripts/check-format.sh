#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# check-format.sh — are all C files as clang-format wants them (see .clang-format)? No file is excepted.
#
#   scripts/check-format.sh        tells what differs; exit status 1 if anything does
#   scripts/check-format.sh fix    formats

set -u
cd "$(dirname "$0")/.." || exit 1
if [ "${1:-}" = fix ]; then
    mode=-i
else
    mode="--dry-run -Werror"
fi
# shellcheck disable=SC2086
find include src bench tests \( -name '*.c' -o -name '*.h' -o -name '*.cpp' \) -print0 |
    xargs -0 clang-format $mode --style=file
