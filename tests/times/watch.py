# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""Promise: who watches a managed file without the library learns of each change within a second: tail -f, by inotify and by
polling, watchers of inotify and fanotify; and when the close is told the file is whole.

    watch.py [TEST...]

NVMMIO_PRELOAD names the library of the writer; without it the writer is a plain program, which tests the test. A slow
machine has NVMMIO_TEST_SLACK (seconds) more.
"""

import ctypes
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import shm  # noqa: E402

shm.private()

PRELOAD = os.environ.get("NVMMIO_PRELOAD", "")
SECOND = 1.0 + float(os.environ.get("NVMMIO_TEST_SLACK", "0.3"))
LIBC = ctypes.CDLL(None, use_errno=True)

IN_MODIFY, IN_CLOSE_WRITE, IN_CLOSE_NOWRITE, IN_OPEN = 2, 8, 16, 32
FAN_CLASS_NOTIF, FAN_NONBLOCK, FAN_MARK_ADD = 0, 2, 1
FAN_MODIFY, FAN_CLOSE_WRITE = 2, 8
FAN_EVENT = "IBBHQii"

# What the writer does, told line by line; it answers each.
WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | (os.O_APPEND if sys.argv[2] == "append" else 0), 0o644)
for line in sys.stdin:
    what, _, text = line.rstrip("\\n").partition(" ")
    if what == "write":
        os.write(fd, text.encode() + b"\\n")
    elif what == "at":
        at, _, text = text.partition(" ")
        os.pwrite(fd, text.encode(), int(at))
    elif what == "sync":
        os.fsync(fd)
    elif what == "close":
        os.close(fd)
    print("done", flush=True)
"""


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def must(condition, what):
    if not condition:
        raise Failed(what)


class Place:
    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="nvmmio-watch-", dir=os.environ.get("NVMMIO_TEST_DIR", "/dev/shm"))
        self.path = os.path.join(self.root, "file")
        self.processes = []
        with open(self.path, "wb") as f:
            f.write(b"an existing line\n" * 1000)
        return self

    def __exit__(self, *_):
        for p in self.processes:
            p.kill()
            p.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def environment(self, library):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NVMMIO_", "LD_PRELOAD"))}
        if library and PRELOAD:
            env.update(LD_PRELOAD=PRELOAD, NVMMIO_ROOT=self.root, NVMMIO_CONF="pm:force")
        return env

    def start(self, args, library, **options):
        p = subprocess.Popen(args, env=self.environment(library), stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.processes.append(p)
        return p

    def writer(self, how="append"):
        p = self.start([sys.executable, "-c", WRITER, self.path, how], True)

        def tell(line):
            p.stdin.write(line.encode() + b"\n")
            p.stdin.flush()
            must(p.stdout.readline() == b"done\n", "the writer ended")
        return tell

    def plain(self):
        with open(self.path, "rb") as f:
            return f.read()


def wait_for(condition, what, seconds=None):
    end = time.monotonic() + (seconds or SECOND)
    while not condition():
        must(time.monotonic() < end, what)
        time.sleep(0.01)


# ---- tail ----

def is_following(process, path):
    """It has the file open and sleeps; on a busy machine a program may take its time to begin."""
    folder = "/proc/%d/" % process.pid
    try:
        opened = [os.readlink(folder + "fd/" + fd) for fd in os.listdir(folder + "fd")]
        with open(folder + "stat") as f:
            return os.path.realpath(path) in opened and f.read().rsplit(")", 1)[1].split()[0] == "S"
    except OSError:
        return False


def await_following(process, path):
    end = time.monotonic() + 20
    while not is_following(process, path):
        must(time.monotonic() < end, "it does not begin")
        time.sleep(0.02)
    time.sleep(0.3)


def follow(options, library, sync):
    with Place() as p:
        tell = p.writer()
        tell("write before")
        tell("sync")
        time.sleep(1.3)
        tail = p.start(["tail", "-n", "0", *options, p.path], library)
        await_following(tail, p.path)
        seen = b""
        for i in range(4):
            time.sleep(0.13 * i)
            tell("write line %d of a file that is followed" % i)
            if sync:
                tell("sync")
            wanted = seen + b"line %d of a file that is followed\n" % i
            end = time.monotonic() + SECOND
            while len(seen) < len(wanted) and time.monotonic() < end:
                if select.select([tail.stdout], [], [], end - time.monotonic() if end > time.monotonic() else 0)[0]:
                    seen += os.read(tail.stdout.fileno(), 65536)
            must(seen == wanted, "line %d: tail %s has %r" % (i, options, seen))
        tell("close")


def tail_inotify():
    follow(["-f"], False, False)
    follow(["-f"], False, True)


def tail_polling():
    follow(["-f", "---disable-inotify", "-s", "0.1"], False, False)
    follow(["-f", "---disable-inotify", "-s", "0.1"], False, True)


def tail_with_library():
    follow(["-f"], True, False)
    follow(["-F"], True, False)


def tail_never_idle():
    """A writer that never rests, and syncs each line: nothing is ever written back for being idle."""
    with Place() as p:
        tell = p.writer()
        tail = p.start(["tail", "-n", "0", "-f", p.path], False)
        await_following(tail, p.path)
        for i in range(60):
            tell("write %d" % i)
            tell("sync")
            time.sleep(0.04)
        end = time.monotonic() + SECOND
        seen = b""
        while seen.count(b"\n") < 60 and time.monotonic() < end:
            if select.select([tail.stdout], [], [], 0.05)[0]:
                seen += os.read(tail.stdout.fileno(), 65536)
            if time.monotonic() - end + SECOND < 0.1:
                must(seen.count(b"\n") >= 25, "after 2.4 s tail has %d of 60 lines" % seen.count(b"\n"))
        must(seen == b"".join(b"%d\n" % i for i in range(60)), "tail has %r" % seen[-60:])


# ---- inotify ----

class Watch:
    def __init__(self, path, mask):
        self.fd = LIBC.inotify_init1(0o4000)
        must(self.fd >= 0 and LIBC.inotify_add_watch(self.fd, path.encode(), mask) >= 0, "inotify")

    def events(self):
        found = []
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return found
            while data:
                mask, length = struct.unpack_from("iIII", data)[1], struct.unpack_from("iIII", data)[3]
                found.append(mask)
                data = data[16 + length:]


def inotify_modify():
    for how in ("append", "overwrite"):
        with Place() as p:
            tell = p.writer(how)
            tell("at 100 first")
            tell("sync")
            time.sleep(1.5)
            watch = Watch(p.path, IN_MODIFY)
            for i in range(3):
                tell("at %d change %d" % (5000 + i, i))
                wait_for(lambda: IN_MODIFY in watch.events(), "%s %d: no IN_MODIFY within a second" % (how, i))
                time.sleep(1.2)
                watch.events()
            time.sleep(1.5)
            must(not watch.events(), "%s: events without a change" % how)
            tell("close")


def inotify_close():
    """IN_CLOSE_WRITE comes with the close, not before, and the file is whole then."""
    for how in ("append", "overwrite"):
        with Place() as p:
            tell = p.writer(how)
            tell("at 100 first")
            tell("sync")
            watch = Watch(p.path, IN_CLOSE_WRITE)
            tell("at 3000 second" if how == "overwrite" else "write second")
            time.sleep(0.5)
            must(not watch.events(), "%s: closed before the close" % how)
            tell("at 50 third" if how == "overwrite" else "write third")
            tell("close")
            must(IN_CLOSE_WRITE in watch.events(), "%s: no IN_CLOSE_WRITE at the close" % how)
            data = p.plain()
            must(data[50:55] == b"third" and data[3000:3006] == b"second" if how == "overwrite" else
                 data.endswith(b"second\nthird\n"), "%s: not whole at IN_CLOSE_WRITE" % how)


# ---- fanotify ----

def fanotify():
    if os.geteuid():
        raise Skipped("needs root")
    with Place() as p:
        fd = LIBC.fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK, os.O_RDONLY)
        if fd < 0:
            raise Skipped("no fanotify")
        must(LIBC.fanotify_mark(fd, FAN_MARK_ADD, ctypes.c_uint64(FAN_MODIFY | FAN_CLOSE_WRITE), -1, p.path.encode()) == 0,
             "fanotify_mark")

        def events():
            found = 0
            try:
                data = os.read(fd, 65536)
            except BlockingIOError:
                return 0
            while data:
                length, _, _, _, mask, event_fd, _ = struct.unpack_from(FAN_EVENT, data)
                os.close(event_fd)
                found |= mask
                data = data[length:]
            return found

        tell = p.writer("overwrite")
        tell("at 100 first")
        tell("sync")
        time.sleep(1.5)
        events()
        tell("at 5000 second")
        wait_for(lambda: events() & FAN_MODIFY, "no FAN_MODIFY within a second")
        tell("at 6000 third")
        tell("close")
        must(events() & FAN_CLOSE_WRITE, "no FAN_CLOSE_WRITE at the close")
        must(p.plain()[6000:6005] == b"third", "not whole at FAN_CLOSE_WRITE")


TESTS = (tail_inotify, tail_polling, tail_with_library, tail_never_idle, inotify_modify, inotify_close, fanotify)


def main():
    failures = 0
    for test in TESTS:
        if sys.argv[1:] and test.__name__ not in sys.argv[1:]:
            continue
        try:
            test()
            print("ok", test.__name__)
        except Skipped as s:
            print("skipped", test.__name__, s)
        except Failed as f:
            failures += 1
            print("FAILED", test.__name__, f)
    sys.exit(1 if failures else 0)


main()
