#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# check-symbols.sh --cases PROGRAM — does that program import each name of libc that is in src/preload/symbols.def?
# check-symbols.sh [PRELOAD_LIBRARY] — compares src/preload/symbols.def with the world:
#   1. each name of libc that looks like file I/O and that an installed program imports is classified in it
#   2. each such name that this libc exports is classified: a new glibc may bring a new alias
#   3. each name that has a handler is exported by the built library, without a version
# Exit status 0: all is well.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
definitions=$top/src/preload/symbols.def
cases=
if [ "${1:-}" = --cases ]; then
    cases=$2
    shift 2
fi
library=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# Programs whose imports are looked at; those that are not installed are left out.
programs="sqlite3 git fio python3 perl tar cpio gzip xz zstd rsync bash dash vim vi less sed awk gawk grep find file make
    cat cp cmp cut dd df diff du head install ln ls mkdir mktemp mv rm shred sort split stat sync tail tee touch truncate
    true wc install redis-server postgres mariadbd java node memcached mdb_stat db_stat logrotate flock mount"

# What a name of file I/O looks like. Names of other things that match are classified as P.
pattern='^(__|_IO_|_)?(l?lio_|aio_|p?read|p?write|open|creat|close|dup|fcntl|ioctl|f?truncate|(posix_)?f(allocate|advise)'
pattern="$pattern"'|fsync|fdatasync|msync|m(un|re)?map|remap|mprotect|madvise|posix_madvise|sync|l?l?seek|[fl]?x?stat|fxstat'
pattern="$pattern"'|[fl]?utime|sendfile|splice|tee$|vmsplice|copy_file|f(re|d)?open|fclose|f?exec[lv]|posix_spawn|system|popen'
pattern="$pattern"'|pclose|v?fork|Fork|clone|exit|Exit|quick_exit|abort|daemon|lockf|flock|mko?s?temp|tmpfile|sendmm?sg'
pattern="$pattern"'|syscall|v?dprintf|memfd|shm_open|process_vm|unlink|rename|name_to_handle|pkey_mp|mlock|mincore|fileno'
pattern="$pattern"'|getdents|sigaction|signal$)'
# And the rest: names that take a path, a descriptor or a stream.
others='^(__|_IO_|_)?(recvm|pidfd_getfd|mq_close|eventfd_[rw]|backtrace_symbols_fd|login_tty|forkpty|wordexp|updwtmp|utmpx?name'
others="$others"'|[fn]*tw(64)?$|fts(64)?_|(set|end|add)mntent|getmntent|x?mknod|mkdir|mkdtemp|mkfifo|rmdir|chmod|[fl]?chown|fchmod'
others="$others"'|lchmod|f?chflags|access|eaccess|euidaccess|faccess|f?l?(get|set|list|remove)xattr|f?pathconf|realpath|canonicalize'
others="$others"'|readlink|ftok|glob(64)?$|scandir|f?chdir|p?select$|p?poll(_chk)?$|epoll_ctl|isatty|ttyname|tc(get|set|drain|flow|flush|send)'
others="$others"'|inotify_add|fanotify_mark|put[cw]|fput|get[cw](_|c|$)|fget|getline|getdelim|ungetw?c|f?v?f?w?scanf|vf?w?printf|f?w?printf'
others="$others"'|fread|fwrite|f(set|get)pos|ftell|fseek|rewind|setv?buf|setlinebuf|clearerr|feof|ferror|fwide|fpurge|fpending'
others="$others"'|put(pw|gr|sp|sg)ent|malloc_info|acct|uselib|revoke|move_mount|fspick|dirfd|telldir|getdirentries|isfdtype|tempnam|tmpnam|mq_|sem_(open|close|unlink)|u?mount2?$|mount_setattr|swapo|quotactl|cat(open|close))'
# What matches and is about the standard streams alone, or is the inside of streams.
not_files='^(__|_IO_)?(getline(_info)?|vfscanf|v?w?printf(_chk|_fp|_size|_size_info)?|v?w?scanf|(get|put)w?char(_unlocked)?)$'

sed -n 's/^SYMBOL(\([^,]*\), .*/\1/p' "$definitions" | sort >"$work/classified"

if [ -n "$cases" ]; then
    # Those of liburing are in few programs, and answered by tests/preload.
    nm -D --undefined-only "$cases" | awk '{ print $NF }' | sed 's/@.*//' | sort -u >"$work/imported"
    grep -v '^io_uring_' "$work/classified" | comm -23 - "$work/imported" >"$work/uncalled"
    if [ -s "$work/uncalled" ]; then
        echo "FAIL: no case calls: $(tr '\n' ' ' <"$work/uncalled")"
        exit 1
    fi
    echo "symbols: each of $(wc -l <"$work/classified") names has a case that calls it"
    exit 0
fi
if [ -n "$(uniq -d "$work/classified")" ]; then
    echo "FAIL: classified twice: $(uniq -d "$work/classified" | tr '\n' ' ')"
    failed=1
fi

# Names without versions that a file imports (--undefined-only) or exports (--defined-only), of all files in one list.
names() {
    nm -D "$@" 2>/dev/null | awk 'NF >= 2 { print $NF }' | sed 's/@.*//' | sort -u
}

# The files that a program loads, itself included.
objects() {
    path=$(command -v "$1") || return 0
    readlink -f "$path"
    ldd "$path" 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p'
}

libc=$(ldd "$(command -v sh)" | sed -n 's/.*=> \(\/[^ ]*libc\.so[^ ]*\) .*/\1/p')
nm -D --defined-only "$libc" | awk '{ print $NF }' | grep -v 'GLIBC_PRIVATE' | sed 's/@.*//' | sort -u >"$work/libc"

for program in $programs; do
    objects "$program"
done | sort -u | grep -vE '/(libc|ld-linux[^/]*)\.so' >"$work/objects" || true
count=$(wc -l <"$work/objects")
if [ "$count" -lt 10 ]; then
    echo "FAIL: only $count programs and libraries to look at"
    failed=1
fi

xargs nm -D --undefined-only <"$work/objects" 2>/dev/null | awk 'NF == 2 { print $2 }' | sed 's/@.*//' | sort -u |
    comm -12 - "$work/libc" | grep -E "$pattern" | comm -23 - "$work/classified" >"$work/missing" || true
if [ -s "$work/missing" ]; then
    echo "FAIL: imported by programs but not classified in symbols.def: $(tr '\n' ' ' <"$work/missing")"
    failed=1
fi

grep -E "$pattern|$others" "$work/libc" | grep -vE "$not_files" | comm -23 - "$work/classified" >"$work/new" || true
if [ -s "$work/new" ]; then
    echo "FAIL: exported by libc but not classified in symbols.def: $(tr '\n' ' ' <"$work/new")"
    failed=1
fi

if [ -n "$library" ]; then
    sed -n 's/^SYMBOL(\([^,]*\), [MS], [a-z]*, preload_.*/\1/p' "$definitions" | sort >"$work/handled"
    # A version would be part of the name here.
    nm -D --defined-only "$library" | awk '$2 == "T" { print $NF }' | sort >"$work/exported"
    comm -23 "$work/handled" "$work/exported" >"$work/hidden"
    comm -13 "$work/handled" "$work/exported" >"$work/stray"
    if [ -s "$work/hidden" ]; then
        echo "FAIL: not exported by $library, or with a version: $(tr '\n' ' ' <"$work/hidden")"
        failed=1
    fi
    if [ -s "$work/stray" ]; then
        echo "FAIL: exported by $library but not in symbols.def: $(tr '\n' ' ' <"$work/stray")"
        failed=1
    fi
    needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc|ld-linux.*)\.so' || true)
    if [ -n "$needed" ]; then
        echo "FAIL: $library needs more than libc: $needed"
        failed=1
    fi
fi

[ $failed = 0 ] && echo "symbols: $(wc -l <"$work/classified") names classified, $count programs and libraries looked at"
exit $failed
