# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""Compressors and archivers, editors of whole files, and the small tools of scripts: flock, truncate, fallocate, mktemp,
tee, split, install, shred. What they leave is read by other tools, and compared byte for byte."""

import random

import apptest
from apptest import App, Failed


def fill(app):
    """Text that compresses well, bytes that do not, a sparse file, an empty one; with fixed times and modes."""
    rng = random.Random(12)
    app.both("mkdir -p src/deep/er && chmod 755 src src/deep src/deep/er")
    app.write("src/text", b"".join(b"line %d of %d\n" % (i, i * i) for i in range(30000)))
    app.write("src/noise", rng.randbytes(700001))
    app.write("src/holes", rng.randbytes(4096) + bytes(1 << 20) + rng.randbytes(100))
    app.write("src/empty", b"")
    for i in range(40):
        app.write("src/deep/%sf%d" % ("er/" if i % 2 else "", i), rng.randbytes(rng.randrange(9000)))
    app.both("ln src/text src/hard; ln -s text src/link; find src -type f -exec chmod 644 {} +; "
             "find src -exec touch -h -d 2026-01-01T00:00:00Z {} +")


def compressors():
    app = App("tools.compressors", timeout=200)
    fill(app)
    for command in (
            "for z in gzip bzip2 xz zstd lz4; do $z -q -k -c src/text > t.$z && $z -dc t.$z | cmp - src/text || exit; done",
            "cp src/text a && gzip a && gunzip a.gz && cmp a src/text",
            "cp src/noise b && bzip2 b && bzip2 -t b.bz2 && bunzip2 b.bz2 && cmp b src/noise",
            "cp src/holes c && xz -1 c && xz -t c.xz && unxz c.xz && cmp c src/holes",
            "cp src/text d && zstd -q --rm -T2 d && zstd -q -t d.zst && unzstd -q --rm d.zst && cmp d src/text",
            "lz4 -q src/holes e.lz4 && lz4 -q -d --sparse e.lz4 e && cmp e src/holes",
            "xz -T2 --block-size=50000 -c src/noise > f.xz && xz -dc -T2 f.xz | cmp - src/noise; xz --robot -l f.xz | head -3",
            "cat t.gzip t.gzip | gunzip | cmp - <(cat src/text src/text); gzip -1 < src/noise >> t.gzip; gzip -t t.gzip",
            "zstd -q -19 --long src/noise -o g.zst; zstd -q --patch-from=src/text a -o h.zst; "
            "zstd -q -d --patch-from=src/text h.zst -o h && cmp h src/text",
            "truncate -s 1000 t.xz; xz -t t.xz; printf x | dd of=t.bzip2 bs=1 seek=500 conv=notrunc status=none; bzip2 -t t.bzip2",
    ):
        app.both(command, status=None, files=True)
    app.finish()


def archivers():
    app = App("tools.archivers", timeout=200, served=True)
    fill(app)
    for command in (
            "zip -q -X -r a.zip src && unzip -t a.zip | tail -1 && unzip -q a.zip -d x && diff -r x/src src",
            "echo changed >> src/deep/f0; touch -d 2026-01-02T00:00:00Z src/deep/f0; zip -q -X -u a.zip src/deep/f0; "
            "zip -q -d a.zip src/noise; unzip -p a.zip src/deep/f0 | cmp - src/deep/f0; unzip -l a.zip | wc -l",
            "zip -q -X -s 100k -r s.zip src && zip -q -s 0 s.zip --out one.zip && unzip -q one.zip -d y && diff -r y/src src",
            "find src | sort | cpio -o --quiet --reproducible -H newc > a.cpio && cpio -t --quiet < a.cpio | wc -l",
            "mkdir z && cd z && cpio -i --quiet -d --sparse < ../a.cpio && diff -r src ../src && stat -c '%h %s' src/text",
            "echo src/text | cpio -o --quiet -H newc -A -F a.cpio; cpio -i --quiet --to-stdout src/text < a.cpio | wc -c",
            "find src | sort | cpio -p --quiet -d -l linked && stat -c %h linked/src/noise; find src | cpio -p --quiet -dm new && "
            "diff -r new/src src",
            "ar rcD lib.a src/deep/f1 src/deep/f0 && ar t lib.a && ar p lib.a f0 | cmp - src/deep/f0 && ar dD lib.a f1 && ar t lib.a",
            "printf garbage | dd of=a.zip bs=1 seek=2000 conv=notrunc status=none; unzip -qt a.zip 2>&1 | tail -1 | cut -c 1-30",
    ):
        app.both(command, status=None)
        # cpio's inode numbers, and the headers' checksums of them; zip's split archives tell the time of the split.
        app.compare(ignore=(r"\.cpio$", r"^s\.z"))
    app.finish(ignore=(r"\.cpio$", r"^s\.z"))


EDIT = r"""ed -s a << END
1,100d
,s/line/LINE/
$a
the end
.
w
1000,2000m0
w b
r src/deep/f0
u
q
END
"""


def editors():
    app = App("tools.editors", served=True)
    fill(app)
    for command in (
            "cp src/text a; " + EDIT,
            "cp src/text old; sed -e '5d' -e '100,200s/of/OF/' -e '20000a more' old > new; diff -u --label old --label new old new > p; "
            "patch -s old < p && cmp old new; patch -s -R old < p && cmp old src/text; patch -s -b -z .orig old p && ls",
            "diff -u --label a --label b src/text new > q; sed -i 1,3d old; patch -s old < q; echo $?; cat old.rej | head -3 | cut -c 1-20",
            "mkdir one two; cp src/text one/f; cp new two/f; cp src/noise one/g; diff -ruN one two | sed 's/\t20.*//' > r; cd one && patch -s -p1 < ../r; "
            "cmp f ../two/f; diff -e f ../src/text > ../s; (cat ../s; echo w) | ed -s f; cmp f ../src/text",
            "sed -i.bak -e 's/line/word/' a; sed -i -e '/1/w out' -e '/2/d' a; sed -i -n '$=' b; cat b; sed -i '' src/empty",
            "perl -i.pl -pe 's/word/perl/' a; perl -0777 -i -pe 's/LINE/x/g' a.bak; awk -i inplace '{ print NR, $0 }' a; tail -2 a",
            "printf '%s\n' 'g/9/d' 'w' 'q' | ex -s a 2> /dev/null; wc -l a; tr -d x < a > t && mv t a; rev a | tac > t && cat t > a",
            "tee -a a c d < src/deep/f2 > e; tee a < new | tee -a c | wc -l; yes | head -c 100000 | tee f > /dev/null",
    ):
        app.both(command, status=None, files=True)
    app.finish()


def scripts():
    app = App("tools.scripts", served=True)
    fill(app)
    for command in (
            # Each adds one under the lock: none is lost.
            "echo 0 > n; for i in 1 2 3 4 5 6; do (for j in $(seq 20); do flock n.lock bash -c 'read n < n; echo $((n + 1)) > n'; "
            "done) & done; wait; cat n",
            "echo 0 > n; for i in 1 2 3 4; do (for j in $(seq 25); do (flock 9; read n < n; echo $((n + 1)) > n) 9>> n.lock; done) & "
            "done; wait; cat n; flock -n n.lock -c 'flock -n n.lock true || echo held'; flock -s n.lock -c 'flock -sn n.lock echo both'",
            "truncate -s 100K a; truncate -s +50K a; truncate -s -1 a; truncate -s '<1000' src/noise; truncate -s '>70000' a; "
            "truncate -r src/text a; truncate -c -s 5 none; truncate -s '/4096' a; ls; stat -c %s a src/noise",
            "fallocate -l 300000 b; dd if=src/text of=b bs=4k conv=notrunc status=none; fallocate -p -o 8192 -l 20000 b; "
            "fallocate -z -o 100000 -l 9000 b; fallocate -n -l 900000 b; stat -c %s b; fallocate -c -o 0 -l 4096 b; "
            "fallocate -i -o 4096 -l 8192 b; fallocate -x -l 400000 b; fallocate -d b; stat -c %s b; md5sum b",
            "f=$(mktemp -p . x.XXXXXX); d=$(mktemp -d -p .); echo one > $f; cp $f $d/two; stat -c '%a %s' $f $d/two; cat $d/two; "
            "rm -r $f $d",
            "split -n 7 src/text s. && cat s.?? | cmp - src/text; split -n r/3 src/text r. && wc -l r.??; split -C 5000 -d -a 3 "
            "src/deep/f1 c.; split -b 10000 --filter='gzip -n > $FILE.gz' src/text z. && zcat z.*.gz | cmp - src/text",
            "install -m 755 -D src/text i/j/k; install -C -m 644 src/text i/l; install -C -m 644 src/text i/l; install -b src/noise i/l; "
            "install -d i/m; install -t i/m src/deep/f?; ls -R i; install -s /bin/true i/true && i/true && echo runs",
            "cp src/text e; shred -n 2 --random-source=src/holes e; cmp -s e src/text || echo gone; wc -c e; shred -u -n 1 e; "
            "cp src/noise f; shred -z -n 0 -x f; tr -d '\\0' < f | wc -c; cp src/noise g; shred -n 1 -s 5K --random-source=src/text g",
            "join -j 2 <(sort -k 2,2 src/text) <(sort -k 2,2 src/text) | wc -l; sort -u -o u src/text; sort -m u u | uniq -c | wc -l; look 'line 77' u | "
            "head -3; sort --compress-program=gzip -S 50k -T . -r src/text > v; sort -c u && sort -rc v && echo sorted",
            "cksum src/text; sha256sum src/* > sums 2>&1; sha256sum -c --quiet sums; b2sum -l 128 src/text; sum src/noise; "
            "cmp src/text src/hard && cmp src/text src/link && find src -newer src/text | wc -l",
            "mv src/text src/moved; mv -b src/noise src/moved; mv -n src/empty src/moved; mv -T src/deep src/other; ln -f src/moved m; "
            "ls -R src; rm -f m; find src -name 'f*' -size +4k -delete; find . -path ./.nvmmio -prune -o -type f -print0 | sort -z | xargs -0 md5sum",
            "script -q -c 'echo typed' /dev/null | wc -l; "
            "(echo first; sleep 0.05; echo second) > w & tail -F -s 0.01 --pid=$! w 2> /dev/null | sort -u; wait; cat w",
    ):
        app.both(command, status=None, files=True)
    n = app.both("cat n").stdout
    if n != b"100\n":
        raise Failed("flock: %r" % n)
    app.finish()


apptest.main(compressors, archivers, editors, scripts)
