# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""CPython's own tests of files, os, mmap, locks, streams, archives, databases and processes, with their temporary files
in a root. A module that fails there must fail on the kernel as well, in the same tests."""

import concurrent.futures
import os
import re
import time

import apptest
from apptest import App, Failed, SCALE

PYTHON = "/usr/bin/python3"

QUICK = ("fileio", "bufio", "file", "fcntl", "mmap", "tempfile", "shutil", "os", "posix", "gzip", "shelve", "dbm", "dbm_ndbm",
         "dbm_dumb", "mailbox", "pathlib", "fileinput", "zipimport", "filecmp", "glob", "import")
# Modules whose time goes into waiting: several at once, whole; those of LONG in long runs alone.
WAITING = ("multiprocessing_fork", "io", "subprocess", "logging", "largefile", "threading", "eintr", "tarfile", "zipfile",
           "py_compile", "pickle", "multiprocessing_main_handling")
LONG = ("asyncio", "signal", "venv", "lzma", "bz2", "concurrent_futures", "multiprocessing_spawn", "multiprocessing_forkserver")
AT_ONCE = 4


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


def take_up(app):
    """What processes left that the tests killed is taken up by the next one that works in the directory. Helpers of the tests
    may live a little longer than these (multiprocessing's resource tracker)."""
    path = os.path.join(app.dir["managed"], "next")
    for _ in range(20):
        app.run("managed", [PYTHON, "-c", "import os, sys; path = sys.argv[1]; fd = os.open(path, os.O_RDWR | os.O_CREAT); "
                            "os.write(fd, b'x'); os.close(fd); os.unlink(path)", path])
        if not app.logs_left():
            return
        time.sleep(0.5)


def finish(app):
    take_up(app)
    # What the tests leave behind on the kernel they may leave here.
    app.check_logs()
    app.check_active()
    app.remove()


def quick():
    app = App("python_suite", timeout=200)
    judge(app, "quick", QUICK)
    finish(app)


def waiting():
    """Each in a directory of its own; the longest are begun first."""
    def one(module):
        app = App("python_suite." + module, timeout=400, active=module != "eintr")  # that one has no files
        judge(app, module, (module,))
        take_up(app)
        app.check_logs(shared=False)  # the others are still at work
        app.check_active()

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = [pool.submit(one, m) for m in WAITING + (LONG if SCALE > 1 else ())]
    for result in results:
        result.result()
    apptest.check_shared()


def rights():
    """As an ordinary user, whom permissions bind."""
    if os.geteuid():
        return
    app = App("python_suite.rights", timeout=200, user=65534)
    judge(app, "rights", ("os", "posix", "shutil", "tempfile", "pathlib", "mmap", "fileio"))
    finish(app)


apptest.main(quick, waiting, rights)
