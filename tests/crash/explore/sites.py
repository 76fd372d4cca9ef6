#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""Lists the places in the library that store to persistent memory or order and persist what was stored: the calls of layer
pm's primitives and of the system calls that change files or make them durable. One line each, as trace_site_name() has it:

    uma_write.c:243 piece_store

and, with --kind, the name of what is called behind it. With --seen FILE (such lines) it lists those that are not in FILE:
what no trace has met. With --check FILE it lists the lines of FILE that are no such place though their file is the
library's: what the scan does not find. Exit status 1 if there are any.
"""
import argparse
import pathlib
import re
import sys

PM = ("pm_copy", "pm_zero", "pm_store64", "pm_store_words", "pm_or64", "pm_flush", "pm_fence")
SYS = ("sys_fsync", "sys_fdatasync", "sys_msync", "sys_ftruncate", "sys_truncate", "sys_fallocate", "sys_write",
       "sys_pwrite", "sys_pwrite_all", "sys_writev", "sys_pwritev2", "sys_linkat", "sys_unlinkat", "sys_renameat2",
       "sys_mkdirat")
# Only some of their calls change anything: known, and never missed.
SOMETIMES = ("sys_openat",)
LAYERS = ("base", "log", "index", "uma", "file", "api")

CALL = re.compile(r"\b(" + "|".join(PM + SYS + SOMETIMES) + r")\s*\(|rawsys\(SYS_(\w+)")
FUNCTION = re.compile(r"^[A-Za-z_][\w \*]*?\b(\w+)\s*\(")


def without_comments(text):
    """The text with comments and strings blanked, line for line."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def sites_of(path):
    function = "?"
    for number, line in enumerate(without_comments(path.read_text()).split("\n"), 1):
        if line[:1].isalpha() or line[:1] == "_":
            match = FUNCTION.match(re.sub(r"__attribute__\(\([^)]*\)\)\s*", "", line))
            if match:
                function = match.group(1)
            continue
        for match in CALL.finditer(line):
            kind = match.group(1) or "sys_" + match.group(2)
            if kind in PM + SYS + SOMETIMES:
                yield f"{path.name}:{number} {function}", kind


def read_sites(path):
    return sorted({" ".join(line.split()[:2]) for line in path.read_text().splitlines() if line.strip()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[3] / "src")
    parser.add_argument("--kind", action="store_true", help="add what is called")
    parser.add_argument("--pm", action="store_true", help="layer pm's primitives only")
    parser.add_argument("--seen", type=pathlib.Path, help="list the sites that this file has not")
    parser.add_argument("--check", type=pathlib.Path, help="list the sites of this file that the scan has not")
    options = parser.parse_args()

    files = {path.name for layer in LAYERS for path in (options.source / layer).glob("*.c")}
    sites = [(name, kind) for layer in LAYERS for path in sorted((options.source / layer).glob("*.c"))
             for name, kind in sites_of(path)
             if kind in PM or not options.pm and (kind in SYS or options.check)]
    if options.check:
        known = {name for name, _ in sites}
        sites = [(name, "?") for name in read_sites(options.check) if name.split(":")[0] in files and name not in known]
    elif options.seen:
        places = {name.split()[0] for name in read_sites(options.seen)}
        sites = [(name, kind) for name, kind in sites if name.split()[0] not in places]
    for name, kind in sites:
        print(f"{name} {kind}" if options.kind else name)
    return 1 if (options.seen or options.check) and sites else 0


if __name__ == "__main__":
    sys.exit(main())
