# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""python3 file programs: os, io, tempfile, mmap, shutil, pickle, zipfile, fork; the same program on both sides."""

import os
import sys

import apptest
from apptest import App, Failed

PROGRAMS = {}

PROGRAMS["os"] = r'''
fd = os.open("a", os.O_RDWR | os.O_CREAT, 0o644)
for i in range(500):
    off = rng.randrange(0, 300000); n = rng.randrange(1, 9000)
    os.pwrite(fd, rng.randbytes(n), off)
    if i % 20 == 0: os.fsync(fd)
    if i % 50 == 0: os.ftruncate(fd, rng.randrange(0, 300000)); say(os.fstat(fd).st_size, os.stat("a").st_size)
    say(hashlib.md5(os.pread(fd, 20000, rng.randrange(0, 300000))).hexdigest())
say(os.lseek(fd, 0, os.SEEK_END), os.lseek(fd, -5, os.SEEK_CUR), os.read(fd, 100))
os.lseek(fd, 1000, os.SEEK_SET)
say(os.writev(fd, [b"abc", b"", b"defg"]), os.lseek(fd, 0, os.SEEK_CUR))
say(os.preadv(fd, [bytearray(10), bytearray(20)], 995))
say(os.pwritev(fd, [b"x" * 5000, b"y" * 3], 4090), os.lseek(fd, 0, os.SEEK_CUR))
two = os.dup(fd); os.lseek(two, 77, os.SEEK_SET); say(os.lseek(fd, 0, os.SEEK_CUR), os.read(two, 10), os.read(fd, 10))
os.close(fd); say(os.read(two, 10)); os.close(two)
fd = os.open("a", os.O_WRONLY | os.O_APPEND); os.pwrite(fd, b"at the end", 0); os.write(fd, b"!"); os.close(fd)
for flags in (os.O_RDONLY, os.O_WRONLY):
    fd = os.open("a", flags)
    attempt(os.read, fd, 10); attempt(os.write, fd, b"no"); attempt(os.ftruncate, fd, 5); attempt(os.lseek, fd, -1, 0)
    os.close(fd)
attempt(os.read, fd, 1); attempt(os.open, "a", os.O_CREAT | os.O_EXCL); attempt(os.open, ".", os.O_RDWR)
attempt(os.truncate, "a", -1); os.truncate("a", 5000); say(os.stat("a").st_size)
os.posix_fallocate(os.open("b", os.O_RDWR | os.O_CREAT), 0, 100000); say(os.stat("b").st_size)
say(os.sendfile(os.open("c", os.O_WRONLY | os.O_CREAT), os.open("a", os.O_RDONLY), 0, 5000), os.stat("c").st_size)
say(os.copy_file_range(os.open("a", os.O_RDONLY), os.open("d", os.O_RDWR | os.O_CREAT), 3000))
fd = os.open("a", os.O_RDWR); os.pwrite(fd, b"new" * 1000, 0)
say(os.copy_file_range(fd, os.open("e", os.O_RDWR | os.O_CREAT), 3000, 0, 10))
os.set_inheritable(fd, True)
say(subprocess.run("cat <&%d | md5sum; echo more >> a; stat -c %%s a" % fd, shell=True, pass_fds=[fd],
                   stdout=-1).stdout)
'''

PROGRAMS["io"] = r'''
with open("a", "w") as f:
    for i in range(5000): f.write("line %d\n" % i)
    f.flush(); say(os.stat("a").st_size); f.seek(100); f.write("OVER"); say(f.tell())
with open("a", "r+b") as f:
    f.seek(0, 2); f.write(b"end" * 3000); f.seek(50); say(f.read(20)); f.truncate(60000); say(f.seek(0, 2))
with open("a") as f: say(sum(len(line) for line in f))
with open("b", "wb", buffering=0) as f:
    for i in range(300): say(f.write(rng.randbytes(rng.randrange(1, 5000))))
with open("b", "ab") as f, open("b", "rb") as g:
    for i in range(50): f.write(b"%d" % i * 999); f.flush(); say(len(g.read()))
with open("c", "w+b") as f:
    for i in range(400):
        f.seek(rng.randrange(0, 100000)); f.write(rng.randbytes(rng.randrange(1, 3000)))
        f.seek(rng.randrange(0, 100000)); say(hashlib.md5(f.read(5000)).hexdigest())
        if i % 40 == 0: f.flush(); os.fsync(f.fileno()); f.truncate(rng.randrange(0, 100000))
with open("x", "x") as f: f.write("once")
attempt(open, "x", "x"); attempt(open, "missing/x", "w"); attempt(open, "nothing")
import pickle, zipfile, shutil, json, shelve, dbm.dumb, tarfile, csv, lzma, bz2
data = {i: rng.randbytes(100) for i in range(300)}
with open("p", "wb") as f: pickle.dump(data, f)
with open("p", "rb") as f: say(pickle.load(f) == data)
with zipfile.ZipFile("z.zip", "w") as z:
    for n in "abcp": z.writestr(zipfile.ZipInfo(n), open(n, "rb").read())
say(zipfile.ZipFile("z.zip").testzip())
with bz2.open("a.bz2", "wb") as f: f.write(open("c", "rb").read())
with lzma.open("a.xz", "wb") as f: f.write(open("c", "rb").read())
say(bz2.open("a.bz2").read() == lzma.open("a.xz").read())
shutil.copyfile("c", "c2"); shutil.copy2("b", "b2"); shutil.move("b2", "b3"); say(open("c2", "rb").read() == open("c", "rb").read())
db = dbm.dumb.open("dumb", "c")
for i in range(300): db[str(i % 50)] = rng.randbytes(rng.randrange(500))
db.close(); say(len(dbm.dumb.open("dumb")))
'''

PROGRAMS["tempfile"] = r'''
import tempfile
tempfile.tempdir = os.getcwd()
with tempfile.TemporaryFile() as f:
    f.write(b"hidden" * 10000); f.flush(); os.fsync(f.fileno()); f.write(b"more"); f.seek(59990); say(f.read())
with tempfile.NamedTemporaryFile() as f:
    f.write(b"named" * 5000); f.flush(); say(open(f.name, "rb").read() == b"named" * 5000)
    os.fsync(f.fileno()); f.seek(0); f.write(b"NAMED"); f.flush(); say(open(f.name, "rb").read(10))
fd, name = tempfile.mkstemp()
os.write(fd, b"one"); os.fsync(fd); os.write(fd, b"two"); os.close(fd); say(open(name).read()); os.rename(name, "kept")
with tempfile.SpooledTemporaryFile(max_size=100) as f:
    f.write(b"x" * 50); f.write(b"y" * 100); f.seek(40); say(f.read(20))
with tempfile.TemporaryDirectory() as d:
    p = os.path.join(d, "f")
    for i in range(20):
        with open(p + "new", "wb") as f: f.write(b"%d" % i * 3000); f.flush(); os.fsync(f.fileno())
        os.replace(p + "new", p); say(len(open(p, "rb").read()))
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(fd, b"no name" * 3000); os.fsync(fd); os.pwrite(fd, b"NO NAME", 7000); say(os.pread(fd, 20, 6995))
os.link("/proc/self/fd/%d" % fd, "linked", src_dir_fd=os.open("/", os.O_RDONLY), follow_symlinks=True); os.close(fd); say(os.stat("linked").st_size)
'''

PROGRAMS["mmap"] = r'''
import mmap
with open("a", "w+b") as f:
    f.write(rng.randbytes(100000)); f.flush(); os.fsync(f.fileno())
    os.pwrite(f.fileno(), b"synced, rewritten" * 500, 3000)
    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    say(hashlib.md5(m[:]).hexdigest(), m[3000:3020])
    os.pwrite(f.fileno(), b"while mapped", 3005); say(m[3000:3030])
    os.fsync(f.fileno()); os.pwrite(f.fileno(), b"AGAIN", 3005); say(m[3000:3030], os.pread(f.fileno(), 30, 3000))
    m.close()
    m = mmap.mmap(f.fileno(), 0)
    m[50000:50010] = b"0123456789"; say(os.pread(f.fileno(), 20, 49995))
    os.pwrite(f.fileno(), b"abc", 50003); say(m[50000:50010]); m.flush(); m[0:4] = b"head"
    say(open("a", "rb").read(10), m.find(b"AGAIN")); m.close()
    f.truncate(120000); m = mmap.mmap(f.fileno(), 120000); say(m[99990:100010] == os.pread(f.fileno(), 20, 99990))
    m[119990:120000] = b"at the end"; m.close()
say(hashlib.md5(open("a", "rb").read()).hexdigest())
with open("a", "r+b") as f:
    m = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE); m[0:5] = b"mine!"; say(open("a", "rb").read(5)); m.close()
    m = mmap.mmap(f.fileno(), 50000, offset=8192); m[0:3] = b"off"
    pid = os.fork()
    if pid == 0: m[10:15] = b"child"; os._exit(0)
    os.waitpid(pid, 0); say(m[0:20], os.pread(f.fileno(), 20, 8192)); m.close()
'''

PROGRAMS["fork"] = r'''
fd = os.open("a", os.O_RDWR | os.O_CREAT)
os.write(fd, b"start\n"); os.fsync(fd); os.write(fd, b"second\n")
def child(work, leave=os._exit):
    pid = os.fork()
    if pid == 0:
        try: work()
        finally: leave(0)
    return os.waitpid(pid, 0)[1]
say(child(lambda: os.write(fd, b"child writes at the shared offset\n"))); os.write(fd, b"parent goes on\n")
say(child(lambda: (os.lseek(fd, 1000, 0), os.write(fd, b"elsewhere")), leave=sys.exit)); say(os.lseek(fd, 0, 1))
say(child(lambda: os.close(fd))); os.write(fd, b"still open")
def own():
    mine = os.open("a", os.O_RDWR); os.pwrite(mine, b"own", 5); os.fsync(mine); os.pwrite(mine, b"OWN", 8); os.close(mine)
say(child(own), os.pread(fd, 20, 0))
say(child(lambda: os.execvp("sh", ["sh", "-c", "echo from exec >> a; dd if=/dev/zero of=a bs=1 seek=3 count=2 conv=notrunc status=none"])))
say(os.fstat(fd).st_size, os.pread(fd, 20, 0))
log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
pids = []
for n in range(4):
    pid = os.fork()
    if pid == 0:
        for i in range(300):
            os.write(log, b"%d %04d %s\n" % (n, i, b"z" * (i % 90)))
            if i % 32 == 0: os.fsync(log)
        os._exit(0)
    pids.append(pid)
for pid in pids: say(os.waitpid(pid, 0)[1])
lines = open("log", "rb").read().split(b"\n")
for n in range(4): say([l for l in lines if l.startswith(b"%d " % n)] == [b"%d %04d %s" % (n, i, b"z" * (i % 90)) for i in range(300)])
with open("log", "wb") as f: f.write(b"\n".join(sorted(lines)))
pid = os.fork()
if pid == 0:
    for i in range(50): os.pwrite(fd, b"%d" % (i % 10) * 5000, i * 5000)
    os.kill(os.getpid(), 9)
say(os.waitpid(pid, 0)[1], hashlib.md5(os.pread(fd, 250000, 0)).hexdigest())
a, b = socket.socketpair()
pid = os.fork()
if pid == 0:
    fds = socket.recv_fds(b, 10, 1)[1]; os.pwrite(fds[0], b"through a socket", 100); os._exit(0)
new = os.open("passed", os.O_RDWR | os.O_CREAT); os.write(new, b"-" * 5000); os.fsync(new); os.pwrite(new, b"+" * 50, 90)
socket.send_fds(a, [b"x"], [new]); say(os.waitpid(pid, 0)[1], os.pread(new, 40, 90))
'''

# A description is shared with a program that knows nothing of the library, while this one attaches the file by another.
PROGRAMS["given"] = r'''
open("a", "wb").write(b"." * 100000)
a, b = os.open("a", os.O_RDWR), os.open("a", os.O_RDWR)
ask, answer = os.pipe(), os.pipe()
if os.fork() == 0:
    os.dup2(ask[0], 0); os.dup2(answer[1], 1); os.set_inheritable(a, True)
    look = "while read x; do dd bs=7 count=1 status=none <&%d > /dev/null; grep pos /proc/self/fdinfo/%d; done" % (a, a)
    os.execve("/bin/sh", ["sh", "-c", look], {"PATH": os.environ["PATH"]})
os.close(answer[1])
said = os.fdopen(answer[0])
for i in range(50):
    os.pwrite(b, b"by b", i * 100); os.fsync(b)
    if i % 5 == 0: os.lseek(a, i, os.SEEK_CUR)
    if i % 5 == 1: os.lseek(a, -50000 - i, os.SEEK_END) # far from the end, which the other program may see late
    if i % 5 == 2: os.write(a, b"%d" % i)
    say(os.read(a, 11), os.lseek(a, 0, os.SEEK_CUR))
    os.write(ask[1], b"\n"); say(said.readline().strip(), os.read(a, 5), os.lseek(a, 0, os.SEEK_CUR))
os.close(ask[1]); os.wait(); os.close(a); os.close(b)
'''

PROGRAMS["threads"] = r'''
import threading
fd = os.open("a", os.O_RDWR | os.O_CREAT); os.ftruncate(fd, 800000); os.fsync(fd)
def work(n):
    r = random.Random(n)
    for i in range(300):
        off = n * 200000 + r.randrange(0, 190000); data = r.randbytes(r.randrange(1, 9000))
        os.pwrite(fd, data, off)
        if os.pread(fd, len(data), off) != data: say("wrong", n, i)
        if i % 25 == 0: os.fdatasync(fd)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
say(hashlib.md5(os.pread(fd, 800000, 0)).hexdigest())
'''

PROGRAMS["sqlite3"] = r'''
import sqlite3, threading
def base(name, *pragmas):
    c = sqlite3.connect(name, timeout=30, isolation_level=None)
    for p in pragmas: say(p, c.execute("PRAGMA " + p).fetchone())
    return c
for mode in ("wal", "delete", "persist"):
    for mapped in (0, 1 << 20):
        name = "%s%d.db" % (mode, mapped); c = base(name, "journal_mode=" + mode, "mmap_size=%d" % mapped, "synchronous=full")
        c.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, s TEXT)"); c.execute("CREATE INDEX i ON t(s)")
        for i in range(150): c.execute("INSERT INTO t VALUES(?,?,?)", (i, rng.randbytes(rng.randrange(4000)), "text %d" % (i * 7919 % 1000)))
        try:
            c.execute("BEGIN"); c.execute("DELETE FROM t WHERE id % 2 = 0"); c.execute("INSERT INTO t(id) VALUES(1)")
        except sqlite3.IntegrityError: c.execute("ROLLBACK")
        c.execute("UPDATE t SET b = zeroblob(3000) WHERE id = 77")
        with c.blobopen("t", "b", 77) as blob: blob.seek(1000); blob.write(b"inside"); blob.seek(999); say(blob.read(8))
        d = base(name, "mmap_size=%d" % mapped)
        def more(conn, first):
            conn = sqlite3.connect(name, timeout=30, isolation_level=None)
            for i in range(first, first + 40): conn.execute("INSERT INTO t VALUES(?,?,?)", (i, b"x" * i, str(i)))
            conn.close()
        threads = [threading.Thread(target=more, args=(d, n)) for n in (1000, 2000)]
        for t in threads: t.start()
        for t in threads: t.join()
        say(d.execute("SELECT count(*), sum(length(b)), sum(length(s)) FROM t").fetchone(), d.execute("PRAGMA integrity_check").fetchone())
        copy = sqlite3.connect("copy.db"); d.backup(copy); say(copy.execute("SELECT count(*), sum(id) FROM t").fetchone()); copy.close()
        d.execute("VACUUM"); d.close(); c.execute("DROP INDEX i"); c.execute("PRAGMA wal_checkpoint(truncate)"); say(c.execute("PRAGMA integrity_check").fetchone()); c.close()
        c = sqlite3.connect(name); say(hashlib.md5(repr(c.execute("SELECT * FROM t ORDER BY id").fetchall()).encode()).hexdigest()); c.close()
        for n in (name, "copy.db", name + "-journal", name + "-wal", name + "-shm"):
            if os.path.exists(n): os.unlink(n)
'''

HEAD = r'''
import errno, hashlib, os, random, socket, subprocess, sys
rng = random.Random(42)
def say(*what): print(*what, flush=True)
def attempt(f, *args):
    try: say(f.__name__, "gave", type(f(*args)).__name__)
    except (OSError, ValueError) as e: say(f.__name__, "failed", errno.errorcode.get(getattr(e, "errno", 0) or 0, "?"))
'''


def program(name):
    def test():
        python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
        app = App("python." + name, served=name != "given", mapped=name in ("mmap", "sqlite3"))
        app.both([python, "-c", HEAD + PROGRAMS[name]])
        app.finish()
    test.__name__ = name
    return test


def descriptors():
    """The library keeps descriptors of its own: the program must see the kernel's numbers, and close what it likes."""
    app = App("python.descriptors", active=False)  # its limit of descriptors leaves none for the counters
    app.both([sys.executable if not os.path.exists("/usr/bin/python3") else "/usr/bin/python3", "-c", HEAD + r'''
fds = [os.open("f%d" % i, os.O_RDWR | os.O_CREAT) for i in range(20)]
say(fds)
for i, fd in enumerate(fds): os.write(fd, b"%d" % i * 5000); os.fsync(fd); os.pwrite(fd, b"again", 100)
os.closerange(3, 200000)
say(os.open("g", os.O_RDWR | os.O_CREAT), len(os.listdir("/proc/self/fd")) < 30)
fd = os.open("f3", os.O_RDWR); os.pwrite(fd, b"after closerange", 0); os.fsync(fd); os.pwrite(fd, b"AFTER", 0)
say(os.pread(fd, 20, 0)); os.dup2(fd, 1000); os.dup2(1000, fd); os.write(1000, b"!"); say(os.pread(fd, 20, 0))
resource = __import__("resource"); resource.setrlimit(resource.RLIMIT_NOFILE, (1010, 1010))
n = 0
try:
    while True: os.open("f1", os.O_RDONLY); n += 1
except OSError as e: say(e.errno, n > 900)
os.pwrite(fd, b"no descriptors left" * 500, 5000); os.fsync(fd); say(os.pread(fd, 10, 5000))
'''])
    app.finish()


apptest.main(*[program(name) for name in PROGRAMS], descriptors)
