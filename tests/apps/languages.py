# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""perl, java, node and vim: programs of programs/, each with its interpreter's own ways to files."""

import os
import re
import shutil

import apptest
from apptest import App, Failed

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")


def needs(name):
    if not shutil.which(name):
        raise Failed("%s is not installed" % name)


def perl():
    needs("perl")
    app = App("languages.perl", served=True)
    app.both(["perl", os.path.join(PROGRAMS, "files.pl")])
    app.finish(ignore=(r"\.db$",))  # has an identity of its own


def java():
    """The library's handlers of SIGSEGV and the machine's, in both orders: the first run opens a file of the root when it
    starts, to log into it."""
    needs("javac")
    app = App("languages.java", served=True, mapped=True, timeout=200)
    classes = os.path.join(app.base, "classes")
    made = app.run("kernel", ["javac", "-encoding", "UTF-8", "-d", classes, os.path.join(PROGRAMS, "Files.java")])
    if made.returncode:
        raise Failed(apptest.tail(made.stderr))
    options = ["-XX:+UseSerialGC", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", classes]
    app.both(["java", "-Xlog:gc:file=log"] + options + ["Files"])
    app.both("rm -f log; mkdir first; mv * first/ 2> /dev/null; ls")
    app.both(["java", "-Xcheck:jni"] + options + ["Files"])  # would tell of handlers that are not the machine's
    app.finish()


def node():
    needs("node")
    app = App("languages.node", served=True)
    for rings in ("0", "1"):
        app.both("mkdir %s" % rings)
        app.both("cd %s && UV_USE_IO_URING=%s node %s" % (rings, rings, os.path.join(PROGRAMS, "files.js")))
    app.finish()


def vim():
    needs("vim")
    app = App("languages.vim", served=True)
    app.write("a", b"".join(b"%d\n" % i for i in range(20000)))
    app.write("b", b"".join(b"line %d\n" % i for i in range(3000)))
    app.both(["vim", "-e", "-s", "-u", "NONE", "-i", "NONE", "-S", os.path.join(PROGRAMS, "edit.vim")], status=None,
             stdin=b"", output=False)
    for name in ("a", "b", "c", "d", "f", "g", "new"):
        if not os.path.exists(os.path.join(app.dir["kernel"], name)):
            raise Failed("vim made no %s" % name)
    # Undo files hold times, and their names the directory's.
    app.finish(ignore=(re.escape(".un~") + "$",))


def vim_killed():
    """What was preserved before a SIGKILL is in the swap file, and another vim recovers it."""
    needs("vim")
    app = App("languages.vim_killed")
    app.write("a", b"".join(b"%d\n" % i for i in range(20000)))
    quiet = ["vim", "-e", "-s", "-u", "NONE", "-i", "NONE"]
    for side in apptest.SIDES:
        ready = os.path.join(app.dir[side], "ready")
        editor = app.start(side, quiet + ["-c", "set swapsync=fsync directory=.", "-c", "edit a", "-c", "1,5000d", "-c",
                                          "%s/7/seven/", "-c", "preserve", "-c", "$put ='the end'", "-c", "preserve", "-c",
                                          "call writefile([], 'ready')", "-c", "sleep 300"], stdin=-1, stdout=-3, stderr=-3)
        apptest.wait_until("vim is ready", lambda: os.path.exists(ready))
        app.kill(editor)
        editor.stdin.close()
    app.both(quiet + ["-r", "a", "-c", "write! recovered", "-c", "quit!"], status=None, stdin=b"", output=False)
    lines = ["%d" % i for i in range(5000, 20000)]
    with open(os.path.join(app.dir["managed"], "recovered")) as f:
        if f.read().split("\n") != [line.replace("7", "seven", 1) for line in lines] + ["the end", ""]:
            raise Failed("the swap file gave another text")
    app.finish(ignore=(r"\.sw.$",))  # with a time and a process in it


apptest.main(perl, java, node, vim, vim_killed)
