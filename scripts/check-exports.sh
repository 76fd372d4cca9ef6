#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# check-exports.sh LIBNVMMIO [LIBNVMMIO_PRELOAD] — do the libraries export and need only what they may?
#
#   libnvmmio.so          exports what nvmmio.h declares and nvmmio_core, all with a version; does not depend on libjemalloc
#                         (which would replace malloc); has little static thread-local storage, or it could not be loaded late
#   libnvmmio_preload.so  needs libc alone; no symbol version; initialised first

set -u
wrong=0
complain() {
    echo "$*"
    wrong=1
}

core=$1
header=$(dirname "$0")/../include/nvmmio.h
declared=$(sed -n 's/^NV_API .*[ *]\(nv[a-z0-9_]*\)(.*/\1/p' "$header" | sort)
exported=$(nm -D --defined-only "$core" | awk '$2 != "A" { print $3 }' | sort)
[ -n "$declared" ] || complain "found no declarations in $header"
for name in $declared nvmmio_core; do
    echo "$exported" | grep -qx "$name@@NVMMIO_0.1" || complain "$core does not export $name"
done
for symbol in $exported; do
    name=${symbol%%@*}
    echo "$declared nvmmio_core" | tr ' ' '\n' | grep -qx "$name" || complain "$core exports $symbol"
done
readelf -dW "$core" | grep -q 'SONAME.*\[libnvmmio\.so\.0\]' || complain "$core has another soname than libnvmmio.so.0"
readelf -dW "$core" | grep -q 'NEEDED.*jemalloc' && complain "$core depends on libjemalloc"
tls=$(readelf -lW "$core" | awk '$1 == "TLS" { print $6 }')
[ $((${tls:-0})) -le 512 ] || complain "$core has $tls bytes of thread-local storage"

if [ $# -gt 1 ]; then
    preload=$2
    needed=$(readelf -dW "$preload" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|ld-linux-x86-64\.so\.2)$')
    [ -z "$needed" ] || complain "$preload needs $needed"
    readelf -dW "$preload" | grep -q 'INITFIRST' || complain "$preload is not initialised first"
    nm -D --defined-only "$preload" | grep '@@' && complain "$preload has versioned symbols"
    nm -D --defined-only "$preload" | awk '{ print $3 }' | grep -qx pwrite64 || complain "$preload does not define pwrite64"
fi
exit $wrong
