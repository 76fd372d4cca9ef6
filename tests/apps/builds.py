# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""Programs that live by times, sizes and by executing what was just written: gcc with as, ld and ar, make, ninja, scripts,
cp -p, tar, rsync and git as they decide what has changed. All files are attached as on PM."""

from apptest import App, main

FORCE = ",pm:force"  # files attach whether it pays or not

SOURCES = {
    "main.c": b'#include "part.h"\n#include <stdio.h>\nint main(void){printf("%d %s\\n", part(4), word());return 0;}\n',
    "part.c": b'#include "part.h"\nint part(int x){return x * 3;}\n',
    "word.c": b'#include "part.h"\nconst char *word(void){return "one";}\n',
    "part.h": b"int part(int);\nconst char *word(void);\n",
    "Makefile": b"prog: main.o libpart.a\n\tgcc -o $@ main.o -L. -lpart\n"
                b"libpart.a: part.o word.o\n\trm -f $@\n\tar rcs $@ part.o word.o\n"
                b"%.o: %.c part.h\n\tgcc -g -O -c $< -o $@\n",
    "build.ninja": b"rule cc\n command = gcc -MMD -MF $out.d -c $in -o $out\n depfile = $out.d\n deps = gcc\n"
                   b"rule ar\n command = rm -f $out && ar rcs $out $in\nrule ld\n command = gcc -o $out $in\n"
                   b"build n/main.o: cc main.c\nbuild n/part.o: cc part.c\nbuild n/word.o: cc word.c\n"
                   b"build n/libpart.a: ar n/part.o n/word.o\nbuild n/prog: ld n/main.o n/libpart.a\ndefault n/prog\n",
}


def sources(app):
    for name, data in SOURCES.items():
        app.write(name, data)


def gcc():
    """Written, closed and executed at once: never ETXTBSY, for programs, archives, shared objects and scripts."""
    app = App("gcc", conf=FORCE)
    sources(app)
    app.both("for i in 1 2 3; do gcc -O -o x main.c part.c word.c && ./x || exit 1; done; rm x; gcc -o x *.c && ./x")
    app.both("gcc -S main.c part.c word.c && as -o m.o main.s && as -o p.o part.s && as -o w.o word.s && "
             "ar rcs lib.a p.o w.o && ar t lib.a && gcc -o y m.o lib.a && ./y && strip y && ./y && cmp <(./x) <(./y)")
    app.both("gcc -shared -fPIC -o libpart.so part.c word.c && gcc -o z main.c -L. -lpart -Wl,-rpath,$PWD && ./z && "
             "cp z zz && ./zz && install -m 755 z zi && ./zi && cat z > zc && chmod +x zc && ./zc && mv zc zm && ./zm")
    app.both("for i in 1 2 3 4 5; do printf '#!/bin/sh\\necho script %s\\n' $i > s; chmod +x s; ./s || exit 1; done; "
             "echo 'echo more' >> s; ./s; sed -i s/script/changed/ s; ./s; cp s t; ./t")
    # Overwritten in place, read again and again, and executed while it is open for reading.
    app.both("cp x y; for i in 1 2 3; do cat x > y; sync y; ./y; done; exec 5< y; cat <&5 | cmp - x; "
             "for i in 1 2 3 4; do cat y y y | wc -c; done; ./y; exec 5<&-")
    app.both("python3 -c \"import os,subprocess\nf=os.open('s',os.O_RDONLY)\nfor i in range(40): os.pread(f,4096,0)\n"
             "print(subprocess.run(['./s'],capture_output=True).stdout)\"")
    app.finish(ignore=(r"\.so$", r"^(x|y|z|zz|zi|zm|lib\.a)$", r"\.o$"))


def make():
    app = App("make", timeout=200, conf=FORCE)
    sources(app)
    for command in (
            "make -s && ./prog && make -q",
            "make | grep -c 'up to date'",
            "sleep 0.02; echo '/* more */' >> word.c; make -q; echo $?; make && ./prog && make -q",
            "sleep 0.02; sed -i 's/\"one\"/\"two\"/' word.c; make && ./prog && make -q",
            "sleep 0.02; printf X | dd of=part.h bs=1 seek=3 conv=notrunc status=none; printf ' ' | "
            "dd of=part.h bs=1 seek=3 conv=notrunc status=none; make -q; echo $?; make && ./prog && make -q",
            "touch -d '2030-01-01' part.c; make -q 2> /dev/null; echo $?; touch -d '2020-01-01' part.c; touch part.o; make && make -q",
            "touch -r main.c copy; test copy -nt main.c; echo $?; test main.c -nt copy; echo $?",
            "make -j4 -B && ./prog",
    ):
        app.both(command, status=None)
    app.finish(ignore=(r"\.[oa]$", "^prog$"))


def ninja():
    app = App("ninja", timeout=200, conf=FORCE)
    sources(app)
    for command in (
            "ninja -d explain > log 2>&1; ./n/prog && ninja",
            "sleep 0.02; echo '/* more */' >> word.c; ninja -n | grep -c ar; ninja > log && ./n/prog && ninja",
            "sleep 0.02; echo '/* more */' >> part.h; ninja > log && ./n/prog && ninja",
            "touch -d '2020-01-01' n/part.o; ninja > log; ninja",
            "ninja -t restat; ninja -t deps n/main.o | head -1 | cut -d, -f1; ninja",
    ):
        app.both(command, status=None)
    app.finish(ignore=(r"^n/", r"^log$", r"\.ninja_"))


def copies():
    """A time that was set stays, to the nanosecond, whoever sets it."""
    app = App("copies", served=True, conf=FORCE)
    app.write("in", b"0123456789" * 5000)
    told = "stat -c '%n %s %.9Y %a'"
    for command in (
            "touch -d '2021-02-03 04:05:06.123456789' in; cp -p in a; cp --preserve=timestamps in b; install -p in c; %s a b c" % told,
            "cp -p in a; cat in >> d; cp -p in d; %s a d" % told,
            "for i in 1 2 3; do cat in in > e; sync e; touch -d '2022-01-01 00:00:00.5' e; %s e; done; sleep 1.2; %s e" % (told, told),
            "tar -cf t.tar in a b e && rm a b e && tar -xpf t.tar && %s a b e && tar -df t.tar" % told,
            "tar -xpf t.tar --overwrite && %s a b e && tar -df t.tar" % told,
            "mkdir s r; cp -p in a b e s; rsync -a s/ r; rsync -ai s/ r; rsync -aic s/ r; %s r/*" % told,
            "echo more >> s/a; touch -d '2021-01-01' s/a; rsync -ai s/ r | cut -c 1-11; rsync -ai --inplace s/ r; %s r/*" % told,
            "python3 -c \"import os\nf=os.open('in',os.O_RDWR)\nos.write(f,b'x')\nos.fsync(f)\nos.write(f,b'y')\n"
            "os.utime(f,ns=(5,7))\nos.close(f)\"; %s in; sleep 1.1; %s in" % (told, told),
    ):
        app.both(command)
    app.finish(ignore=(r"\.tar$",))


def git():
    """git knows by size and times what has changed; a clean tree stays clean, a change of the same size is seen."""
    app = App("git.status", timeout=200, conf=FORCE)
    dates = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
             "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a",
             "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_CONFIG_NOSYSTEM": "1"}
    sources(app)
    app.both("mkdir repo && mv *.c *.h Makefile build.ninja repo && cd repo && git init -q -b main . && git add *.c *.h Makefile && git commit -qm one && git status --porcelain", dates)
    for command in (
            "sleep 1.1; git status --porcelain -uno; git diff --stat",
            "printf 'I' | dd of=part.c bs=1 seek=1 conv=notrunc status=none; git status --porcelain -uno; git checkout -q part.c; "
            "git status --porcelain -uno",
            "echo >> word.c; git status --porcelain -uno; git commit -qam two; git status --porcelain -uno; git checkout -q HEAD~1; "
            "git status --porcelain -uno; git checkout -q main; git status --porcelain -uno",
            "for i in 1 2 3; do sed -i \"s/x \\* [0-9]/x * $i/\" part.c; git commit -qam $i; git status --porcelain -uno; done; "
            "git log --format=%s; git stash list",
            "git update-index --refresh; git ls-files -m; git fsck 2>&1; git gc -q; git status --porcelain -uno",
    ):
        app.both("cd repo; " + command, dates)
    app.finish(ignore=(r"\.git/(index|logs|gc)", ))


main(gcc, make, ninja, copies, git)
