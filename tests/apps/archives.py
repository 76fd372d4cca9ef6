# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""tar, git and rsync: archives, sparse files, repositories through their whole life and in use by several at once."""

import random

import apptest
from apptest import App, Failed

DATES = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
         "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a",
         "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_CONFIG_NOSYSTEM": "1"}


def fill(app):
    rng = random.Random(3)
    app.both("mkdir -p src/a/b src/c; chmod 755 src src/a src/a/b src/c")
    for i in range(60):
        app.write("src/%s/f%d" % (("a", "a/b", "c")[i % 3], i), rng.randbytes(rng.randrange(1, 60000)))
    app.write("src/text", b"".join(b"line %d of a text\n" % i for i in range(20000)))
    app.write("src/sparse", rng.randbytes(5000) + bytes(1 << 20) + rng.randbytes(5000) + bytes(1 << 19))
    app.both("cp --sparse=always src/sparse src/holes; ln -s ../text src/a/link; ln src/text src/hard; touch src/empty;"
             "find src -exec touch -h -d 2026-01-01T00:00:00Z {} +; find src -type f -exec chmod 644 {} +")


def tar():
    app = App("tar", served=True)
    fill(app)
    fixed = "--sort=name --owner=0 --group=0 --numeric-owner "
    for command in (
            "tar %s -cf a.tar src && tar -tvf a.tar" % fixed,
            "tar %s -cf b.tar -S --format=gnu src && tar -tf b.tar" % fixed,
            "tar %s -cf c.tar -S --format=posix --sparse-version=0.0 "
            "--pax-option=delete=atime,delete=ctime,exthdr.name=%%d/x/%%f src" % fixed,
            "tar %s -czf d.tar.gz src && gzip -t d.tar.gz" % fixed,
            "mkdir x && tar -xf a.tar -C x && diff -r x/src src",
            "mkdir y && tar -xSf b.tar -C y && diff -r y/src src",
            "mkdir z && tar -xf c.tar -C z && diff -r z/src src",
            "tar -xf a.tar -C x --overwrite && diff -r x/src src",
            "tar -df a.tar",
            "tar %s -rf a.tar src/text && tar -tf a.tar | tail -2" % fixed,
            "tar -uf a.tar src/text; tar --delete -f a.tar src/c && tar -tf a.tar | wc -l",
            "tar -cf - src | tar -xf - -C z && diff -r z/src src",
            "rm -rf x y",
    ):
        app.both(command)
        app.compare()
    app.finish()


def git():
    app = App("git", timeout=200, mapped=True)
    fill(app)
    app.both("rm src/holes src/hard && mv src repo", DATES)
    for command in (
            "git init -q -b main repo && git -C repo config pack.threads 1 && git -C repo config core.fsync all "
            "&& git -C repo config gc.auto 0",
            "cd repo && git add -A && git commit -q -m one && git rev-parse HEAD",
            "cd repo && for i in 1 2 3 4 5 6 7 8; do echo change $i >> text; echo $i > n$i; git add -A; "
            "git commit -q -m c$i || exit 1; done; git log --format='%H %s'",
            "cd repo && git fsck --full --strict 2>&1",
            "cd repo && git checkout -q -b side HEAD~3 && sed -i '1s/.*/side/' text && git commit -qam side && "
            "git checkout -q main && git merge -q -m merge side && git log --oneline --graph && git status --short",
            "git clone -q --no-hardlinks repo clone && git -C clone fsck --full && git -C clone rev-parse HEAD",
            "git clone -q --bare file://$PWD/repo bare.git && git -C bare.git fsck --full",
            "cd repo && git gc -q --prune=now && git fsck --full && git count-objects -v | grep -v size",
            "cd clone && echo more > more && git add more && git commit -qm more && git push -q ../bare.git "
            "HEAD:refs/heads/pushed && git -C ../bare.git rev-parse pushed",
            "cd repo && git pull -q ../bare.git pushed && git rev-parse HEAD && git stash list && "
            "git diff HEAD~4 --stat && git archive HEAD | md5sum",
            "cd repo && git repack -adq --threads=1 && git verify-pack -v .git/objects/pack/*.idx | tail -1 | wc -l",
            "cd repo && rm -rf a && git checkout -q -- a && git reset -q --hard HEAD~1 && git status --short && "
            "git reflog | wc -l",
    ):
        app.both(command, DATES)
    # Without the library: the managed side's repositories are sound, and say the same as the kernel's.
    for name in ("repo", "clone", "bare.git"):
        results = []
        for side in apptest.SIDES:
            r = app.run("kernel", ["bash", "-c", "git -C %s/%s fsck --full && git -C %s/%s log --all --format=%%H" %
                                   (app.dir[side], name, app.dir[side], name)])
            results.append((r.returncode, r.stdout))
        if results[0] != results[1] or results[0][0]:
            raise Failed("%s: %r" % (name, results))
    # The index holds inode numbers and times, a clone's configuration and log the path of its origin.
    app.finish(ignore=(r"\.git/index$", r"^(clone/\.git|bare\.git)/(config$|logs/)"))


def git_at_once():
    """Several processes commit to branches of one repository while it is packed and checked again and again."""
    app = App("git.at_once", timeout=200)
    app.both("git init -q -b main repo && cd repo && git config gc.auto 0 && git config core.fsync all && "
             "echo start > start && git add -A && git commit -q -m start", DATES)
    worker = ("git worktree add -q ../w$1 -b b$1 2> /dev/null; cd ../w$1 && for i in $(seq %d); do "
              "seq $((i * $1 * 50)) > f$i; echo $i >> log; git add -A && git commit -q -m \"$1 $i\" || exit 1; done; "
              "git log --format=%%s | wc -l" % (6 * apptest.SCALE))
    app.both("cd repo; for n in 1 2 3; do bash -c '%s' worker $n > ../out$n 2> ../err$n & pids=\"$pids $!\"; done; "
             "for i in 1 2 3; do git repack -a -d -q; git fsck --connectivity-only; git pack-refs --all; done "
             "> /dev/null 2>&1; for p in $pids; do wait $p || echo worker; done; cat ../out? ../err?" %
             worker, DATES, status=None)
    app.both("cd repo && git gc -q --prune=now && git fsck --full --strict && git for-each-ref && git merge -q -m all b1 "
             "-s ours && git merge -q -m all b2 -s ours && git log --format=%s | sort | md5sum", DATES)
    checked = [app.run("kernel", ["bash", "-c", "cd %s/repo && git fsck --full && git log --all --format=%%H" %
                                  app.dir[side]]) for side in apptest.SIDES]
    if checked[0].returncode or checked[0].stdout != checked[1].stdout or checked[1].returncode:
        raise Failed("without the library: %r" % [c.stderr for c in checked])
    # What was packed together, and which loose objects came first, is the race's; indices hold inode numbers.
    app.finish(ignore=(r"^repo/\.git/(objects|gc\.pid|index|worktrees|logs|packed-refs)", r"\.git$", r"^err", r"^out"))


def rsync():
    app = App("rsync", served=True)
    fill(app)
    same = "touch -d 2026-01-02T00:00:00Z "
    for command in (
            "rsync -a src/ a && diff -r src a",
            "rsync -aiH --dry-run src/ a",
            "rsync -aS src/ b && diff -r src b",
            "for f in a/a/f0 a/c/f2 a/text; do echo change >> $f; printf x | dd of=$f bs=1 seek=1000 conv=notrunc "
            "status=none; %s $f; done; rsync -aic src/ a && diff -r src a" % same,
            "for f in a/a/f3 a/text a/sparse; do printf yyy | dd of=$f bs=1 seek=4095 conv=notrunc status=none; %s $f; done; "
            "rsync -ai --inplace --no-whole-file src/ a && diff -r src a" % same,
            "truncate -s 300000 a/text; %s a/text; rsync -a --append-verify src/ a && diff -r src a" % same,
            "rsync -a --preallocate --fsync src/ c && diff -r src c",
            "rsync -aH --link-dest=../a src/ d && diff -r src d && stat -c %h d/text",
            "rsync -a --partial-dir=.part --delay-updates src/ e && diff -r src e; rm -r src/c; rsync -ai --delete src/ e",
            "rsync -a --sparse --inplace src/ c; rsync -a --write-devices --inplace src/text c/text && cmp src/text c/text",
            "rsync -a --remove-source-files e/ f && find e -type f | wc -l",
            "rsync -a --backup --suffix=.old src/a/ f/a; rsync -a --existing --ignore-times --bwlimit=100000 src/ f",
            "rsync -az --compress-choice=zlib -e ./remote src/ host:$PWD/g && diff -r src g",
    ):
        app.write("remote", b"#!/bin/sh\nshift\nexec \"$@\"\n")
        app.both("chmod 755 remote; " + command)
        app.compare(ignore=(r"^remote$",))
    times = [app.run("kernel", ["bash", "-c", "cd %s && find . -path ./.nvmmio -prune -o -type f -printf '%%p %%Ts %%m %%s\n' | "
                                "grep -v remote | sort" % app.dir[side]]).stdout for side in apptest.SIDES]
    if times[0] != times[1]:
        raise Failed("other times: %s" % (set(times[0].split(b"\n")) ^ set(times[1].split(b"\n"))))
    app.finish()


apptest.main(tar, git, git_at_once, rsync)
