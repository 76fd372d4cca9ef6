# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""CPython's own tests of files, os, mmap, locks, streams, archives, databases and processes, with their temporary files
in a root. A module that fails there must fail on the kernel as well, in the same tests."""

import os
import re

import apptest
from apptest import App, Failed, SCALE

PYTHON = "/usr/bin/python3"

# Those whose time goes into waiting are left to long runs, or cut to the tests named here.
QUICK = ("fileio", "bufio", "file", "fcntl", "mmap", "tempfile", "shutil", "os", "posix", "gzip", "shelve", "dbm", "dbm_ndbm",
         "dbm_dumb", "mailbox", "pathlib", "fileinput", "zipimport", "filecmp", "glob", "import")
PARTS = {"io": ("CBuffered*", "CTextIO*", "CIOTest"), "tarfile": ("*Write*", "*Append*"),
         "zipfile": ("*Stored*", "*Append*"), "largefile": ("*CLargeFileTest*", "*CopyFile*"),
         "multiprocessing_fork": ("*SharedMemory*", "*WithProcessesTestHeap*", "*WithProcessesTestConnection*"),
         "subprocess": ("*ProcessTestCase.test_std*",)}
LONG = ("io", "tarfile", "zipfile", "largefile", "multiprocessing_fork", "multiprocessing_spawn", "subprocess", "signal",
        "pickle", "eintr", "logging", "bz2", "lzma", "threading", "asyncio", "import", "py_compile", "venv")


def run(app, side, modules, parts=()):
    directory = app.dir[side]
    args = [PYTHON, "-m", "test", "-v", "--tempdir", directory]
    for part in parts:
        args += ["-m", part]
    return app.run(side, args + ["test_" + m for m in modules], {"TMPDIR": directory})


def wrong(result):
    """Names of the tests that did not pass."""
    return set(re.findall(r"^(?:FAIL|ERROR): (.*)$", result.stdout.decode(errors="replace"), re.M))


def judge(app, name, modules, parts=()):
    managed = run(app, "managed", modules, parts)
    if b"== CPython" not in managed.stdout or b"No module named test" in managed.stderr or \
            b"No module named 'test" in managed.stdout:
        raise Failed("the tests of python3 are not installed: %s" % apptest.tail(managed.stdout + managed.stderr))
    if managed.returncode == 0:
        return
    kernel = run(app, "kernel", modules, parts)
    if managed.returncode != kernel.returncode or not wrong(managed) <= wrong(kernel) or not wrong(managed):
        raise Failed("%s: status %d, on the kernel %d; only under the library: %s\n%s" %
                     (name, managed.returncode, kernel.returncode, sorted(wrong(managed) - wrong(kernel)),
                      apptest.tail(managed.stdout, 6000)))
    print("note: %s fails on the kernel, too: %s" % (name, sorted(wrong(kernel))))


def finish(app):
    # What the tests leave behind on the kernel they may leave here.
    app.check_logs()
    app.check_active()
    app.remove()


def quick():
    app = App("python_suite", timeout=200)
    judge(app, "quick", QUICK)
    finish(app)


def parts():
    app = App("python_suite.parts", timeout=200)
    for module, patterns in PARTS.items():
        judge(app, module, (module,), patterns)
    finish(app)


def long():
    if SCALE < 2:
        return
    app = App("python_suite.long", timeout=600)
    for module in LONG:
        judge(app, module, (module,))
    finish(app)


def rights():
    """As an ordinary user, whom permissions bind."""
    if os.geteuid():
        return
    app = App("python_suite.rights", timeout=200, user=65534)
    judge(app, "rights", ("os", "posix", "shutil", "tempfile", "pathlib", "mmap", "fileio"))
    finish(app)


apptest.main(quick, parts, rights, long)
