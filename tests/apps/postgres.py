# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""PostgreSQL: initdb, pgbench with several clients, every way of syncing its log, crashes of one backend and of the whole
server in the midst of transactions. Data checksums are on. What was committed is there afterwards."""

import glob
import os
import threading

import apptest
from apptest import App, Failed, SCALE

NOBODY = 65534  # the server refuses to be root
TABLES = {"accounts": "aid", "branches": "bid", "tellers": "tid"}
SETTINGS = """
listen_addresses = ''
unix_socket_permissions = 0777
shared_buffers = 8MB
max_connections = 20
max_wal_size = 64MB
min_wal_size = 32MB
wal_buffers = 64kB
bgwriter_delay = 10ms
autovacuum = off
update_process_title = off
"""


def binary(name):
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/" + name))
    if not found:
        raise SystemExit("PostgreSQL is not installed")
    return found[-1]


class Server:
    """The cluster of one side; `options` are settings of this start."""

    def __init__(self, app, side, library=True, **options):
        self.app, self.side = app, side
        self.sockets = os.path.join(app.base, "socket." + side)
        if not os.path.isdir(self.sockets):
            os.mkdir(self.sockets)
            os.chmod(self.sockets, 0o1777)
        args = [binary("postgres"), "-D", "data", "-k", self.sockets]
        for name, value in options.items():
            args += ["-c", "%s=%s" % (name, value)]
        if not library:
            args = ["env", "-u", "LD_PRELOAD"] + args
        self.log = open(os.path.join(app.base, side + ".log"), "ab")
        self.process = app.start(side, args, stdout=self.log, stderr=self.log)
        apptest.wait_until("PostgreSQL of the %s side" % side, self.answers, 60)

    def answers(self):
        if self.process.poll() is not None:
            raise Failed("%s side: postgres ended: %s" % (self.side, self.messages()))
        return self.client(["psql", "-Atqc", "select 1"])[0] == 0

    def messages(self):
        with open(self.log.name, "rb") as f:
            return apptest.tail(f.read())

    def client(self, args, stdin=None):
        """A client program, never under the library."""
        r = self.app.run("kernel", [binary(args[0]), "-h", self.sockets, "-U", "tester"] + args[1:] + ["postgres"],
                         stdin=stdin)
        return r.returncode, r.stdout, r.stderr

    def sql(self, text):
        status, out, err = self.client(["psql", "-AtqX", "-v", "ON_ERROR_STOP=1"], text.encode())
        if status:
            raise Failed("%s side: %s: %s\n%s" % (self.side, text[:100], apptest.tail(err), self.messages()))
        return out.decode()

    def bench(self, *args):
        status, out, err = self.client(["pgbench", "-n", *args])
        if status:
            raise Failed("%s side: pgbench: %s\n%s" % (self.side, apptest.tail(err), self.messages()))
        return out

    def stop(self, mode=2):
        """2: SIGINT, fast; 3: SIGQUIT, immediate: as a crash."""
        self.process.send_signal(mode)
        self.process.wait(self.app.timeout)
        self.log.close()

    def kill(self):
        """All processes at once: those of the server are in sessions of their own each."""
        family = [self.process.pid] + children(self.process.pid)
        for pid in family:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:  # a backend of a session that was ending
                pass
        self.process.wait()
        apptest.wait_until("the end of all", lambda: not any(lives(pid) for pid in family))
        self.log.close()

    def consistent(self):
        """Each transaction of pgbench adds the same number to four tables: their sums are equal."""
        sums = self.sql("select sum(abalance) from pgbench_accounts; select sum(bbalance) from pgbench_branches;"
                        "select sum(tbalance) from pgbench_tellers; select coalesce(sum(delta), 0) from pgbench_history;")
        if len(set(sums.split())) != 1:
            raise Failed("%s side: torn transactions: %r" % (self.side, sums))

    def content(self):
        """Everything but the order and times of the history, which are the race's."""
        return {name: self.sql("select md5(string_agg(t::text, ',' order by %s)) from pgbench_%s t" % (key, name))
                for name, key in TABLES.items()} | \
            {"history": self.sql("select count(*), sum(delta), sum(aid) from pgbench_history")}


def children(pid):
    found = []
    for path in glob.glob("/proc/%d/task/*/children" % pid):
        with open(path) as f:
            found += [int(p) for p in f.read().split()]
    return found


def lives(pid):
    """A zombie, which nobody has waited for, is dead."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def cluster(name):
    app = App("postgres." + name, timeout=200, served=True, user=NOBODY)
    app.both([binary("initdb"), "-D", "data", "-A", "trust", "-U", "tester", "-N", "--no-locale", "-k"], output=False)
    for side in apptest.SIDES:
        with open(os.path.join(app.dir[side], "data/postgresql.conf"), "a") as f:
            f.write(SETTINGS)
    return app


def checked(app):
    """After a clean stop: every page's checksum, read without the library."""
    for side in apptest.SIDES:
        r = app.run("kernel", [binary("pg_checksums"), "-D", os.path.join(app.dir[side], "data"), "--check"])
        if r.returncode:
            raise Failed("%s side: %s" % (side, apptest.tail(r.stdout + r.stderr)))
    app.check_logs()
    app.check_active()
    app.remove()


def clients():
    """Four clients, then other log methods; the same data as on the kernel, also for a server without the library."""
    app = cluster("clients")
    contents = []
    for side in apptest.SIDES:
        server = Server(app, side)
        server.bench("-i", "-s", "1")
        server.bench("--random-seed=7", "-c", "4", "-j", "2", "-t", str(400 * SCALE))
        server.sql("checkpoint; create table wide(id int, t text); insert into wide select i, repeat(md5(i::text), 100)"
                   " from generate_series(1, 3000) i; create index on wide(t); update wide set t = t || 'x' where id % 3"
                   " = 0; delete from wide where id % 7 = 0; vacuum full wide; cluster pgbench_accounts using"
                   " pgbench_accounts_pkey; truncate pgbench_history; create database other;")
        server.stop()
        for method in ("open_datasync", "open_sync", "fsync", "fdatasync"):
            server = Server(app, side, wal_sync_method=method)
            server.bench("--random-seed=8", "-c", "4", "-t", str(20 * SCALE))
            server.stop(3 if method == "fsync" else 2)
        server = Server(app, side)
        wide = server.sql("select md5(string_agg(t, ',' order by id)), count(*) from wide")
        contents.append((server.content(), wide))
        server.stop()
        server = Server(app, side, library=False)
        if (server.content(), server.sql("select md5(string_agg(t, ',' order by id)), count(*) from wide")) != contents[-1]:
            raise Failed("%s side: other data without the library" % side)
        server.sql("checkpoint")
        server.stop()
    if contents[0] != contents[1]:
        raise Failed("other data than on the kernel: %s" % contents)
    checked(app)


def insert(server, number, done):
    """Inserts rows one by one until the server is gone; each transaction also moves an older row."""
    p = server.app.start("kernel", [binary("psql"), "-h", server.sockets, "-U", "tester", "-AtqX", "postgres"],
                         stdin=-1, stdout=-1, stderr=-3)
    try:
        while True:
            i = done[number] + 1
            p.stdin.write(b"begin; insert into log values(%d, %d, repeat('x', %d)); update log set t = t || 'y' where w = %d "
                          b"and i = %d; commit; select 'done';\n" % (number, i, i % 2000, number, i // 2))
            p.stdin.flush()
            if p.stdout.readline() != b"done\n":
                break
            done[number] = i
    except OSError:
        pass
    p.stdin.close()
    p.wait()


def crashes():
    """SIGKILL of the whole server, or of one backend, while three clients commit."""
    app = cluster("crashes")
    for side in apptest.SIDES:
        done = [0] * 3
        for session in range(4 * SCALE):
            server = Server(app, side, wal_sync_method=("fdatasync", "open_datasync")[session % 2])
            if session == 0:
                server.sql("create table log(w int, i int, t text, primary key(w, i))")
            else:
                judge(server, side, session, done)
            writers = [threading.Thread(target=insert, args=(server, n, done)) for n in range(3)]
            for w in writers:
                w.start()
            goal = done[0] + 40 + 30 * session
            apptest.wait_until("commits", lambda: done[0] > goal or not writers[0].is_alive(), 60)
            if session % 3 == 1:
                kill_backend(server, writers)
                judge(server, side, session, done)
            server.kill()
            for w in writers:
                w.join()
        server = Server(app, side)
        judge(server, side, "last", done)
        server.stop()
    checked(app)


def kill_backend(server, writers):
    """The server ends its other backends and recovers, all by itself."""
    pid = server.sql("select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
                     " limit 1")
    os.kill(int(pid), 9)
    for w in writers:
        w.join()
    apptest.wait_until("the recovery after a backend's death", server.answers, 60)


def judge(server, side, session, done):
    for number in range(len(done)):
        count, last = server.sql("select count(*), coalesce(max(i), 0) from log where w = %d" % number).strip().split("|")
        if count != last or not done[number] <= int(last) <= done[number] + 1:
            raise Failed("%s side, session %s: %d was committed, %s rows up to %s are there" %
                         (side, session, done[number], count, last))
        done[number] = int(last)
    wrong = server.sql("select count(*) from log where length(t) <> i % 2000 + case when 2 * i + 1 <= "
                       "(select max(i) from log l where l.w = log.w) then 2 when 2 * i <= "
                       "(select max(i) from log l where l.w = log.w) then 1 else 0 end")
    if wrong.strip() != "0":
        raise Failed("%s side, session %s: %s rows are wrong" % (side, session, wrong))


apptest.main(clients, crashes)
