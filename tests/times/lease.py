# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""Promise of lease:1: a program without the library that opens a file which is written all the time reads it as it was at
one moment: cat, cp and tar, again and again, and two at once; and what is written meanwhile is not lost.

    lease.py [TEST...]

The writer (NVMMIO_PRELOAD names the library) stamps the whole file with one number after the other, so that a mix shows:
each stamp is one commit. Without the library, and with lease:0, the readers must see mixes, or the test proves nothing.
"""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import shm  # noqa: E402

shm.private()

PRELOAD = os.environ.get("NVMMIO_PRELOAD", "")
BLOCKS = 256
BLOCK = 4096

WRITER = """
import os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
blocks, n = int(sys.argv[2]), 0
os.set_blocking(0, False)
while True:
    n += 1
    for b in range(blocks):
        os.pwrite(fd, struct.pack("<Q", n) * 512, b * 4096)
    os.fsync(fd)
    if n == 3:
        print("going", flush=True)
    try:
        if os.read(0, 1):
            break
    except BlockingIOError:
        pass
os.pwrite(fd, b"the end", blocks * 4096)
os.close(fd)
print(n, flush=True)
"""


class Failed(Exception):
    pass


def must(condition, what):
    if not condition:
        raise Failed(what)


class Place:
    def __enter__(self):
        self.base = tempfile.mkdtemp(prefix="nvmmio-lease-", dir=os.environ.get("NVMMIO_TEST_DIR", "/dev/shm"))
        self.root = self.base + "/root"
        os.mkdir(self.root)
        self.path = self.root + "/file"
        with open(self.path, "wb") as f:
            f.write(struct.pack("<Q", 0) * 512 * BLOCKS)
        self.writer = None
        return self

    def __exit__(self, *_):
        if self.writer:
            self.writer.kill()
            self.writer.wait()
        shutil.rmtree(self.base, ignore_errors=True)

    def spawn(self, lease, args):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NVMMIO_", "LD_PRELOAD"))}
        if PRELOAD:
            env.update(LD_PRELOAD=PRELOAD, NVMMIO_ROOT=self.root,
                       NVMMIO_CONF="pm:force,idle:10ms,lease:%d,stats:1,log:%s/log" % (lease, self.base))
        self.writer = subprocess.Popen(args, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def start(self, lease):
        self.spawn(lease, [sys.executable, "-c", WRITER, self.path, str(BLOCKS)])
        must(self.writer.stdout.readline() == b"going\n", "the writer does not write")

    def say(self):
        self.writer.stdin.write(b"x")
        self.writer.stdin.flush()

    def stop(self):
        self.say()
        last = int(self.writer.stdout.readline())
        must(self.writer.wait() == 0, "the writer ended badly")
        with open(self.path, "rb") as f:
            data = f.read()
        must(data == struct.pack("<Q", last) * 512 * BLOCKS + b"the end", "what was written last is not there")
        return last


def moment(data):
    """The writer goes through the file from the beginning: at every moment the first blocks have one number, the others
    the one before. The number, or None for a mix of moments."""
    stamps = [struct.unpack_from("<Q", data, b * BLOCK)[0] for b in range(len(data) // BLOCK)]
    whole = all(data[b * BLOCK:(b + 1) * BLOCK] == data[b * BLOCK:b * BLOCK + 8] * 512 for b in range(len(stamps)))
    later = all(a >= b for a, b in zip(stamps, stamps[1:]))
    return stamps[-1] if whole and later and stamps[0] - stamps[-1] <= 1 else None


def slow_read(path):
    """Slower than the writer writes everything."""
    data = b""
    with open(path, "rb", buffering=0) as f:
        while True:
            part = f.read(16 * BLOCK)
            if not part:
                return data
            data += part
            time.sleep(0.005)


def by(command):
    def read(path):
        copy = path + ".copy.%d" % threading.get_ident()
        copy = os.path.join(os.path.dirname(os.path.dirname(path)), os.path.basename(copy))
        done = subprocess.run(["sh", "-c", command, "sh", path, copy], stderr=subprocess.PIPE)
        must(done.returncode == 0 and not done.stderr, "%s: %r" % (command, done.stderr))
        with open(copy, "rb") as f:
            return f.read()
    return read


READERS = {"cat": by('cat "$1" > "$2"'), "cp": by('cp "$1" "$2"'),
           "tar": by('for i in 1 2 3 4 5; do tar -cf - -C "${1%/*}" file 2> /dev/null > "$2.tar" && break; sleep 0.1; done; '
                 'tar -xOf "$2.tar" > "$2"'), "slow": slow_read}


def readers_see_one_moment():
    with Place() as p:
        p.start(1)
        seen = []
        for _ in range(3):
            for name, read in sorted(READERS.items(), reverse=True):  # tar first: it opens with O_NONBLOCK
                data = read(p.path)
                found = moment(data)
                must(len(data) == BLOCKS * BLOCK, "%s read %d bytes" % (name, len(data)))
                must(found is not None, "%s saw a mix" % name)
                must(not seen or found >= seen[-1], "%s saw an older moment than the one before" % name)
                seen.append(found)
            time.sleep(3.2)
        must(len(set(seen)) >= 3, "readers saw the same moment for ever: %s" % seen)
        last = p.stop()
        must(last > seen[-1], "the writer did not go on")


def two_at_once():
    with Place() as p:
        p.start(1)
        for _ in range(4):
            found, threads = [], []
            for name in ("slow", "cat", "slow"):
                threads.append(threading.Thread(target=lambda n: found.append(moment(READERS[n](p.path))), args=(name,)))
                threads[-1].start()
                time.sleep(0.02)
            for t in threads:
                t.join()
            must(len(found) == 3 and None not in found, "mixes: %s" % found)
            time.sleep(0.15)
        p.stop()


def from_the_first_write_on():
    """Whoever opens the file behind the first write, however early, waits for the lease; and who has opened it before and
    reads it now is shown nothing of what is written from then on."""
    script = """
import fcntl, os, sys
for i in range(int(sys.argv[2])):
    path = "%s/early.%d" % (sys.argv[1], i)
    with open(path, "wb", buffering=0) as f:
        f.write(b"0" * 65536)
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"1" * 4096, 0)
    assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_WRLCK, i
    os.close(fd)
fd = os.open(sys.argv[1] + "/file", os.O_RDWR)
print("open", flush=True)
os.read(0, 1)
for b in range(256):
    os.pwrite(fd, b"1" * 4096, b * 4096)
os.fsync(fd)
print("written", flush=True)
os.read(0, 1)
os.close(fd)
"""
    with Place() as p:
        p.spawn(1, [sys.executable, "-c", script, p.root, "50"])
        must(p.writer.stdout.readline() == b"open\n", "a file that was written has no lease")
        with open(p.path, "rb", buffering=0) as reader:
            reader.read(BLOCK)
            p.say()
            must(p.writer.stdout.readline() == b"written\n", "the writer does not write")
            reader.seek(0)
            must(reader.read() == bytes(BLOCKS * BLOCK), "a reader that was there before sees what is written")
        p.say()
        must(p.writer.wait() == 0, "the writer ended badly")
        with open(p.path, "rb") as f:
            must(f.read() == b"1" * (BLOCKS * BLOCK), "what was written is not there")


def mixes_without():
    """The test itself: without a lease a slow reader sees a mix."""
    with Place() as p:
        p.start(0)
        must(any(moment(slow_read(p.path)) is None for _ in range(5)), "no mix without a lease")
        p.stop()


def killed():
    """A holder that dies keeps nobody waiting, and nothing is lost."""
    with Place() as p:
        p.start(1)
        p.writer.kill()
        p.writer.wait()
        begin = time.monotonic()
        slow_read(p.path)
        must(time.monotonic() - begin < 5, "a reader waits for a dead holder")


def run_alone(script):
    """Runs a Python program on a file that nobody else has open."""
    with Place() as p:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NVMMIO_", "LD_PRELOAD"))}
        if PRELOAD:
            env.update(LD_PRELOAD=PRELOAD, NVMMIO_ROOT=p.root, NVMMIO_CONF="pm:force,lease:1")
        done = subprocess.run([sys.executable, "-c", script, p.path], env=env, stdout=subprocess.PIPE, timeout=40)
        must(done.stdout == b"ok\n", "status %d" % done.returncode)


def second_open():
    """The process itself opens the file again, forks, appends: it does not wait for itself, and the readers do not wait."""
    script = """
import os, sys, subprocess, time
path = sys.argv[1]
for how in range(4):
    a = os.open(path, os.O_RDWR)
    for i in range(20):
        os.pwrite(a, b"first %d" % i, i * 5000)
    if how == 0:
        b = os.open(path, os.O_RDWR)
        os.pwrite(b, b"second", 10000)
        assert os.pread(a, 6, 10000) == b"second"
        os.close(b)
    elif how == 1:
        pid = os.fork()
        if pid == 0:
            os.pwrite(a, b"child", 20000)
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.pread(a, 5, 20000) == b"child"
    elif how == 2:
        import fcntl
        fcntl.fcntl(a, fcntl.F_SETFL, os.O_APPEND)
        size = os.fstat(a).st_size
        os.write(a, b"appended")
        assert os.pread(a, 8, size) == b"appended"
    else:
        fcntl.flock(a, fcntl.LOCK_EX)
        fcntl.lockf(a, fcntl.LOCK_EX)
    os.fsync(a)
    time.sleep(0.2 if how else 3)
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    plain = subprocess.run(["cat", path], env=env, stdout=subprocess.PIPE, timeout=10).stdout
    assert plain == os.pread(a, 1 << 24, 0), how
    os.close(a)
    subprocess.run(["flock", "-n", path, "true"], env=env, check=True)
print("ok")
"""
    run_alone(script)


def own_opens_do_not_wait():
    """The process itself opens the file again with O_NONBLOCK: it is no foreigner. Nor does the lease show in its flags."""
    run_alone("""
import fcntl, os, sys, time
path = sys.argv[1]
for flags in (0, os.O_ASYNC):
    a = os.open(path, os.O_RDWR | flags)
    wanted = fcntl.fcntl(a, fcntl.F_GETFL)
    for i in range(20):
        for n in range(20):
            os.pwrite(a, b"mine %2d" % i, n * 5000)
        if i % 2:
            time.sleep(0.06)
        got = fcntl.fcntl(a, fcntl.F_GETFL)
        assert got == wanted, (i, oct(got), oct(wanted))
        b = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        assert os.pread(b, 7, 0) == b"mine %2d" % i
        os.close(b)
    os.close(a)
print("ok")
""")


def child_syncs_its_mapping():
    """A forked child syncs a mapping whose descriptor is closed."""
    run_alone("""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
for how in range(8):
    a = os.open(sys.argv[1], os.O_RDWR)
    if how & 1:
        os.pwrite(a, b"before", 0)
    at = libc.mmap(None, 8192, 3, 1, a, 0)
    m = (ctypes.c_ubyte * 8192).from_address(at)
    if how & 2:
        os.pwrite(a, b"behind", 100)
    if how & 4:
        os.close(a)
    m[5] = how
    pid = os.fork()
    if pid == 0:
        m[6] = how
        synced = libc.msync(at, 8192, 4) == 0 and libc.msync(at, 8192, 1) == 0
        os._exit(0 if synced and m[5] == how else 1)
    assert os.waitpid(pid, 0)[1] == 0, how
    assert m[6] == how
    assert libc.msync(at, 8192, 4) == 0 and libc.munmap(at, 8192) == 0
    if not how & 4:
        os.close(a)
    with open(sys.argv[1], "rb") as f:
        assert f.read(7)[5:] == bytes([how, how]), how
print("ok")
""")


def offset_stays():
    """The library looks for data and holes on the program's own description, whose offset is the program's."""
    run_alone("""
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, b"x" * 65536, 3 << 20)
os.ftruncate(fd, 20000)
os.pwrite(fd, b"y" * 4096, 100000)
assert os.lseek(fd, 0, os.SEEK_CUR) == 0
os.ftruncate(fd, 5 << 40)
assert os.lseek(fd, 0, os.SEEK_CUR) == 0
print("ok")
""")


def first_close():
    """Of two descriptors the first, by which the file is served, is closed: its lock goes, programs see what is written
    by the other from then on, and again each one moment."""
    run_alone("""
import fcntl, os, subprocess, sys, time
path = sys.argv[1]
env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
a = os.open(path, os.O_RDWR)
for n in range(40):
    os.pwrite(a, b"first %2d" % n, 0)
fcntl.flock(a, fcntl.LOCK_EX)
b = os.open(path, os.O_RDWR)
os.pwrite(b, b"both", 0)
time.sleep(0.2)
os.close(a)
subprocess.run(["flock", "-n", path, "true"], env=env, check=True)
assert os.pread(b, 4, 0) == b"both"
time.sleep(0.3)
for n in range(2):
    os.pwrite(b, b"second %d" % n, 0)
    time.sleep(2.5)
    seen = subprocess.run(["head", "-c", "8", path], env=env, stdout=subprocess.PIPE, timeout=10).stdout
    assert seen == b"second %d" % n, seen
print("ok")
""")


def threads_and_strangers():
    """Threads open, lock, write, read and close the file beside programs that read it: nobody waits, nothing is lost."""
    run_alone("""
import fcntl, os, random, struct, subprocess, sys, threading, time
path, threads, seconds, block = sys.argv[1], 4, 4, 4096
env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
end, done, wrong = time.monotonic() + seconds, [0] * threads, []
def work(k):
    random_ = random.Random(k)
    while time.monotonic() < end:
        fd = os.open(path, os.O_RDWR | random_.choice((0, 0, os.O_NONBLOCK)))
        if random_.random() < 0.1:
            fcntl.flock(fd, fcntl.LOCK_EX)
        for _ in range(random_.choice((1, 3, 40, 200))):
            done[k] += 1
            data = struct.pack("<Q", done[k]) * (block // 8)
            os.pwrite(fd, data, k * block)
            if os.pread(fd, block, k * block) != data:
                wrong.append(done[k])
        if random_.random() < 0.3:
            time.sleep(random_.random() * 0.12)
        os.close(fd)
workers = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(threads)]
for worker in workers:
    worker.start()
while time.monotonic() < end:
    subprocess.run(["sh", "-c", "exec 3<$0; sleep 0.05; cat <&3 >/dev/null; cat $0 >/dev/null", path], env=env, timeout=15)
for worker in workers:
    worker.join(15)
assert not any(worker.is_alive() for worker in workers) and not wrong
with open(path, "rb") as f:
    assert [struct.unpack("<Q", f.read(block)[:8])[0] for _ in workers] == done
print("ok")
""")


TESTS = (from_the_first_write_on, readers_see_one_moment, two_at_once, mixes_without, killed, second_open,
         own_opens_do_not_wait, child_syncs_its_mapping, offset_stays,
         first_close, threads_and_strangers)


def main():
    failures = 0
    for test in TESTS:
        if sys.argv[1:] and test.__name__ not in sys.argv[1:]:
            continue
        if not PRELOAD and test in (from_the_first_write_on, readers_see_one_moment, two_at_once):
            continue
        try:
            test()
            print("ok", test.__name__, flush=True)
        except (Failed, subprocess.SubprocessError) as f:
            failures += 1
            print("FAILED", test.__name__, f, flush=True)
    sys.exit(1 if failures else 0)


main()
