# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""SQLite in use by many processes at once, which come, go and are killed while the others go on: transfers between accounts
by python3's sqlite3 module. Every reader sees the same total; every transfer that was told is there, in order, and the
accounts are what the transfers make of them, read without the library."""

import os
import random
import sqlite3
import subprocess
import threading

import apptest
from apptest import App, Failed, SCALE

ACCOUNTS, START = 40, 1000
MODES = ("WAL", "DELETE", "TRUNCATE", "PERSIST")
WRITERS, READERS, KILLS = 3, 2, 8

PROGRAM = r'''
import random, sqlite3, sys
kind, name, mode, number, first, count = sys.argv[1:4] + [int(a) for a in sys.argv[4:7]]
rng = random.Random(number * 1000003 + first)
base = sqlite3.connect(name, timeout=60, isolation_level=None)
base.execute("PRAGMA synchronous=" + ("NORMAL" if mode == "WAL" and number % 2 else "FULL"))
base.execute("PRAGMA cache_size=10")

def write():
    for i in range(first, first + count):
        a, b, n = rng.randrange(40), rng.randrange(40), rng.randrange(100)
        base.execute("BEGIN IMMEDIATE")
        base.execute("UPDATE account SET balance = balance - ?, note = ? WHERE id = ?", (n, "x" * rng.randrange(3000), a))
        base.execute("UPDATE account SET balance = balance + ? WHERE id = ?", (n, b))
        base.execute("INSERT INTO transfer VALUES(?, ?, ?, ?, ?)", (number, i, a, b, n))
        base.execute("DELETE FROM waste WHERE writer = ?", (number,))
        base.execute("INSERT INTO waste VALUES(?, zeroblob(?))", (number, rng.randrange(20000)))
        base.execute("COMMIT")
        print(i, flush=True)

def read():
    for i in range(count):
        base.execute("BEGIN")
        total = [base.execute("SELECT sum(balance), count(*) FROM account").fetchone()]
        last = base.execute("SELECT count(*), sum(amount) FROM transfer").fetchone()
        total.append(base.execute("SELECT sum(balance), count(*) FROM account").fetchone())
        again = base.execute("SELECT count(*), sum(amount) FROM transfer").fetchone()
        base.execute("COMMIT")
        if total != [(40 * 1000, 40)] * 2 or last != again:
            sys.exit("torn: %r %r %r" % (total, last, again))
        if i % 10 == 0 and base.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            sys.exit("integrity_check")
    print("read", flush=True)

write() if kind == "write" else read()
base.close()
'''


class Worker:
    """A process, and what it has told."""

    def __init__(self, app, side, mode, kind, number, first, count):
        self.told = first - 1
        self.process = app.start(side, ["/usr/bin/python3", "-c", PROGRAM, kind, "test.db", mode, str(number), str(first),
                                        str(count)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.output = []
        self.listeners = [threading.Thread(target=self.listen), threading.Thread(target=self.errors)]
        for t in self.listeners:
            t.start()

    def listen(self):
        for line in self.process.stdout:
            if line.strip().isdigit():
                self.told = int(line)

    def errors(self):
        self.output = self.process.stderr.read()

    def end(self, killed=False):
        """Waits; everything that it has told is known then."""
        try:
            status = self.process.wait(200)
        except subprocess.TimeoutExpired:
            raise Failed("a process hangs")
        for t in self.listeners:
            t.join()
        self.process.stdout.close()
        self.process.stderr.close()
        if status and not killed:
            raise Failed("a process ends with status %d: %s" % (status, apptest.tail(self.output)))


def judge(path, told):
    """Reads the database by this process, which has no library: `told[w]` is the last transfer of writer w."""
    base = sqlite3.connect(path)
    if base.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        raise Failed("integrity_check")
    balance = [START] * ACCOUNTS
    for number, told_last in enumerate(told):
        rows = base.execute("SELECT number, a, b, amount FROM transfer WHERE writer = ? ORDER BY number", (number,)).fetchall()
        last = len(rows) - 1
        if [r[0] for r in rows] != list(range(len(rows))) or last != told_last:
            raise Failed("writer %d: told %d, there are %d" % (number, told_last, last))
        for _, a, b, amount in rows:
            balance[a] -= amount
            balance[b] += amount
    if base.execute("SELECT balance FROM account ORDER BY id").fetchall() != [(b,) for b in balance]:
        raise Failed("the accounts are not what the transfers make of them")
    base.close()


def run(app, side, mode, rng):
    path = os.path.join(app.dir[side], "test.db")
    setup = ("PRAGMA page_size=1024; PRAGMA journal_mode=%s; CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, note TEXT);"
             "CREATE TABLE transfer(writer INTEGER, number INTEGER, a INTEGER, b INTEGER, amount INTEGER, PRIMARY KEY(writer, number));"
             "CREATE TABLE waste(writer INTEGER, data BLOB);"
             "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
             "INSERT INTO account SELECT i, %d, '' FROM n;" % (mode, ACCOUNTS - 1, START))
    made = app.run(side, ["sqlite3", "-batch", "test.db", setup])
    if made.returncode:
        raise Failed(apptest.tail(made.stderr))
    count = 250 * SCALE
    writers = [Worker(app, side, mode, "write", n, 0, count) for n in range(WRITERS)]
    readers = [Worker(app, side, mode, "read", n, 0, count) for n in range(READERS)]
    for _ in range(KILLS * SCALE):
        number = rng.randrange(WRITERS)
        goal = min(writers[number].told + 1 + rng.randrange(8), count - 1)
        apptest.wait_until("transfers", lambda: writers[number].told >= goal or writers[number].process.poll() is not None, 100)
        app.kill(writers[number].process)
        writers[number].end(killed=True)
        # The next one finds out how far its forerunner came: one more than was told, perhaps.
        last = app.run(side, ["sqlite3", "-batch", "-cmd", ".timeout 60000", "test.db",
                              "SELECT count(*) FROM transfer WHERE writer = %d" % number])
        first = int(last.stdout)
        if not writers[number].told + 1 <= first <= writers[number].told + 2:
            raise Failed("%s side, %s: writer %d was killed after it told %d; %d transfers are there" %
                         (side, mode, number, writers[number].told, first))
        writers[number] = Worker(app, side, mode, "write", number, first, max(count - first, 0))
    for worker in writers + readers:
        worker.end()
    judge(path, [w.told for w in writers])
    checked = app.run(side, ["sqlite3", "-batch", "test.db", "PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA integrity_check;"])
    if checked.returncode or not checked.stdout.endswith(b"ok\n"):
        raise Failed("%s side: %s" % (side, apptest.tail(checked.stdout + checked.stderr)))
    judge(path, [w.told for w in writers])


def test_of(mode):
    def test():
        app = App("sqlite_many." + mode, timeout=200, served=True)
        for side in apptest.SIDES:
            run(app, side, mode, random.Random(mode))
        app.check_logs()
        app.check_active()
        app.remove()
    test.__name__ = mode.lower()
    return test


apptest.main(*[test_of(mode) for mode in MODES])
