# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""dd, cp, cmp, sort, sed, gzip, truncate, cat, tail, split, shred, install: each does its usual work on files of a root."""

import random

import apptest
from apptest import App, Failed


def pattern(seed, size):
    return random.Random(seed).randbytes(size)


def sparse_pattern():
    """Data, a hole, a block of zeros, data that ends inside a block, a hole at the end."""
    return pattern(1, 70000) + bytes(300000) + pattern(2, 12345) + bytes(8192) + pattern(3, 1) + bytes(100000)


def dd():
    app = App("dd")
    app.write("in", pattern(5, 1000003))
    app.write("holes", sparse_pattern())
    app.write("text", b"line one\nline two\n" * 5000)
    for command in (
            "dd if=in of=a bs=4k status=none",
            "dd if=in of=b bs=1000 status=none conv=fsync",
            "dd if=in of=c bs=64k status=none oflag=sync",
            "dd if=in of=c2 bs=16k status=none oflag=dsync conv=fdatasync",
            "dd if=in of=d bs=4096 seek=3 status=none",
            "dd if=in of=a bs=100 seek=77 count=500 conv=notrunc status=none",
            "dd if=in of=a bs=4k seek=10 count=5 conv=notrunc,fsync status=none",
            "dd if=in of=b bs=4k seek=10 count=5 status=none",
            "dd if=holes of=e bs=4k conv=sparse status=none",
            "dd if=holes of=e bs=512 seek=9 conv=sparse,notrunc status=none",
            "dd if=in of=f bs=3000 oflag=append conv=notrunc status=none",
            "dd if=text of=f bs=3000 oflag=append conv=notrunc status=none",
            "dd if=text of=f bs=7 count=300 oflag=append,sync conv=notrunc status=none",
            "dd if=in of=g bs=4k skip=20 count=60 iflag=fullblock status=none",
            "dd if=in bs=10k status=none | dd of=h ibs=300 obs=5000 status=none",
            "dd if=text of=i conv=ucase bs=999 status=none",
            "dd if=in of=j bs=1M seek=3000 count=1 status=none && dd if=j bs=1M skip=3000 status=none | cmp - in; rm j",
            "dd if=/dev/null of=a bs=1 seek=5000 status=none",
            "dd if=a of=a bs=512 seek=100 count=5 conv=notrunc status=none",
            "dd if=missing of=k",
            "dd if=in of=missing/k",
            "dd if=in of=in bs=4k count=10 conv=excl",
    ):
        app.both(command, status=None)
        app.compare()
    app.both("dd if=in of=l bs=4k 2>&1 | grep -v copied")
    app.finish()


def cp():
    app = App("cp")
    app.write("in", pattern(6, 777777))
    app.write("holes", sparse_pattern())
    app.write("empty", b"")
    for command in (
            "cp in a && cmp in a",
            "cp -a in b && cmp in b",
            "cp --sparse=always holes c && cmp holes c",
            "cp --sparse=never holes d && cmp holes d",
            "cp --sparse=auto c e && cmp e holes",
            "cp --reflink=auto in f && cmp in f",
            "cp empty g; cp -f in g && cmp in g",
            "cp holes a && cmp holes a",
            "mkdir t && cp -a in holes c t/ && cp -aT t u && cmp u/c holes",
            "cp -l in h && cp -s in i && cp -b --suffix=.old in a",
            "install -m 640 in j && cmp in j",
            "mv a k && mv k t/ && cmp t/k in",
            "cat in holes > l && cat l l >> m && cmp <(cat in holes in holes) m",
            "cp /etc/passwd n && cmp n /etc/passwd",
            "cp n /dev/null",
            "cmp in holes",
            "cmp -n 1000 c holes",
            "cp n /dev/full",
            "rm -r t u; mkdir v; cp in v; rm -rf v",
    ):
        app.both(command, status=None)
        app.compare()
    app.finish()


def text_tools():
    app = App("text")
    lines = "\n".join("%d %s" % (random.Random(i).randrange(100000), "x" * (i % 70)) for i in range(20000)) + "\n"
    app.write("in", lines.encode())
    for command in (
            "sort in -o sorted && sort -n in -o numbers && sort -o in in",
            "sort -S 100k --parallel=2 -T . -n in -o small && cmp <(sort -n in) small",
            "cp in a; sed -i s/x/yy/ a; sed -i.old '1,100d' a; sed -i -e '$a end' a",
            "sed -n -e 's/1/2/w matches' a",
            "gzip -nk in && gzip -dc in.gz | cmp - in && cp in b && gzip -9n b && gunzip b.gz && cmp b in",
            "split -b 100000 in part. && cat part.* | cmp - in",
            "split -l 3000 in lines. && cat lines.* | cmp - in",
            "tee c d < in > /dev/null && tee -a c < a > /dev/null",
            "tail -n 100 in > e; tail -c 5000 in >> e; head -c -1000 in > f; tac in > g",
            "awk '{print $1 > \"h\" ($1 % 3); print >> \"i\"}' in",
            "truncate -s 1M j; truncate -s +100 in; truncate -s -5000 c; truncate -s '%4096' d; truncate -s 5 e",
            "shuf --random-source=in -n 500 g > k; uniq -c sorted > l; cut -c 1-3 in | md5sum > m; wc in a c > n",
            "grep -c x in a c; md5sum in a c d e f g; ls -s --block-size=1G j | cut -c 1; stat -c '%s %F %a' in j",
            "csplit -s -f part2. g 1000 5000 && cat part2.* | cmp - g",
            "comm <(sort a) <(sort c) > o; paste in a | fold -w 40 > p; od -A d -t x1 j | tail -3; base64 in > q",
            "shred -n 1 -z -s 10000 --random-source=in j && od j | head -3; truncate -s 0 f; fallocate -l 20000 f",
            "mktemp -p . tmp.XXXX > name && echo hello > $(cat name) && cat $(cat name) && rm $(cat name) name",
    ):
        app.both(command, status=None)
        app.compare()
    app.finish()


def files_are_checked():
    """The comparison itself must see one byte, one size, one name."""
    app = App("self", active=False)
    app.library = ""
    for damage in ("printf X | dd of=a bs=1 seek=50000 conv=notrunc status=none", "truncate -s -1 a", "touch b",
                   "chmod 600 a", "rm a", "ln -sf elsewhere l"):
        app.write("a", pattern(9, 100000))
        app.both("chmod 644 a; ln -sf here l; rm -f b")
        app.compare()
        app.run("managed", ["bash", "-c", damage])
        try:
            app.compare()
        except Failed:
            continue
        raise Failed("the comparison did not see: " + damage)
    app.remove()


apptest.main(dd, cp, text_tools, files_are_checked)
