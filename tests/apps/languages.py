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
    app = App("languages.perl")
    app.both(["perl", os.path.join(PROGRAMS, "files.pl")])
    app.finish(ignore=(r"\.db$",))  # has an identity of its own


def java():
    """The library's handlers of SIGSEGV and the machine's, in both orders: the first run opens a file of the root when it
    starts, to log into it."""
    needs("javac")
    app = App("languages.java", timeout=200)
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
    app = App("languages.node")
    for rings in ("0", "1"):
        app.both("mkdir %s" % rings)
        app.both("cd %s && UV_USE_IO_URING=%s node %s" % (rings, rings, os.path.join(PROGRAMS, "files.js")))
    app.finish()


def vim():
    needs("vim")
    app = App("languages.vim")
    app.write("a", b"".join(b"%d\n" % i for i in range(20000)))
    app.write("b", b"".join(b"line %d\n" % i for i in range(3000)))
    app.both(["vim", "-e", "-s", "-u", "NONE", "-i", "NONE", "-S", os.path.join(PROGRAMS, "edit.vim")], status=None,
             stdin=b"", output=False)
    for name in ("a", "b", "c", "d", "f", "g", "new"):
        if not os.path.exists(os.path.join(app.dir["kernel"], name)):
            raise Failed("vim made no %s" % name)
    # Undo files hold times, and their names the directory's.
    app.finish(ignore=(re.escape(".un~") + "$",))


apptest.main(perl, java, node, vim)
