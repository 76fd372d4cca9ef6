#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# symbols-table.sh — the status of each name of libc under the preload library, as a Markdown table on standard output.
# Made from src/preload/symbols.def; names with one status share a row.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)

awk '
function flush_row() {
    if (names != "")
        printf "| %s | %s | %s |\n", names, class, status
    names = ""
}
/^\/\* clang-format/ { next }
/^\/\* .* \*\/$/ {
    flush_row()
    title = $0
    gsub(/^\/\* | \*\/$/, "", title)
    printf "\n### %s\n\n| names | class | status |\n|---|---|---|\n", title
    next
}
/^SYMBOL\(/ {
    line = $0
    sub(/^SYMBOL\(/, "", line)
    split(line, field, ", ")
    text = line
    sub(/^[^"]*"/, "", text)
    sub(/"\)$/, "", text)
    if (names == "" || field[2] != class || text != status)
        flush_row()
    class = field[2]
    status = text
    names = names (names == "" ? "" : " ") "`" field[1] "`"
}
END { flush_row() }
' "$top/src/preload/symbols.def"
