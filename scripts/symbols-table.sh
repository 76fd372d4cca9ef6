#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# symbols-table.sh — the page src/preload/README.md: the status of each name of libc under the preload library. Made from
# src/preload/symbols.def; names with one status share a row.
#
#   scripts/symbols-table.sh          the page, on standard output
#   scripts/symbols-table.sh update   writes it
#   scripts/symbols-table.sh check    exit status 1 if the page that is there is another
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
page=$top/src/preload/README.md

make_page() {
    cat <<END
# Every name of libc that concerns files

Made by \`scripts/symbols-table.sh\` from \`symbols.def\`: change that, and run \`scripts/symbols-table.sh update\`.
\`tests/posix/case_symbol_*.c\` calls each name on a managed file and on the kernel's, in four states of the
file, and compares results, errno, offset, size and bytes.

Class M: intercepted, data or the table of descriptors would be wrong otherwise. S: needs care, as the status tells.
P: passes to libc and the kernel untouched. \`core->read\` and the like are functions of \`src/api/core.h\`; *demoted*
means that the file is committed, written back and the kernel's until its last close, for the reason in brackets;
*adopted* means that the core gets to know a descriptor that the kernel or libc has opened.

In \`syscall()\`, numbers up to 466 (x86-64) that are no call of this list take no descriptor of a file, or leave data, size
and position alone; a managed descriptor among the arguments of any other number demotes its file (other) before the
call. There is no io_uring.
END
    make_tables
}

make_tables() {
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
}

case ${1:-} in
update)
    make_page >"$page.new"
    mv "$page.new" "$page"
    ;;
check)
    if ! make_page | diff -u "$page" - >&2; then
        echo "FAIL: src/preload/README.md is not what symbols.def says: scripts/symbols-table.sh update" >&2
        exit 1
    fi
    ;;
*)
    make_page
    ;;
esac
