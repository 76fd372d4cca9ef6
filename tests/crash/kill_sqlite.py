# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""SQLite, killed with SIGKILL in the middle of its transactions: every acknowledged transaction is in the database
afterwards, the one in flight is there as a whole or not at all, and integrity_check finds nothing. Judged through the
library and then by SQLite on the plain kernel.

    kill_sqlite.py --mode DELETE|TRUNCATE|PERSIST|WAL|OFF [--sync FULL|NORMAL] [--conf TEXT] [--kills N] [--seed S]
                   [--session K] [--early] [--damage] [--expect-failure]

A session is one database: some rounds of write, kill, recover (killed itself now and then), verify, with one or two
writers, of which one or both are killed. Transaction n of writer w follows from (w, n) alone, and so does what the
writer's rows are after it; the database says how many transactions it has. With journal_mode=OFF the database is safe
only by O_ATOMIC (--conf atomic:1), and only if all its users die at once: what one that dies alone has written is part
of the others' next commit, as src/README.md says.

NVMMIO_PRELOAD is the library; without it all runs on the kernel. NVMMIO_TEST_SCALE=N kills N times as many,
NVMMIO_TEST_KEEP=1 leaves the directory of a failure. --early acknowledges before COMMIT and --damage changes a byte
after each kill: with --expect-failure, which turns the exit status around, they prove that the checks can fail.
"""

import argparse
import hashlib
import mmap
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

WRITERS = 2
ALIVE = 30  # a transaction's rows live so many transactions
REACH = 20  # and are changed by so many
WATCHDOG_S = 60
PAUSE_S = 0.002  # now and then, so that the other writer gets SQLite's lock: its busy handler only polls
WRONG = 3  # exit status of a worker that saw what must not be
ACK = struct.Struct("@QQ")  # begun, acknowledged; "@": each is stored by one instruction, so no kill tears it
MASK = (1 << 64) - 1


# ---- what a transaction does ----

def mix(*words):
    state = 0x9E3779B97F4A7C15
    for word in words:
        state = (state ^ word) * 0xBF58476D1CE4E5B9 & MASK
        state ^= state >> 29
        state = state * 0x94D049BB133111EB & MASK
        state ^= state >> 32
    return state


def text_of(writer, number, row):
    value = mix(writer, number, row)
    length = value % 900 if value >> 40 & 7 else 2000 + value % 7000  # now and then overflow pages
    return ("%016x" % value) * (length // 16 + 1)


def transaction(writer, number):
    """(row id, text) to store; text None: to delete. A large one changes more than fits the page cache."""
    value = mix(writer, number)
    base = writer * 10 ** 9
    for row in range(1 + value % 6):
        yield base + number * 10 + row, text_of(writer, number, row)
    large = value >> 8 & 1
    for back in range(1, REACH) if large else (1 + (value >> 16) % (REACH - 1),):
        if number - back > 0:
            yield base + (number - back) * 10, text_of(writer, number, 100 + back)
    if number > ALIVE:
        for row in range(6):
            yield base + (number - ALIVE) * 10 + row, None


def rows_after(writer, number):
    rows = {}
    for n in range(max(1, number - ALIVE - REACH), number + 1):
        for key, text in transaction(writer, n):
            if text is None:
                rows.pop(key, None)
            else:
                rows[key] = text
    oldest = writer * 10 ** 9 + (number - ALIVE + 1) * 10
    return {key: text for key, text in rows.items() if key >= oldest}


def digest(rows):
    whole = hashlib.sha1()
    for key, text in sorted(rows):
        whole.update(b"%d %s\n" % (key, text.encode()))
    return whole.hexdigest()


# ---- the processes that use the database ----

def connect(path):
    return sqlite3.connect(path, timeout=WATCHDOG_S, isolation_level=None)


def prepare(db, mode, sync):
    db.execute("PRAGMA journal_mode=%s" % mode)
    db.execute("PRAGMA synchronous=%s" % sync)
    db.execute("PRAGMA cache_size=10")  # pages: transactions spill before they commit
    db.execute("PRAGMA wal_autocheckpoint=40")


def state_of(db):
    """What integrity_check says, and for each writer the number of transactions and a digest of its rows."""
    said = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
    state = ["; ".join(said)]
    for writer, count in db.execute("SELECT writer, count FROM progress ORDER BY writer").fetchall():
        low = writer * 10 ** 9
        rows = db.execute("SELECT id, text FROM t WHERE id BETWEEN ? AND ?", (low, low + 10 ** 9 - 1))
        state.append("%d %d %s" % (writer, count, digest(rows)))
    return state


def write(path, ack_path, mode, sync, writer, alone, early):
    parent = os.getppid()
    with open(ack_path, "r+b") as f:
        ack = mmap.mmap(f.fileno(), 4096)
    at = writer * ACK.size
    begun, acknowledged = ACK.unpack_from(ack, at)
    db = connect(path)
    prepare(db, mode, sync)
    number = db.execute("SELECT count FROM progress WHERE writer=?", (writer,)).fetchone()[0]
    if not acknowledged <= number <= begun and sync == "FULL":
        raise ValueError("writer %d starts: %d transactions, %d acknowledged, %d begun" %
                         (writer, number, acknowledged, begun))
    # With O_ATOMIC what was begun and is seen here may yet be rolled back, by all dying before the journal is synced again.
    ACK.pack_into(ack, at, number, acknowledged)
    while os.getppid() == parent:
        number += 1
        ACK.pack_into(ack, at, number, number if early else acknowledged)
        db.execute("BEGIN IMMEDIATE")
        for key, text in transaction(writer, number):
            if text is None:
                db.execute("DELETE FROM t WHERE id=?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO t VALUES(?,?,?)", (key, mix(key, number) >> 1, text))
        db.execute("UPDATE progress SET count=? WHERE writer=?", (number, writer))
        db.execute("COMMIT")
        acknowledged = number
        ACK.pack_into(ack, at, number, acknowledged)
        if not alone and number % 8 == 0:
            time.sleep(PAUSE_S)


def verify(path):
    print("\n".join(state_of(connect(path))))


def touch(path):
    """Brings the files to what they are by opening them, as any program under the library would."""
    top = os.path.dirname(path)
    for name in sorted(os.listdir(top)):
        if not name.startswith("."):
            with open(os.path.join(top, name), "r+b") as f:
                f.read(1)


# ---- the campaign ----

class Failed(Exception):
    pass


class Campaign:
    def __init__(self, options):
        self.options = options
        self.library = os.environ.get("NVMMIO_PRELOAD", "")
        self.base = tempfile.mkdtemp(prefix="nvmmio-kill-sqlite-", dir=os.environ.get("NVMMIO_TEST_DIR", "/dev/shm"))
        self.kills = self.recovery_kills = self.in_flight = self.stayed = self.sessions = 0
        self.running = {}

    def spawn(self, role, *arguments, **popen):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NVMMIO_", "LD_PRELOAD"))}
        if self.library:
            env.update(LD_PRELOAD=self.library, NVMMIO_ROOT=self.root)
            if self.options.conf:
                env["NVMMIO_CONF"] = self.options.conf
        command = [sys.executable, "-I", "-S", os.path.abspath(__file__), role, self.path]
        return subprocess.Popen(command + [str(a) for a in arguments], env=env, **popen)

    def finish(self, process, what):
        """Its standard output, after an end that must be a good one."""
        try:
            out, err = process.communicate(timeout=WATCHDOG_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed("%s hangs" % what)
        if process.returncode:
            raise Failed("%s ended with status %d: %s" % (what, process.returncode, (err or b"").decode()[-800:]))
        return (out or b"").decode()

    # ---- writers ----

    def start(self, writer, alone=False):
        o = self.options
        self.running[writer] = self.spawn("write", self.ack_path, o.mode, o.sync, writer, int(alone), int(o.early),
                                          stderr=subprocess.PIPE)

    def acks(self, writer):
        return ACK.unpack_from(self.ack, writer * ACK.size)

    def wait_transactions(self, writer, more):
        """Until the writer has acknowledged so many more."""
        wanted = self.acks(writer)[1] + more
        end = time.monotonic() + WATCHDOG_S
        while self.acks(writer)[1] < wanted:
            if self.running[writer].poll() is not None:
                self.finish(self.running.pop(writer), "writer %d" % writer)
                raise Failed("writer %d ended" % writer)
            if time.monotonic() > end:
                raise Failed("writer %d makes no progress" % writer)
            time.sleep(0.0005)

    def kill(self, writers):
        """All of them at one moment: none sees another's death."""
        for writer in writers if len(writers) > 1 else ():
            os.kill(self.running[writer].pid, signal.SIGSTOP)
            os.waitpid(self.running[writer].pid, os.WUNTRACED)
        for writer in writers:
            process = self.running.pop(writer)
            process.kill()
            err = process.communicate()[1]
            if process.returncode != -signal.SIGKILL:
                raise Failed("writer %d ended with status %d: %s" % (writer, process.returncode, err.decode()[-800:]))
            self.kills += 1
            begun, acknowledged = self.acks(writer)
            self.in_flight += begun > acknowledged

    def stop_all(self):
        for process in self.running.values():
            process.kill()
            process.communicate()
        self.running = {}

    # ---- judging ----

    def judge_state(self, state, who):
        if state[0] != "ok":
            raise Failed("%s: integrity_check: %s" % (who, state[0][:600]))
        if len(state) != 1 + WRITERS:
            raise Failed("%s: %d writers" % (who, len(state) - 1))
        counts = []
        for writer, line in enumerate(state[1:]):
            _, count, found = line.split()
            begun, acknowledged = self.acks(writer)
            count = int(count)
            counts.append(count)
            may_lose = self.options.sync != "FULL" and "atomic:1" in self.options.conf
            if count > begun or (count < acknowledged and not may_lose):
                raise Failed("%s: writer %d has %d transactions; acknowledged were %d, begun %d" %
                             (who, writer, count, acknowledged, begun))
            if found != digest(rows_after(writer, count).items()):
                raise Failed("%s: writer %d: the rows are not those after %d transactions (acknowledged %d, begun %d)" %
                             (who, writer, count, acknowledged, begun))
        return counts

    def damage(self):
        with open(self.path, "r+b") as f:
            at = self.rng.randrange(os.path.getsize(self.path) // 4096) * 4096 + self.rng.randrange(8)
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 0x5A]))

    def judge(self):
        if self.options.damage:
            self.damage()
        if self.rng.random() < 0.3:
            for _ in range(1 + self.rng.randrange(5)):  # recoveries that die, too
                process = self.spawn("verify", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(self.rng.random() * 0.04)
                process.kill()
                process.wait()
                self.recovery_kills += 1
        seen = None
        if self.rng.random() < 0.3:
            self.finish(self.spawn("touch", stderr=subprocess.PIPE), "touch")
        else:
            out = self.finish(self.spawn("verify", stdout=subprocess.PIPE, stderr=subprocess.PIPE), "verify")
            seen = self.judge_state(out.splitlines(), "through the library")
        try:
            db = connect(self.path)
            plain = self.judge_state(state_of(db), "on the kernel")
            db.close()
        except sqlite3.DatabaseError as e:
            raise Failed("on the kernel: %s" % e)
        if seen and seen != plain:
            raise Failed("%s transactions through the library, %s on the kernel" % (seen, plain))
        for writer, count in enumerate(plain):
            self.stayed += count > self.acks(writer)[1]
            ACK.pack_into(self.ack, writer * ACK.size, count, count)
        self.check_left_over()

    def check_left_over(self):
        if not self.library:
            return
        directory = os.path.join(self.root, ".nvmmio", str(os.geteuid()))
        if not os.path.isdir(directory):
            raise Failed("the library made no .nvmmio: it was not active")
        left = [name for name in os.listdir(directory) if name != "table"] + shm.left_over()
        if left:
            raise Failed("left over: %s" % left)

    # ---- sessions ----

    def make(self, session):
        self.rng = random.Random(self.options.seed * 1000003 + session)
        self.root = os.path.join(self.base, "db%d" % session)
        self.path = os.path.join(self.root, "test.db")
        self.ack_path = os.path.join(self.base, "ack%d" % session)
        os.mkdir(self.root)
        with open(self.ack_path, "w+b") as f:
            f.truncate(4096)
            self.ack = mmap.mmap(f.fileno(), 4096)
        db = connect(self.path)
        prepare(db, self.options.mode, self.options.sync)
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, place INTEGER, text TEXT)")
        db.execute("CREATE INDEX t_place ON t(place)")
        db.execute("CREATE TABLE progress(writer INTEGER PRIMARY KEY, count INTEGER)")
        for writer in range(WRITERS):
            db.execute("INSERT INTO progress VALUES(?,0)", (writer,))
        db.close()

    def one_round(self, writers):
        for writer in writers:
            self.start(writer, alone=len(writers) == 1)
        for writer in writers:
            self.wait_transactions(writer, 1 + self.rng.randrange(12))
        # With journal_mode=OFF a survivor would take over what a single victim had not committed.
        alone = len(writers) > 1 and self.options.mode != "OFF"
        while alone and self.rng.random() < 0.6:
            time.sleep(self.rng.random() * 0.008)
            victim = self.rng.choice(writers)
            self.kill([victim])
            self.wait_transactions(1 - victim, 2)
            self.start(victim)
            self.wait_transactions(victim, 1)
        time.sleep(self.rng.random() * 0.008)
        self.kill(writers)
        self.judge()

    def session(self, number):
        self.make(number)
        for _ in range(1 + self.rng.randrange(4)):
            self.one_round([0, 1] if self.rng.random() < 0.5 else [self.rng.randrange(WRITERS)])
        shutil.rmtree(self.root)
        os.unlink(self.ack_path)

    def run(self):
        o = self.options
        one = o.session is not None
        number = o.session if one else 0
        failure = None
        start = time.monotonic()
        try:
            while one or self.kills < o.kills:
                self.sessions += 1
                self.session(number)
                number += 1
                if one:
                    break
        except (Failed, subprocess.SubprocessError) as e:
            failure = "FAIL session %d: %s\n  again: --mode %s --sync %s%s --seed %d --session %d" % (
                number, e, o.mode, o.sync, " --conf " + o.conf if o.conf else "", o.seed, number)
        finally:
            self.stop_all()
            if not (failure and os.environ.get("NVMMIO_TEST_KEEP") == "1"):
                shutil.rmtree(self.base, ignore_errors=True)
        if failure:
            print(failure)
        print("%s: %d sessions, %d kills, %d of them inside a transaction, of which %d stayed, %d kills of a recovery, "
              "%.1f s" % ("FAILED" if failure else "ok", self.sessions, self.kills, self.in_flight, self.stayed,
                          self.recovery_kills, time.monotonic() - start))
        return failure is None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", required=True)
    parser.add_argument("--sync", default="FULL")
    parser.add_argument("--conf", default="")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1000 % 1000000)
    parser.add_argument("--session", type=int)
    for switch in ("--early", "--damage", "--expect-failure"):
        parser.add_argument(switch, action="store_true")
    options = parser.parse_args()
    options.kills *= max(1, int(os.environ.get("NVMMIO_TEST_SCALE", "1")))
    campaign = Campaign(options)
    print("kill campaign on %s, sqlite %s journal_mode=%s synchronous=%s %s, seed %d" %
          ("the preload library" if campaign.library else "the kernel", sqlite3.sqlite_version, options.mode,
           options.sync, options.conf, options.seed), flush=True)
    good = campaign.run()
    if options.expect_failure:
        print("FAILED: this must fail" if good else "ok: failed as it must")
    sys.exit(good == options.expect_failure)


def work(role, path, *arguments):
    try:
        if role == "write":
            ack_path, mode, sync, writer, alone, early = arguments
            write(path, ack_path, mode, sync, int(writer), alone == "1", early == "1")
        else:
            {"verify": verify, "touch": touch}[role](path)
    except (sqlite3.Error, OSError, ValueError, TypeError) as e:
        print("%s: %s: %s" % (role, type(e).__name__, e), file=sys.stderr, flush=True)
        sys.exit(WRONG)


if sys.argv[1:2] and sys.argv[1] in ("write", "verify", "touch"):
    work(*sys.argv[1:])
else:
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
    import shm  # noqa: E402
    shm.private()
    main()
