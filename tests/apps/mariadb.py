# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""MariaDB: all its storage engines with files, every way of flushing InnoDB's, a binary log; then crashes of the server while
clients commit and tables come, change and go. What was committed is there afterwards."""

import os
import re
import threading

import apptest
from apptest import App, Failed, SCALE

NOBODY = 65534
SERVER = ["/usr/sbin/mariadbd", "--no-defaults", "--skip-networking", "--innodb-buffer-pool-size=8M", "--innodb-log-file-size=8M",
          "--aria-pagecache-buffer-size=1M", "--key-buffer-size=1M", "--performance-schema=OFF"]
BINARY_LOG = ("log-bin=binary", "sync-binlog=1", "server-id=1", "binlog-format=row")
# The last is InnoDB's default, and the redo log mapped, as MariaDB does by itself in /dev/shm.
STARTS = (("innodb-flush-method=fsync", "innodb-use-native-aio=OFF", "innodb-log-file-mmap=OFF"),
          ("innodb-flush-method=O_DSYNC", "innodb-doublewrite=OFF"),
          ("innodb-flush-method=O_DIRECT", "innodb-use-native-aio=OFF", "innodb-log-file-mmap=OFF"), ())
KINDS = ("engine=innodb", "engine=innodb row_format=compressed key_block_size=4", "engine=innodb page_compressed=1",
         "engine=aria", "engine=aria transactional=0", "engine=myisam", "engine=csv")


class Server:
    """The data of one side; `options` are settings of this start."""

    def __init__(self, app, side, options=(), library=True):
        self.app, self.side = app, side
        self.socket = os.path.join(app.messages, side + ".socket")  # a directory of the server's user
        self.log = os.path.join(app.messages, side + ".server")
        where = {"datadir": os.path.join(app.dir[side], "data"), "tmpdir": os.path.join(app.dir[side], "tmp"),
                 "socket": self.socket, "log-error": self.log}
        args = SERVER + ["--%s=%s" % setting for setting in where.items()] + ["--" + option for option in options]
        if os.geteuid() == 0 and app.user is None:
            args.append("--user=root")
        if not library:
            args = ["env", "-u", "LD_PRELOAD"] + args
        self.process = app.start(side, args, stdout=-3, stderr=-3)
        apptest.wait_until("MariaDB of the %s side" % side, self.answers, 60)

    def answers(self):
        if self.process.poll() is not None:
            raise Failed("%s side: mariadbd ended: %s" % (self.side, self.messages()))
        return self.client("select 1").returncode == 0

    def messages(self):
        with open(self.log, "rb") as f:
            return apptest.tail(f.read())

    def arguments(self, program):
        """A client program, never under the library."""
        return [program, "--no-defaults", "-uroot", "-S", self.socket]

    def client(self, text):
        return self.app.run("kernel", self.arguments("mariadb") + ["-BN", "test"], stdin=text.encode())

    def sql(self, text):
        r = self.client(text)
        if r.returncode:
            raise Failed("%s side: %s: %s\n%s" % (self.side, text[:100], apptest.tail(r.stderr), self.messages()))
        return r.stdout.decode()

    def content(self):
        """All that the clients' tables hold, and their definitions."""
        r = self.app.run("kernel", self.arguments("mariadb-dump") + ["--order-by-primary", "--skip-dump-date", "test"])
        if r.returncode:
            raise Failed("%s side: mariadb-dump: %s" % (self.side, apptest.tail(r.stderr)))
        return r.stdout

    def check(self, transactional=False):
        """Every page and row of every table; with `transactional` those alone that promise to survive a crash."""
        for line in self.sql("select table_name from information_schema.tables where table_schema = 'test' and "
                             "table_type = 'BASE TABLE' and (engine = 'InnoDB' or not %d)" % transactional).split():
            answer = self.sql("check table %s extended" % line)
            if not re.search(r"status\t(OK|Table is already up to date)$", answer.strip()):
                raise Failed("%s side: %s" % (self.side, answer))

    def stop(self):
        self.sql("shutdown")
        self.process.wait(self.app.timeout)
        if self.process.returncode:
            raise Failed("%s side: mariadbd: status %d: %s" % (self.side, self.process.returncode, self.messages()))

    def kill(self):
        self.app.kill(self.process)


def install(name, **options):
    app = App("mariadb." + name, timeout=100, user=NOBODY, **options)
    app.both("mkdir tmp && TMPDIR=$PWD/tmp mysql_install_db --no-defaults --datadir=$PWD/data "
             "--auth-root-authentication-method=normal", output=False)
    return app


def finish(app, killed=False):
    """After a clean stop. The log of a file that was without a name when its server was killed, or that was removed before it
    was opened again, stays: nothing proves that such a file is gone (src/README.md, 13)."""
    for log in app.logs_left() if killed else ():
        with open(log, "rb") as f:
            path = f.read(4096)[512:].split(b"\0")[0]  # src/log/log_format.h
        if not path or os.path.exists(path):
            raise Failed("left over: the log of %r" % path)
        os.remove(log)
    app.check_logs()
    app.check_active()
    app.remove()


def load(server, number, start, kind):
    """One client: rows of all lengths, updates, deletes, a transaction that is taken back; the same on both sides."""
    table = "t%d_%d" % (start, number)
    null = " not null" if "csv" in kind else ""
    key = "" if "csv" in kind else ", primary key(i), key(k)"
    text = "create table %s(i int%s, k int%s, b %s%s%s) %s;" % (
        table, null, null, "varchar(9000)" if "csv" in kind else "longblob", null, key, kind)
    for i in range(0, 200 * SCALE, 20):
        text += "insert into %s select seq, seq %% 7, repeat(md5(seq), seq %% 250) from seq_%d_to_%d;" % (table, i, i + 19)
        text += "begin; update %s set b = concat(b, k) where k = %d; delete from %s where i = %d; commit;" % (
            table, i // 20 % 7, table, i)
        text += "begin; update %s set b = '', k = 8 where k = 3; rollback;" % table if "innodb" in kind else ""
    text += "alter table %s add column c int not null default 5;" % table
    server.sql(text)


def clients():
    """The same data as on the kernel after each start, also for a server without the library."""
    app = install("clients", served=True)
    contents = []
    for side in apptest.SIDES:
        for start, options in enumerate(STARTS):
            server = Server(app, side, options + (BINARY_LOG if start % 2 else ()))
            writers = [threading.Thread(target=load, args=(server, n, start, kind)) for n, kind in enumerate(KINDS)]
            for w in writers:
                w.start()
            for w in writers:
                w.join()
            server.check()
            server.stop()
        server = Server(app, side)
        server.check()
        contents.append(server.content())
        server.stop()
        server = Server(app, side, library=False)
        if server.content() != contents[-1]:
            raise Failed("%s side: other data without the library" % side)
        server.stop()
    if contents[0] != contents[1]:
        raise Failed("other data than on the kernel:\n" + apptest.difference(*contents))
    finish(app)


def insert(server, number, done):
    """Inserts rows one by one until the server is gone; each transaction also changes an older row."""
    p = server.app.start("kernel", server.arguments("mariadb") + ["-BNn", "--skip-reconnect", "test"], stdin=-1, stdout=-1,
                         stderr=-3)
    try:
        while True:
            i = done[number] + 1
            p.stdin.write(b"begin; insert into log values(%d, %d, repeat('x', %d)); update log set t = concat(t, 'y') where "
                          b"w = %d and i = %d; commit; select 'done';\n" % (number, i, i % 2000, number, i // 2))
            p.stdin.flush()
            if p.stdout.readline() != b"done\n":
                break
            done[number] = i
        p.stdin.close()
    except OSError:
        pass
    p.wait()


def change(server, number, done):
    """Tables that come, change and go until the server is gone."""
    p = server.app.start("kernel", server.arguments("mariadb") + ["-BNn", "--skip-reconnect", "test"], stdin=-1, stdout=-1,
                         stderr=-3)
    try:
        while True:
            kind = KINDS[done[number] % len(KINDS[:-1])]
            p.stdin.write(b"create or replace table c(i int primary key, b longblob, k int, key(k)) %s; insert into c select "
                          b"seq, repeat(md5(seq), seq %% 200), seq %% 7 from seq_1_to_300; alter table c add column d int, "
                          b"add index(d), algorithm = copy; update c set b = concat(b, b) where k = 3; drop table if exists d; "
                          b"rename table c to d; truncate table d; select 'done';\n" % kind.encode())
            p.stdin.flush()
            if p.stdout.readline() != b"done\n":
                break
            done[number] += 1
        p.stdin.close()
    except OSError:
        pass
    p.wait()


def judge(server, session, done):
    for number in range(len(done) - 1):
        count, last = server.sql("select count(*), coalesce(max(i), 0) from log where w = %d" % number).split()
        if count != last or not done[number] <= int(last) <= done[number] + 1:
            raise Failed("%s side, session %s: %d was committed, %s rows up to %s are there" %
                         (server.side, session, done[number], count, last))
        done[number] = int(last)
    newest = "(select max(i) from log l where l.w = log.w)"
    wrong = server.sql("select count(*) from log where length(t) <> i %% 2000 + case when 2 * i + 1 <= %s then 2 "
                       "when 2 * i <= %s then 1 else 0 end" % (newest, newest))
    if wrong.strip() != "0":
        raise Failed("%s side, session %s: %s rows are wrong" % (server.side, session, wrong))
    server.check(transactional=True)


def crash(app, side):
    """SIGKILL while three clients commit and one changes tables."""
    done = [0] * 4
    for session in range(3 * SCALE):
        server = Server(app, side, STARTS[session % len(STARTS)] + BINARY_LOG)
        if session == 0:
            server.sql("create table log(w int, i int, t text, primary key(w, i), key(t(20)))")
        else:
            judge(server, session, done)
        writers = [threading.Thread(target=insert, args=(server, n, done)) for n in range(3)]
        writers.append(threading.Thread(target=change, args=(server, 3, done)))
        for w in writers:
            w.start()
        goal = done[0] + 100 + 100 * session
        apptest.wait_until("commits", lambda: done[0] > goal or not writers[0].is_alive(), 60)
        server.kill()
        for w in writers:
            w.join()
    server = Server(app, side, BINARY_LOG)  # which says what became of what was prepared when it was killed
    judge(server, "last", done)
    server.stop()


def crashes():
    """As on emulated PM, and as where no power cut matters."""
    app = install("crashes", served=True)
    for side in apptest.SIDES:
        crash(app, side)
    finish(app, killed=True)
    app = install("crashes.tmpfs")
    crash(app, "managed")
    finish(app, killed=True)


apptest.main(clients, crashes)
