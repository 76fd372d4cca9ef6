# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""Bad input and faults: what stands in the way of the library must end in a clear errno or on the kernel's path, never in
a crash, a hang, a lost acknowledged byte, or a file changed by a log that is not its own.

    faults.py FILECALL [--library] [TEST...]

FILECALL is filecall_kernel (with NVMMIO_PRELOAD: under the preload library) or filecall_nv (--library). Tests that need
root are skipped without. NVMMIO_TEST_SCALE makes the random ones longer.
"""

import glob
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import shm  # noqa: E402

sys.argv[1] = os.path.abspath(sys.argv[1])
shm.private()

FILECALL = sys.argv[1]
LIBRARY = "--library" in sys.argv
PRELOAD = os.environ.get("NVMMIO_PRELOAD", "")
ACTIVE = LIBRARY or bool(PRELOAD)
SCALE = max(1, int(os.environ.get("NVMMIO_TEST_SCALE", "1")))
ROOT_USER = os.geteuid() == 0
NOBODY = 65534
STRANGER = 65533
TIMEOUT = 60

# Offsets in the header of a log, as src/log/log_format.h tells.
MAGIC, VERSION, OWNER, BOOT_ID, INO, EPOCH, FLOOR, NONCE = 0, 8, 12, 16, 64 + 16, 144, 152, 200
HEADER, ENTRIES, FIRST_ENTRY, ENTRY = 4096, 1 << 21, 4096, 64


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def need_root():
    if not ROOT_USER:
        raise Skipped("needs root")


def need_library():
    if not ACTIVE:
        raise Skipped("is about the library")


def must(condition, what):
    if not condition:
        raise Failed(what)


class Place:
    """A root with a directory for each test; `call` runs filecall in it."""

    def __init__(self, parent=None):
        self.base = tempfile.mkdtemp(prefix="nvmmio-fault-",
                                     dir=parent or os.environ.get("NVMMIO_TEST_DIR", "/dev/shm"))
        os.chmod(self.base, 0o755)
        self.root = os.path.join(self.base, "root")
        os.mkdir(self.root)
        self.messages = os.path.join(self.base, "messages")
        os.mkdir(self.messages)
        os.chmod(self.messages, 0o777)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if os.environ.get("NVMMIO_TEST_KEEP") != "1":
            shutil.rmtree(self.base, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def environment(self, kernel=False, root=None, conf=""):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NVMMIO_", "LD_PRELOAD"))}
        if not kernel:
            env["NVMMIO_ROOT"] = self.root if root is None else root
            # as on PM: on tmpfs there would be little in the logs that are spoilt
            env["NVMMIO_CONF"] = "log:%s/%%p.log,pm:force%s" % (self.messages, conf)
            if PRELOAD:
                env["LD_PRELOAD"] = PRELOAD
        return env

    def start(self, *words, uid=None, prefix=(), **env):
        args = list(prefix) + [FILECALL] + [str(w) for w in " ".join(map(str, words)).split()]
        if uid is not None:
            args = ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups"] + args
        return subprocess.Popen(args, cwd=self.root, env=self.environment(**env), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self, process, killed=False, status=0):
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise Failed("hang; so far: %r" % out)
        wanted = -signal.SIGKILL if killed else status
        if process.returncode != wanted:
            raise Failed("%r ended with status %d: %r %r" % (process.args[-40:], process.returncode, out[-500:],
                                                             err[-300:]))
        return out.decode().split("\n")[:-1]

    def call(self, *words, killed=False, status=0, **options):
        return self.end(self.start(*words, **options), killed, status)

    def same(self, *words, prepare=None, **options):
        """The same calls on the kernel's path (a fresh directory) and here: results must be equal."""
        with Place(os.path.dirname(self.base)) as other:
            if prepare:
                prepare(other)
                prepare(self)
            expected = other.call(*words, kernel=True, **{k: v for k, v in options.items() if k in ("uid", "prefix")})
        got = self.call(*words, **options)
        must(got == expected, "%r gave\n%r, on the kernel\n%r" % (" ".join(map(str, words)), got, expected))
        return got

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def logs(self):
        return [p for p in glob.glob(os.path.join(self.root, ".nvmmio", "*", "*"))
                if os.path.basename(p) != "table"]

    def live_logs(self):
        """Those that belong to a file: with a magic."""
        found = []
        for path in self.logs():
            with open(path, "rb") as f:
                if f.read(8) != bytes(8):
                    found.append(path)
        return found

    def no_logs(self):
        must(not self.logs(), "left over: %s" % self.logs())

    def said(self):
        text = ""
        for path in glob.glob(self.messages + "/*.log"):
            with open(path, errors="replace") as f:
                text += f.read()
        return text

    # ---- a file with a log, left by a killed process ----

    FILE = 300000

    def crash(self, name="file", uid=None):
        """Leaves a file whose last writes are in the log alone; returns its content without them, and with them."""
        self.call("open %s rwc pwrite 0 %d 1 fsync close" % (name, self.FILE), uid=uid)
        self.call("open %s rw pwrite 5000 100000 2 fsync pwrite 150000 60000 3 pwrite 7 100 4 kill" % name, killed=True,
                  uid=uid)
        old = self.read(name)
        new = bytearray(pattern(1, 0, self.FILE))
        for key, offset, length in ((2, 5000, 100000), (3, 150000, 60000), (4, 7, 100)):
            new[offset:offset + length] = pattern(key, offset, length)
        return old, bytes(new)


def pattern(key, offset, length):
    """tool_pattern of support/tool.h"""
    mask = (1 << 64) - 1

    def mix(x):
        x = (x + 0x9e3779b97f4a7c15) & mask
        x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & mask
        x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & mask
        return x ^ (x >> 31)

    first, last = offset >> 3, (offset + length + 7) >> 3
    words = [mix(mix(key) ^ w) for w in range(first, last)]
    data = struct.pack("<%dQ" % len(words), *words)
    return data[offset - first * 8:offset - first * 8 + length]


WORK = "pwrite 0 200000 11 fsync pwrite 1000 50000 12 fsync pwrite 100000 3000 13 check 1000 50000 12 size"


# ---- the root ----

def root_missing():
    with Place() as p:
        for root in (p.base + "/none", p.base + "/none:" + p.base + "/nothing", "", ":", "relative", "/dev/null",
                     p.base + "/" + "x" * 5000, ":".join(["/tmp/none"] * 40)):
            out = p.call("open file rwc %s close" % WORK, root=root)
            must(out[-1] == "close 0" and "check 0" in out, "root %r: %r" % (root, out))
        must(not p.logs() and not os.path.exists(p.path(".nvmmio")), "a log outside every root")


def root_unwritable():
    with Place() as p:
        def prepare(q):
            with open(q.path("file"), "wb") as f:
                f.write(b"x" * 10000)
            if ROOT_USER:
                os.chown(q.path("file"), NOBODY, NOBODY)
            os.chmod(q.root, 0o555)
        try:
            p.same("open file rw %s close" % WORK, prepare=prepare, uid=NOBODY if ROOT_USER else None)
            must(not os.path.exists(p.path(".nvmmio")), ".nvmmio in an unwritable root")
        finally:
            os.chmod(p.root, 0o755)


def root_occupied():
    """Something else stands where the library wants its directory."""
    plants = {
        "file": lambda d, p: open(d, "w").close(),
        "dangling link": lambda d, p: os.symlink("nowhere", d),
        "link to elsewhere": lambda d, p: (os.mkdir(p.base + "/elsewhere"), os.symlink(p.base + "/elsewhere", d)),
        "fifo": lambda d, p: os.mkfifo(d),
        "unreadable": lambda d, p: os.mkdir(d, 0),
        "read-only": lambda d, p: os.mkdir(d, 0o555),
    }
    for name, plant in plants.items():
        for level in (".nvmmio", ".nvmmio/%d" % os.geteuid()):
            with Place() as p:
                if level != ".nvmmio":
                    os.mkdir(p.path(".nvmmio"), 0o755)
                plant(p.path(level), p)
                out = p.call("open file rwc %s close" % WORK)
                must(out[-1] == "close 0" and "check 0" in out, "%s: %r" % (name, out))
                must(pattern(13, 100000, 3000) == p.read("file")[100000:103000], "%s: wrong bytes" % name)
                must(not os.path.exists(p.base + "/elsewhere") or not os.listdir(p.base + "/elsewhere"),
                     "%s: followed a link out of the root" % name)
                os.path.isdir(p.path(level)) and not os.path.islink(p.path(level)) and os.chmod(p.path(level), 0o700)


def root_foreign_directory():
    """.nvmmio/UID belongs to another user: no log is put there."""
    need_root()
    with Place() as p:
        os.chmod(p.root, 0o777)
        os.makedirs(p.path(".nvmmio/%d" % NOBODY))
        for d in (".nvmmio", ".nvmmio/%d" % NOBODY):
            os.chown(p.path(d), STRANGER, STRANGER)
            os.chmod(p.path(d), 0o777)
        out = p.call("open file rwc %s close" % WORK, uid=NOBODY)
        must(out[-1] == "close 0" and "check 0" in out, out)
        must(not p.logs(), "a log in a directory of another user")


def table_is_garbage():
    """The table of the root is damaged, short, or not a file."""
    need_library()
    plants = {
        "random": lambda t: open(t, "r+b").write(random.Random(1).randbytes(os.path.getsize(t))),
        "short": lambda t: os.truncate(t, 100),
        "empty": lambda t: os.truncate(t, 0),
        "fifo": lambda t: (os.unlink(t), os.mkfifo(t)),
        "directory": lambda t: (os.unlink(t), os.mkdir(t)),
        "link": lambda t: (os.unlink(t), os.symlink("/etc/passwd", t)),
        "open to all": lambda t: os.chmod(t, 0o666),
    }
    for name, plant in plants.items():
        with Place() as p:
            p.call("open file rwc %s close" % WORK)
            table = p.path(".nvmmio/%d/table" % os.geteuid())
            must(os.path.exists(table), "no table: the library was not active")
            plant(table)
            out = p.call("open file rw %s close" % WORK)
            must(out[-1] == "close 0" and "check 0" in out, "%s: %r" % (name, out))
            must(pattern(13, 100000, 3000) == p.read("file")[100000:103000], "%s: wrong bytes" % name)


# ---- space ----

class Small:
    """A tmpfs of 64 MiB as the place."""

    def __enter__(self):
        need_root()
        self.mount = tempfile.mkdtemp(prefix="nvmmio-small-")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", self.mount],
                          stderr=subprocess.DEVNULL).returncode:
            os.rmdir(self.mount)
            raise Skipped("cannot mount")
        return Place(self.mount)

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.mount])
        os.rmdir(self.mount)


def free_bytes(path):
    s = os.statvfs(path)
    return s.f_bavail * s.f_bsize


MIB = 1 << 20


def full_append():
    """Appends until the space ends: ENOSPC, and all that was acknowledged is there, in this process and in the next."""
    with Small() as p:
        for flags in ("rwc", "rwcs", "rwcA"):
            before = free_bytes(p.root)
            out = p.call("open file %s pwrite 0 4096 5 fsync fill 0 100000 2000 6" % (flags if LIBRARY else
                                                                                    flags.replace("A", "")),
                         "size fsync size close")
            fill = next(l for l in out if l.startswith("fill"))
            done, error = int(fill.split()[1]), fill.split()[2]
            must(error in ("ENOSPC", "all") and done <= 64 * MIB, "%s: %r" % (flags, out))
            least = 20 if LIBRARY and "A" in flags else 60  # its log is needed, and has the rest
            must(done > least * MIB, "%s: full after %d bytes of 64 MiB" % (flags, done))
            must(out[-1] == "close 0", "%s: %r" % (flags, out))
            must(p.read("file")[:done] == big_pattern(6, done), "%s: acknowledged bytes are lost" % flags)
            must(os.path.getsize(p.path("file")) == done, "%s: size %d, written %d" %
                 (flags, os.path.getsize(p.path("file")), done))
            os.unlink(p.path("file"))
            p.no_logs()
            must(free_bytes(p.root) > before - 2 * MIB, "%s: %d bytes leaked" % (flags, before - free_bytes(p.root)))


BIG = {}


def big_pattern(key, length):
    """The kernel's side makes large patterns faster than Python."""
    if (key, length) not in BIG:
        with Place() as p:
            out = p.call("open big rwc fill 0 %d 1 %d" % (16 * MIB if length > 16 * MIB else length, key), kernel=True)
            at = int(out[1].split()[1])
            while at < length:
                part = min(16 * MIB, length - at)
                p.call("open big rw fill %d %d 1 %d" % (at, part, key), kernel=True)
                at += part
            BIG[key, length] = p.read("big")
    return BIG[key, length]


def full_overwrite():
    """40 of 64 MiB are allocated and overwritten again and again: the kernel never fails there, nor may the library."""
    with Small() as p:
        size = 40 * MIB
        p.call("open file rwc fill 0 %d 40 7 fsync close" % MIB)
        for step, count in ((MIB, 40), (4096, 10240), (70000, size // 70000)):
            out = p.call("open file rw fill 0 %d %d 8 fsync fill 0 %d %d 9 fsync" % (step, count, step, count),
                         "fill 0 %d %d 8 check 0 %d 8 close" % (step, count, step * count))
            must([l.split()[-1] for l in out if l.startswith("fill")] == ["all"] * 3, "step %d: %r" % (step, out))
            must("check 0" in out and out[-1] == "close 0", out)
            must(p.read("file")[:step * count] == big_pattern(8, step * count), "step %d: wrong bytes" % step)
        p.no_logs()


def full_to_the_last_byte():
    """No space at all: an existing file can be overwritten, a hole cannot be filled, nothing dies of SIGBUS."""
    with Small() as p:
        p.call("open file rwc fill 0 65536 16 1 fsync close open holes rwc truncate 10000000 pwrite 0 10 1 close")
        p.call("open ballast rwc fill 0 1000000 100 1 close", kernel=True)
        p.call("open ballast2 rwc fill 0 4096 1000 1 close", kernel=True)
        must(free_bytes(p.root) == 0, "not full: %d" % free_bytes(p.root))
        out = p.call("open file rw fill 0 5000 200 2 fsync fill 100 5000 200 3 fsync check 100 1000000 3 size close")
        must([l.split()[-1] for l in out if l.startswith("fill")] == ["all"] * 2 and out[-1] == "close 0", out)
        must(p.read("file")[100:1000100] == big_pattern(3, 1000100)[100:], "wrong bytes")
        out = p.call("open holes rw pwrite 0 5 2 fsync fill 4096 4096 100 2 fsync size close")
        must("fill 0 ENOSPC" in out and out[-1] == "close 0", out)
        must(p.read("holes") == pattern(2, 0, 5) + pattern(1, 5, 5) + bytes(10000000 - 10), "a hole is not zero")
        os.unlink(p.path("ballast"))
        out = p.call("open holes rw fill 4096 4096 100 2 fsync close")
        must("fill 409600 all" in out and out[-1] == "close 0", out)
        p.no_logs()


def full_atomic():
    """An O_ATOMIC file that cannot be logged any more gets ENOSPC and keeps its committed state."""
    if not LIBRARY:
        raise Skipped("is about the API")
    with Small() as p:
        p.call("open file rwc fill 0 %d 40 7 fsync close" % MIB)
        out = p.call("open file rwA fill 0 %d 40 8 kill" % MIB, killed=True)
        must("fill %d all" % (40 * MIB) not in out and "ENOSPC" in out[-1], out)
        p.call("open file r whole close")
        must(p.read("file") == big_pattern(7, 40 * MIB), "an unsynced write to an O_ATOMIC file is there")
        p.no_logs()


def file_size_limit():
    """RLIMIT_FSIZE is about the application's file: EFBIG and short writes as the kernel's, and no SIGXFSZ on ours."""
    with Place() as p:
        for words in ("limit 1000000 open file rwc pwrite 0 900000 1 fsync pwrite 950000 100000 2 size pwrite 1000000 1 3 "
                      "pwrite 2000000 1 3 truncate 1500000 truncate 999999 size fsync pwrite 100 500000 4 fsync "
                      "pwrite 200 700000 5 check 200 700000 5 fallocate 0 0 1500000 fallocate 1 0 2000000 size close",
                      "fatal-limit 1000000 open two rwc fill 0 10000 90 1 fsync fill 0 10000 90 2 fsync fill 0 10000 90 "
                      "3 fsync check 0 900000 3 close",
                      "fatal-limit 100 open three rwc pwrite 0 100 1 fsync pwrite 0 100 2 fsync check 0 100 2 close",
                      "limit 0 open three rwc pwrite 0 50 3 fsync close open four rwc pwrite 0 1 1 size close",
                      "limit 5000 open five rwca write 4000 1 fsync write 4000 2 size write 1 3 size close"):
            p.same(words)
        p.no_logs()


def file_size_limit_is_deadly():
    """SIGXFSZ kills where the kernel would have sent it, and only there."""
    with Place() as p:
        out = p.end(p.start("fatal-limit 1000000 open file rwc pwrite 0 900000 1 fsync pwrite 100 1000 2 fsync pwrite "
                            "1000000 1 3"), status=-signal.SIGXFSZ)
        must(out[-1] == "fsync 0", out)


# ---- what is no regular file ----

def other_types():
    def prepare(q):
        os.mkdir(q.path("dir"))
        os.mkfifo(q.path("fifo"))
        os.symlink("target", q.path("link"))
        os.symlink("/dev/null", q.path("null link"))
        os.symlink("nowhere/at all", q.path("dangling"))
        os.symlink("loop", q.path("loop"))
        if ROOT_USER:
            try:
                os.mknod(q.path("device"), 0o600 | stat.S_IFCHR, os.makedev(1, 5))
            except OSError:
                pass
    with Place() as p:
        p.same("open dir r read 10 fsync pwrite 0 1 1 truncate 5 close open dir rw open dir rc open dir/x/y rwc "
               "use 1 open fifo rwN write 5000 3 read 5000 pread 0 5 pwrite 0 5 1 fsync lseek 5 truncate 5 size close "
               "use 2 open link rwc pwrite 0 5000 1 fsync pwrite 10 5000 2 fsync check 10 5000 2 size close "
               "open link rn open loop rw open dangling rwc open link r check 10 5000 2 close "
               "open device rw read 100 pwrite 0 100 1 lseek 7 close open file rwcx pwrite 0 5 1 close open file rwcx",
               prepare=prepare)
        p.no_logs()


def read_only_file():
    with Place() as p:
        uid = NOBODY if ROOT_USER else None
        os.chmod(p.root, 0o777)
        p.call("open file rwc pwrite 0 100000 1 fsync pwrite 50000 100 2 close", uid=uid)
        os.chmod(p.path("file"), 0o444)
        out = p.call("open file rw open file w open file r check 0 50000 1 pread 0 100000 pwrite 0 5 1 truncate 5 close",
                     uid=uid)
        must(out[:2] == ["open failed EACCES"] * 2 and out[2:4] == ["open 0", "check 0"], out)
        must(out[-3:] == ["pwrite failed EBADF", "truncate failed EINVAL", "close 0"], out)
        # A descriptor that was opened for writing before the file became read-only keeps its right.
        os.chmod(p.path("file"), 0o600)
        child = p.start("open file rw pwrite 0 5000 3 fsync wait pwrite 100 5000 4 fsync check 100 5000 4 close", uid=uid)
        for _ in range(3):
            child.stdout.readline()
        os.chmod(p.path("file"), 0o444)
        must(p.end(child)[-1] == "close 0", "write after chmod")
        must(p.read("file")[100:5100] == pattern(4, 100, 5000), "wrong bytes after chmod")
        p.no_logs()


def recovery_by_reader():
    """Whoever opens the file next recovers it, also when he may only read, and also when the file is read-only now."""
    need_library()
    with Place() as p:
        uid = NOBODY if ROOT_USER else None
        os.chmod(p.root, 0o777)
        for mode in (0o600, 0o444):
            name = "file%o" % mode
            old, new = p.crash(name, uid)
            os.chmod(p.path(name), mode)
            out = p.call("open %s r check 5000 100000 2 check 150000 60000 3 check 7 100 4 close" % name, uid=uid)
            must(out == ["open 0"] + ["check 0"] * 3 + ["close 0"], out)
            must(p.read(name) == new, "mode %o: not recovered" % mode)
        p.no_logs()


# ---- logs ----

def log_intact():
    """The control for all that follow: the crash leaves a log, and the log brings the file to its newest state."""
    need_library()
    with Place() as p:
        old, new = p.crash()
        must(old != new and len(p.live_logs()) == 1, "the crash left no log: the tests of bad logs would prove nothing")
        p.call("open file r close")
        must(p.read("file") == new, "not recovered")
        p.no_logs()


def poke(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def peek(path, offset, length):
    with open(path, "rb") as f:
        f.seek(offset)
        return f.read(length)


def after_bad_log(p, name, what, allowed, uid=None):
    """Reads, then writes the file; no crash, and what is read is one of `allowed`. A refusal must tell its errno."""
    canary = p.read("canary")
    before = p.read(name)
    out = p.call("open %s r whole close" % name, uid=uid)
    content = p.read(name)
    if out[0] == "open 0":
        must(content in allowed, "%s: the file became something else" % what)
    else:
        must(out[0].startswith("open failed E"), "%s: %r" % (what, out))
        must(content == before, "%s: open failed but the file was changed" % what)
    out2 = p.call("open %s rw pwrite 20000 10000 77 fsync pwrite 25000 10000 78 whole close" % name, uid=uid)
    if out2[0] == "open 0" and out2[1].startswith("pwrite 1") and "fsync 0" in out2 and out2[-1] == "close 0":
        must(p.read(name)[25000:35000] == pattern(78, 25000, 10000), "%s: an acknowledged write is lost" % what)
        allowed = [a[:20000] + pattern(77, 20000, 5000) + pattern(78, 25000, 10000) + a[35000:] for a in allowed]
        must(p.read(name) in allowed, "%s: after a write the rest of the file became something else" % what)
    must(p.read("canary") == canary, "%s: another file was changed" % what)
    p.call("open canary rw pwrite 10 100 5 fsync check 10 100 5 close", uid=uid)
    return out


def bad_log_cases():
    yield "version 9", lambda log: poke(log, VERSION, struct.pack("<I", 9))
    yield "version 0", lambda log: poke(log, VERSION, struct.pack("<I", 0))
    yield "other magic", lambda log: poke(log, MAGIC, b"\nNVMLOG9")
    yield "other owner in the header", lambda log: poke(log, OWNER, struct.pack("<I", 4711))
    yield "other inode", lambda log: poke(log, INO, struct.pack("<Q", 4711))
    yield "other generation", lambda log: poke(log, INO + 8, struct.pack("<Q", 4711))
    yield "other file system", lambda log: poke(log, 64, b"\xff" * 16)
    yield "other birth", lambda log: poke(log, INO + 16, struct.pack("<q", 4711))
    yield "cut to nothing", lambda log: os.truncate(log, 0)
    yield "cut in the first line", lambda log: os.truncate(log, 20)
    yield "cut in the header", lambda log: os.truncate(log, 1000)
    yield "cut behind the header", lambda log: os.truncate(log, HEADER)
    yield "cut in the entries", lambda log: os.truncate(log, HEADER + 100)
    yield "cut behind the entries", lambda log: os.truncate(log, ENTRIES)
    yield "random header", lambda log: poke(log, 0, random.Random(5).randbytes(HEADER))
    yield "random bytes", lambda log: poke(log, 0, random.Random(6).randbytes(os.path.getsize(log)))
    yield "zeros", lambda log: poke(log, 0, bytes(os.path.getsize(log)))
    yield "ones", lambda log: poke(log, 0, b"\xff" * os.path.getsize(log))
    yield "random, with our magic", lambda log: poke(log, 12, random.Random(7).randbytes(os.path.getsize(log) - 12))
    yield "epoch at the end of numbers", lambda log: poke(log, EPOCH, b"\xff" * 8)
    yield "sizes beyond all limits", lambda log: poke(log, 128, b"\xff" * 16)
    yield "size negative", lambda log: poke(log, 128, struct.pack("<qq", -1, -4096))
    yield "first entry far away", lambda log: spoil_entries(log, lambda e: struct.pack("<Q", 1 << 60) + e[8:])
    yield "epochs of the far future", lambda log: spoil_entries(
        log, lambda e: e[:32] + b"\xff" * 8 + e[40:56] + b"\xfe" + b"\xff" * 7)


def spoil_entries(log, change):
    """Changes each entry in use."""
    with open(log, "r+b") as f:
        data = bytearray(f.read(ENTRIES))
        for at in range(FIRST_ENTRY, len(data) - ENTRY, ENTRY):
            entry = bytes(data[at:at + ENTRY])
            if entry != bytes(ENTRY):
                data[at:at + ENTRY] = change(entry)
        f.seek(0)
        f.write(data)


def log_damaged():
    """A log that is not as it should be: the file stays as it was, or becomes what the log said, and nothing else."""
    need_library()
    for what, damage in bad_log_cases():
        with Place() as p:
            p.call("open canary rwc pwrite 0 100000 9 fsync close")
            old, new = p.crash()
            logs = p.live_logs()
            must(len(logs) == 1, "%d logs" % len(logs))
            damage(logs[0])
            content = peek(logs[0], 0, 1 << 30)
            # Promotion takes the newest size from the header; a committed size may come from another commit.
            out = after_bad_log(p, "file", what, [old, new])
            if what.startswith("version"):
                must(os.path.exists(logs[0]) and peek(logs[0], 0, 1 << 30) == content,
                     "%s: a log of another version was changed or removed" % what)
                must(p.said(), "%s: not a word in the log of messages" % what)
            if os.environ.get("NVMMIO_TEST_VERBOSE"):
                print("  %-30s %s%s" % (what, out[0], "" if os.path.exists(logs[0]) else ", log removed"))


def log_random_damage():
    """Random bytes change in header and entries: whatever happens, no crash, no hang, no other file."""
    need_library()
    with Place() as p:
        p.call("open canary rwc pwrite 0 100000 9 fsync close")
        for seed in range(25 * SCALE):
            rng = random.Random(seed)
            name = "file%d" % seed
            p.crash(name)
            log = max(p.live_logs(), key=os.path.getmtime)
            for _ in range(rng.choice((1, 3, 20))):
                at = rng.choice((rng.randrange(256), rng.randrange(FIRST_ENTRY, FIRST_ENTRY + 50 * ENTRY)))
                poke(log, at, bytes([rng.randrange(256)]))
            canary = p.read("canary")
            p.call("open %s r whole close" % name)
            p.call("open %s rw pwrite 20000 10000 77 fsync pwrite 25000 10000 78 whole close" % name)
            must(p.read("canary") == canary, "seed %d: another file was changed" % seed)
            for path in p.logs():
                os.unlink(path)
            os.unlink(p.path(name))


def log_of_another_file():
    """The file of a log is gone; others take its name, and perhaps its inode number: none is touched."""
    need_library()
    with Place() as p:
        p.call("open canary rwc pwrite 0 100000 9 fsync close")
        p.crash()
        ino = os.stat(p.path("file")).st_ino
        os.unlink(p.path("file"))
        fresh = b"fresh" * 60000
        for i in range(200):
            name = "file" if i == 0 else "new%d" % i
            with open(p.path(name), "wb") as f:
                f.write(fresh)
            if os.stat(p.path(name)).st_ino == ino:
                break
        for name in os.listdir(p.root):
            if name not in (".nvmmio", "canary"):
                p.call("open %s rw whole close" % name)
                must(p.read(name) == fresh, "%s was changed by the log of another file" % name)


def log_swapped():
    """Two files' logs with exchanged names, and a log under a second name: identity counts, not names."""
    need_library()
    with Place() as p:
        one = p.crash("one")
        first = p.live_logs()[0]
        two = p.crash("two")
        second = next(l for l in p.live_logs() if l != first) if len(p.live_logs()) > 1 else None
        if not second:
            raise Skipped("the second crash recovered the first file")
        os.rename(first, first + ".x")
        os.rename(second, first)
        os.rename(first + ".x", second)
        p.call("open one r close open two r close")
        must(p.read("one") in one and p.read("two") in two, "mixed up")
    with Place() as p:
        old, new = p.crash()
        log = p.live_logs()[0]
        shutil.copy2(log, os.path.join(os.path.dirname(log), "0123456789abcdef.log"))
        p.call("open file r close")
        must(p.read("file") == new, "not recovered beside a copy of the log")
        p.call("open file rw pwrite 0 300000 99 fsync close")
        p.call("open file r close")
        must(p.read("file") == pattern(99, 0, p.FILE), "an old copy of a log was played back")


def log_of_another_kind():
    """Things with a log's name that are no logs."""
    need_library()
    plants = {
        "directory": os.mkdir,
        "fifo": os.mkfifo,
        "link to a log": lambda path: os.symlink("nowhere.log", path),
        "link to a file": lambda path: os.symlink("../../canary", path),
        "hard link to a file": lambda path: os.link(os.path.join(os.path.dirname(path), "../../canary"), path),
        "empty file": lambda path: open(path, "w").close(),
        "huge sparse file": lambda path: (open(path, "w").close(), os.truncate(path, 1 << 42)),
    }
    for what, plant in plants.items():
        for uid in (None, NOBODY) if ROOT_USER else (None,):
            with Place() as p:
                os.chmod(p.root, 0o777)
                p.call("open canary rwc pwrite 0 100000 9 fsync close", uid=uid)
                old, new = p.crash(uid=uid)
                log = p.live_logs()[0]
                planted = os.path.join(os.path.dirname(log), "fedcba9876543210.log")
                plant(planted)
                if uid:
                    os.chown(planted, uid, uid, follow_symlinks=False)
                out = after_bad_log(p, "file", what, [new], uid)
                must(out[0] == "open 0", "%s: %r" % (what, out))


def log_of_another_owner():
    """A log that belongs to someone else, or is open to others, or hangs under a second name, proves nothing."""
    need_library()
    cases = {
        "mode 666": lambda log: os.chmod(log, 0o666),
        "mode 640": lambda log: os.chmod(log, 0o640),
        "second link": lambda log: os.link(log, log + ".second"),
    }
    if ROOT_USER:
        cases["owned by someone else"] = lambda log: os.chown(log, STRANGER, STRANGER)
    for what, change in cases.items():
        with Place() as p:
            p.call("open canary rwc pwrite 0 100000 9 fsync close")
            old, new = p.crash()
            change(p.live_logs()[0])
            after_bad_log(p, "file", what, [old])


def log_forged():
    """Another user puts a log for a victim's file into his own directory: the victim's file is not touched."""
    need_library()
    need_root()
    with Place() as p:
        os.chmod(p.root, 0o777)
        p.call("open canary rwc pwrite 0 100000 9 fsync close", uid=NOBODY)
        old, new = p.crash(uid=NOBODY)
        log = p.live_logs()[0]
        p.call("open other rwc pwrite 0 100000 9 fsync pwrite 0 100 1 close", uid=STRANGER)
        theirs = p.path(".nvmmio/%d" % STRANGER)
        must(os.path.isdir(theirs), "no directory of the second user")
        forged = os.path.join(theirs, os.path.basename(log))
        shutil.move(log, forged)
        os.chown(forged, STRANGER, STRANGER)
        poke(forged, OWNER, struct.pack("<I", STRANGER))
        for uid in (STRANGER, NOBODY, None):
            p.call("open file r whole close", uid=uid)
            p.call("open other r close", uid=uid)
            must(p.read("file") == old, "uid %s: the victim's file was changed" % uid)


# ---- other users and the index object ----

def other_user():
    """Another user on a file in use: right data or EBUSY, never a second writer beside the library's back."""
    need_library()
    need_root()
    with Place() as p:
        os.chmod(p.root, 0o777)
        child = p.start("umask 0 open file rwc pwrite 0 100000 1 fsync pwrite 0 50000 2 fsync wait check 50000 50000 1 "
                        "close", uid=NOBODY)
        for _ in range(5):
            child.stdout.readline()
        os.chmod(p.path("file"), 0o666)
        out = p.call("open file r check 0 50000 2 close", uid=STRANGER)
        must(out[0] == "open failed EBUSY" or out == ["open 0", "check 0", "close 0"] or
             out[:2] == ["open 0", "check failed EBUSY"], out)
        out = p.call("open file r check 0 50000 2 close")  # root
        must(out[0] == "open failed EBUSY" or out == ["open 0", "check 0", "close 0"] or
             out[:2] == ["open 0", "check failed EBUSY"], out)
        must(p.end(child)[-1] == "close 0", "the first user")
        out = p.call("open file rw check 0 50000 2 pwrite 0 100 3 fsync close", uid=STRANGER)
        must(out[-1] == "close 0", out)
        must(p.read("file") == pattern(3, 0, 100) + pattern(2, 100, 49900) + pattern(1, 50000, 50000), "wrong bytes")


def index_objects():
    return set(glob.glob("/dev/shm/nvmmio-%d-*" % os.geteuid()))


def index_planted():
    """The index object that the log names is not the one that lies there: the second process uses nothing of it."""
    need_library()
    plants = {
        "copy": lambda path, data: open(path, "wb").write(data),
        "random": lambda path, data: open(path, "wb").write(random.Random(1).randbytes(len(data))),
        "empty": lambda path, data: open(path, "wb").close(),
        "nothing": lambda path, data: None,
        "link": lambda path, data: os.symlink("/etc/passwd", path),
        "fifo": lambda path, data: os.mkfifo(path),
    }
    if ROOT_USER:
        plants["another user's"] = lambda path, data: (open(path, "wb").write(data), os.chown(path, NOBODY, NOBODY))
    for what, plant in plants.items():
        with Place() as p:
            child = p.start("open file rwc pwrite 0 200000 1 fsync pwrite 0 100000 2 fsync pwrite 70 5000 3 wait "
                            "pwrite 150000 20000 4 fsync check 150000 20000 4 check 70 5000 3 close")
            for _ in range(6):
                child.stdout.readline()
            logs = p.live_logs()
            must(len(logs) == 1, "%d logs while the file is in use" % len(logs))
            nonce = struct.unpack("<Q", peek(logs[0], NONCE, 8))[0]
            path = "/dev/shm/nvmmio-%d-%016x" % (os.geteuid(), nonce)
            must(os.path.exists(path), "no index object " + path)
            must(stat.S_IMODE(os.stat(path).st_mode) == 0o600, "mode of the index object")
            with open(path, "rb") as f:
                data = f.read(1 << 20)
            os.unlink(path)
            plant(path, data)
            before = None if what in ("nothing", "link", "fifo") else peek(path, 0, 1 << 20)
            out = p.call("open file rw check 70 5000 3 pwrite 190000 10 9 close")
            fine = out == ["open 0", "check 0", "pwrite 10", "close 0"]
            refused = any(w in line for line in out for w in ("EBUSY", "EIO"))
            must(fine or refused, "%s: %r" % (what, out))
            if before is not None and os.path.exists(path):
                must(peek(path, 0, 1 << 20) == before, "%s: a planted object was written to" % what)
            must(p.end(child)[-1] == "close 0", "the first process")
            if os.path.lexists(path):
                os.unlink(path)
            # One who was refused wrote nothing; one who was let in wrote through the same state.
            content = pattern(2, 0, 70) + pattern(3, 70, 5000) + pattern(2, 5070, 94930) + pattern(1, 100000, 50000) + \
                pattern(4, 150000, 20000) + pattern(1, 170000, 30000)
            wrote = content[:190000] + pattern(9, 190000, 10) + content[190010:]
            must(p.read("file") in (content, wrote), "%s: the file is wrong" % what)
            must("pwrite 10" not in out or p.read("file") == wrote, "%s: an acknowledged write is lost" % what)


def shm_unusable():
    """/dev/shm cannot be written, is full, or is missing: the kernel serves."""
    need_root()
    for how in ("mount -t tmpfs -o ro,size=1M tmpfs /dev/shm", "mount -t tmpfs -o size=4k tmpfs /dev/shm",
                "mount -t tmpfs -o size=100k tmpfs /dev/shm"):
        with Place(tempfile.gettempdir()) as p:
            tmpfs = p.path("pm")
            os.mkdir(tmpfs)
            script = "%s && mount -t tmpfs -o size=64M tmpfs %s && cd %s && exec \"$@\"" % (how, tmpfs, tmpfs)
            prefix = ["unshare", "-m", "sh", "-c", script, "sh"]
            if subprocess.run(prefix + ["true"], stderr=subprocess.DEVNULL).returncode:
                raise Skipped("cannot mount")
            out = p.call("open file rwc %s fill 0 4096 2000 8 fsync fill 0 4096 2000 9 check 0 8192000 9 close" % WORK,
                         prefix=prefix, root=tmpfs)
            must("check 0" in out and out[-1] == "close 0", "%s: %r" % (how, out))


def bad_configuration():
    """A configuration that is not understood is ignored as a whole; the files are right in any case."""
    with Place() as p:
        for conf in (",nonsense:1", ",pool:-1", ",log_max:0", ",log_max:1", ",pm:maybe", ",idle:999999999999999999999s", ",,:,",
                     ",pool:0", ",log_max:4K", ",commit_interval:0", ",idle:0", ",log_max:3M", "," + "x" * 9000):
            name = "file%d" % len(os.listdir(p.root))
            out = p.call("open %s rwc %s fill 0 4096 500 7 fsync fill 0 4096 500 8 check 0 2048000 8 close" % (name, WORK),
                         conf=conf)
            must(out.count("check 0") == 2 and out[-1] == "close 0", "%s: %r" % (conf, out))
            must(p.read(name) == big_pattern(8, 2048000), "%s: wrong bytes" % conf)
        p.no_logs()


TESTS = [root_missing, root_unwritable, root_occupied, root_foreign_directory, table_is_garbage, full_append,
         full_overwrite, full_to_the_last_byte, full_atomic, file_size_limit, file_size_limit_is_deadly, other_types,
         read_only_file, recovery_by_reader, log_intact, log_damaged, log_random_damage, log_of_another_file,
         log_swapped, log_of_another_kind, log_of_another_owner, log_forged, other_user, index_planted, shm_unusable,
         bad_configuration]


def main():
    wanted = [a for a in sys.argv[2:] if not a.startswith("-")]
    failures = 0
    for test in TESTS:
        if wanted and test.__name__ not in wanted:
            continue
        try:
            test()
            print("ok   %s" % test.__name__)
        except Skipped as e:
            print("skip %s: %s" % (test.__name__, e))
        except Failed as e:
            failures += 1
            print("FAIL %s: %s" % (test.__name__, e))
        except Exception:
            failures += 1
            print("FAIL %s:\n%s" % (test.__name__, traceback.format_exc()))
        sys.stdout.flush()
    print("faults: %s" % ("FAILED %d" % failures if failures else "ok"))
    sys.exit(1 if failures else 0)


main()
