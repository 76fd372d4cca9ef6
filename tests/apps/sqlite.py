# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""sqlite3: many small transactions in each journal mode, two writers at once, and what fcntl locks depend on."""

import os
import sys

import apptest
from apptest import App, Failed, SCALE

ROWS = 20000 * SCALE
MODES = ("DELETE", "TRUNCATE", "PERSIST", "WAL")


def script(mode, first, rows, writer):
    yield "PRAGMA busy_timeout=30000;"
    yield "PRAGMA journal_mode=%s;" % mode
    yield "PRAGMA synchronous=FULL;"
    yield "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, writer TEXT, text TEXT);"
    for i in range(first, first + rows):
        yield "INSERT INTO t VALUES(%d,'%s','%s');" % (i, writer, ("%x" % (i * 2654435761)) * 4)
        if i % 10 == 9:
            yield "UPDATE t SET text='changed %d' WHERE id=%d;" % (i, i - 7)
        if i % 50 == 49:
            yield "DELETE FROM t WHERE id=%d;" % (i - 20)
    yield "PRAGMA integrity_check;"
    yield "SELECT count(*), sum(length(text)) FROM t;"


def transactions(mode):
    app = App("sqlite." + mode, timeout=300, served=True, mapped=mode == "WAL")  # its -shm
    rows = ROWS if mode in ("DELETE", "WAL") else ROWS // 2
    text = "\n".join(script(mode, 0, rows * 10 // 11, "a")).encode()
    out = app.both(["sqlite3", "-batch", "test.db"], stdin=text)
    if b"ok" not in out.stdout:
        raise Failed("integrity_check: %r" % out.stdout[-300:])
    app.both(["sqlite3", "-batch", "test.db", "PRAGMA integrity_check; VACUUM; PRAGMA integrity_check;"])
    dump(app)
    app.finish()


def dump(app):
    """The database as SQLite without the library sees it on both sides."""
    dumps = [app.run("kernel", ["sqlite3", "-readonly", os.path.join(app.dir[s], "test.db"),
                                "PRAGMA integrity_check; SELECT * FROM t ORDER BY id;"]) for s in apptest.SIDES]
    if dumps[0].stdout != dumps[1].stdout or not dumps[0].stdout.startswith(b"ok"):
        raise Failed("without the library: other content, or a bad one: %r" % dumps[1].stdout[:200])


def delete_mode():
    transactions("DELETE")


def truncate_mode():
    transactions("TRUNCATE")


def persist_mode():
    transactions("PERSIST")


def wal_mode():
    transactions("WAL")


def two_writers():
    for mode in ("DELETE", "WAL"):
        app = App("sqlite.two." + mode, timeout=300, served=True)
        for side in apptest.SIDES:
            setup = "PRAGMA journal_mode=%s; CREATE TABLE t(id INTEGER PRIMARY KEY, writer TEXT, text TEXT);" % mode
            if app.run(side, ["sqlite3", "-batch", "test.db", setup]).returncode:
                raise Failed("setup")
            writers = []
            for w in range(2):
                text = "\n".join(script(mode, w * 1000000, 1500 * SCALE, "w%d" % w)).encode()
                p = app.start(side, ["sqlite3", "-batch", "test.db"], stdin=-1, stdout=-1, stderr=-1)
                writers.append((p, text))
            results = communicate(writers, app)
            for (p, _), (out, err) in zip(writers, results):
                if p.returncode or err or b"ok" not in out:
                    raise Failed("%s, %s side: status %d, %r %r" % (mode, side, p.returncode, out[-200:], err[-500:]))
            app.run(side, ["sqlite3", "-batch", "test.db", "PRAGMA wal_checkpoint(TRUNCATE);"])
        dump(app)
        app.finish(ignore=(r"^test\.db$",))  # pages in the order of the race


def communicate(processes, app):
    """Feeds all processes at once: each has its own thread."""
    import subprocess
    import threading
    results = [None] * len(processes)

    def one(i, p, text):
        try:
            results[i] = p.communicate(text, timeout=app.timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            results[i] = (b"", b"hang")

    threads = [threading.Thread(target=one, args=(i, p, t)) for i, (p, t) in enumerate(processes)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


LOCKS = r'''
import fcntl, os, struct, subprocess, sys, time
def say(*what): print(*what, flush=True)
def other(what):
    return subprocess.run([sys.executable, "-c", COMMON + what], stdout=-1, stderr=-1).stdout.decode().strip()
COMMON = """
import fcntl, os, struct, sys
def lock(fd, kind, start, length):
    try:
        fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack("hhqqi", kind, 0, start, length, 0)); return "granted"
    except OSError as e:
        return "refused"
def work(fd):
    for i in range(50):
        os.pwrite(fd, b"x" * 5000, i * 3000)
        if i % 10 == 0: os.fsync(fd)
"""
exec(COMMON)
fd = os.open("locked", os.O_RDWR | os.O_CREAT, 0o600)
work(fd)
say("a", lock(fd, fcntl.F_WRLCK, 100, 10))
work(fd)                                         # attaches after the lock was taken
ATTACH = 'fd = os.open("locked", os.O_RDWR); work(fd); print(lock(fd, fcntl.F_WRLCK, 105, 1), ' \
         'lock(fd, fcntl.F_WRLCK, 200, 10)); os.close(fd)'
for i in range(5):
    say("b", other(ATTACH))                       # another process attaches, asks and detaches
    work(fd)
    say("c", lock(fd, fcntl.F_WRLCK, 300 + i * 10, 5))
time.sleep(0.4)                                  # idle: the library writes back, and may let go of the file
say("d", other(ATTACH))
os.fsync(fd)
say("e", other(ATTACH))
os.ftruncate(fd, 100000)
say("f", other(ATTACH))
# Locks of a process vanish when it closes any descriptor of the file: as on the kernel, and no earlier.
second = os.open("locked", os.O_RDWR); work(second)
say("g", other(ATTACH))
os.close(second)
say("h", other(ATTACH))
# flock and OFD locks belong to the description.
fcntl.flock(fd, fcntl.LOCK_EX)
FLOCK = """
fd = os.open("locked", os.O_RDWR); work(fd)
try: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); print("granted")
except OSError: print("refused")
"""
say("i", other(FLOCK)); work(fd)
say("j", other(FLOCK))
pid = os.fork()
if pid == 0:
    work(fd); os.close(fd); os._exit(0)
os.waitpid(pid, 0)
say("k", other(FLOCK))
os.close(fd)
say("l", other(FLOCK))
'''


def locks():
    """A process holds locks while it and others attach to the file and detach."""
    app = App("sqlite.locks", served=True)
    out = app.both([python(), "-c", LOCKS]).stdout.decode().split("\n")
    expected = ["a granted"] + ["b refused granted", "c granted"] * 5
    if out[:11] != expected or "h granted granted" not in out or "i refused" not in out or "l granted" not in out:
        raise Failed("locks: %r" % out)
    app.finish()


def python():
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


apptest.main(delete_mode, truncate_mode, persist_mode, wal_mode, two_writers, locks)
