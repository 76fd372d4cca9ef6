# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""apptest - runs a real program's workload twice, on the kernel and under libnvmmio_preload.so, and compares.

A driver is a small script: it makes an `App`, calls `both()` for each command, and `finish()`. The kernel's side works in
BASE/kernel, the other in BASE/managed, which is NVMMIO_ROOT; the working directory is there, so relative paths make the
commands equal. After the commands the files are read by this process, which has no library loaded, and compared byte
for byte. Without NVMMIO_PRELOAD (path of the library) both sides run on the kernel: a check of the driver itself.

Environment: NVMMIO_PRELOAD, NVMMIO_TEST_DIR (a directory on PM or tmpfs; default /dev/shm), NVMMIO_TEST_SCALE (length),
NVMMIO_TEST_KEEP (1: leave the directories), NVMMIO_TEST_PLANT (1: damage a file of the managed side before comparing;
the driver must then fail).
"""

import difflib
import glob
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import shm  # noqa: E402

shm.private()

SIDES = ("kernel", "managed")
COUNTER = re.compile(r"([a-z]+\.[a-z_]+)[ =:]+(\d+)\s*$")
SCALE = max(1, int(os.environ.get("NVMMIO_TEST_SCALE", "1")))


class Failed(Exception):
    pass


class App:
    all = []

    def __init__(self, name, timeout=120, active=True, served=False, mapped=False, user=None, conf=""):
        self.name = name
        self.user = user  # who runs the commands, where this process is root; programs that refuse to be root
        self.timeout = timeout
        self.conf = conf  # more of NVMMIO_CONF: ",key:value"
        self.active = active  # the workload must reach the library
        self.served = served  # and must be served in user space, in part at least
        self.mapped = mapped  # files are mapped by it, and must not be the kernel's for that
        self.library = os.environ.get("NVMMIO_PRELOAD", "")
        if self.library and not os.path.exists(self.library):
            raise Failed("no such library: " + self.library)
        self.base = tempfile.mkdtemp(prefix="nvmmio-app-", dir=os.environ.get("NVMMIO_TEST_DIR", "/dev/shm"))
        self.messages = os.path.join(self.base, "messages")
        os.mkdir(self.messages)
        self.dir = {}
        for side in SIDES:
            self.dir[side] = os.path.join(self.base, side)
            os.mkdir(self.dir[side])
        self.commands = 0
        self.killed_attached = 0  # killed processes that had files attached: they cannot write their counters
        self.processes = []
        App.all.append(self)
        if self.user is not None and os.geteuid() == 0:
            self.belong_to_user()

    def belong_to_user(self):
        """The directories, and a library that the user can read wherever the build is."""
        os.chmod(self.base, 0o755)
        for path in (self.messages, *self.dir.values()):
            os.chown(path, self.user, self.user)
        if self.library:
            folder = os.path.join(self.base, "lib")
            os.mkdir(folder)
            for path in glob.glob(os.path.join(os.path.dirname(self.library), "libnvmmio*.so*")):
                shutil.copy(path, folder, follow_symlinks=False)
            self.library = os.path.join(folder, os.path.basename(self.library))

    def as_user(self, args):
        if self.user is None or os.geteuid():
            return args
        return ["setpriv", "--reuid=%d" % self.user, "--regid=%d" % self.user, "--clear-groups", "--"] + args

    # ---- running ----

    def environment(self, side, extra=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NVMMIO_", "LD_PRELOAD"))}
        env.update(LC_ALL="C", TZ="UTC", HOME=self.dir[side], **(extra or {}))
        if side == "managed" and self.library:
            env["LD_PRELOAD"] = self.library
            env["NVMMIO_ROOT"] = self.dir[side]
            served = ",pm:force" if self.served or self.mapped else ""  # attached when PM needs it, whether it pays or not
            env["NVMMIO_CONF"] = "stats:1,log:%s/%%p.log%s%s" % (self.messages, self.conf, served)
        return env

    def start(self, side, args, env=None, **options):
        """A process of one side that runs beside others; the caller waits for it."""
        self.commands += 1
        p = subprocess.Popen(self.as_user(args), cwd=self.dir[side], env=self.environment(side, env),
                             start_new_session=True, **options)
        self.processes.append(p)
        return p

    def kill(self, process):
        """As a crash: a process that start() made, and its children, which are a session of their own."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.killed_attached += any(is_issued(log) for log in self.logs_left())

    def run(self, side, args, env=None, stdin=None):
        self.commands += 1
        try:
            return subprocess.run(self.as_user(args), cwd=self.dir[side], env=self.environment(side, env), input=stdin,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=self.timeout)
        except subprocess.TimeoutExpired:
            raise Failed("%s side: %r hangs (%d s)" % (side, args, self.timeout))

    def both(self, args, env=None, stdin=None, status=0, output=True, files=False):
        """Runs a command on both sides. Exit status, and with `output` stdout and stderr, must be equal; `status` is
        what both must give (None: anything equal). With `files` the trees are compared at once."""
        if isinstance(args, str):
            args = ["bash", "-c", args]
        results = []
        for side in SIDES:
            r = self.run(side, args, env, stdin)
            # A directory's own name may be told in an error message.
            r.stdout = r.stdout.replace(self.dir[side].encode(), b"DIR")
            r.stderr = r.stderr.replace(self.dir[side].encode(), b"DIR")
            results.append(r)
        k, n = results
        if k.returncode != n.returncode or (status is not None and k.returncode != status):
            raise Failed("%r: status %d, on the kernel %d\n%s\n%s" % (args, n.returncode, k.returncode,
                                                                      tail(n.stdout), tail(n.stderr)))
        if output:
            for what in ("stdout", "stderr"):
                if getattr(k, what) != getattr(n, what):
                    raise Failed("%r: other %s than on the kernel:\n%s" %
                                 (args, what, difference(getattr(k, what), getattr(n, what))))
        if files:
            self.compare()
        return n

    def write(self, name, data):
        """Puts the same file into both directories."""
        for side in SIDES:
            with open(os.path.join(self.dir[side], name), "wb") as f:
                f.write(data)

    # ---- judging ----

    def tree(self, side, ignore):
        found = {}
        top = self.dir[side]
        for path, dirs, files in os.walk(top):
            dirs[:] = sorted(d for d in dirs if os.path.join(path, d) != os.path.join(top, ".nvmmio"))
            for name in dirs + sorted(files):
                full = os.path.join(path, name)
                short = os.path.relpath(full, top)
                if not any(re.search(i, short) for i in ignore):
                    found[short] = os.lstat(full)
        return found

    def compare(self, ignore=(), normal=None):
        """The two trees: names, types, modes, sizes and bytes, read without the library. `normal` takes a file's bytes
        and blanks what may differ between two runs on the kernel."""
        k, n = self.tree("kernel", ignore), self.tree("managed", ignore)
        if sorted(k) != sorted(n):
            raise Failed("other files than on the kernel: %s" % sorted(set(k) ^ set(n))[:20])
        for name, st in k.items():
            other = n[name]
            if (st.st_mode, st.st_nlink) != (other.st_mode, other.st_nlink):
                raise Failed("%s: mode %o, %d links; on the kernel %o, %d" % (name, other.st_mode, other.st_nlink,
                                                                             st.st_mode, st.st_nlink))
            if stat.S_ISREG(st.st_mode):
                self.compare_file(name, normal)
            elif stat.S_ISLNK(st.st_mode):
                targets = [os.readlink(os.path.join(self.dir[s], name)) for s in SIDES]
                if targets[0] != targets[1]:
                    raise Failed("%s: other link target" % name)

    def compare_file(self, name, normal):
        k, n = (os.path.join(self.dir[s], name) for s in SIDES)
        if os.path.getsize(k) != os.path.getsize(n):
            raise Failed("%s: size %d, on the kernel %d" % (name, os.path.getsize(n), os.path.getsize(k)))
        with open(k, "rb") as a, open(n, "rb") as b:
            at = 0
            while True:
                x, y = (f.read(-1 if normal else 1 << 20) for f in (a, b))
                if normal and x != y:
                    x, y = normal(x), normal(y)
                if x != y:
                    i = next(i for i in range(min(len(x), len(y))) if x[i] != y[i])
                    raise Failed("%s: differs from the kernel's at byte %d" % (name, at + i))
                if not x:
                    return
                at += len(x)

    def logs_left(self):
        return [p for p in glob.glob(os.path.join(self.dir["managed"], ".nvmmio", "*", "*"))
                if os.path.basename(p) != "table"]

    def check_logs(self, shared=True):
        """Nothing of the library is left over but its table; without `shared` others may still be at work."""
        if not self.library:
            return
        if self.logs_left():
            raise Failed("left over: %s" % self.logs_left())
        if shared:
            check_shared()

    def counters(self):
        """Sum of the counters of all processes; None where no process wrote any."""
        total = {}
        for path in glob.glob(os.path.join(self.messages, "*.log")):
            with open(path, errors="replace") as f:
                for line in f:
                    match = COUNTER.search(line)
                    if match:
                        total[match.group(1)] = total.get(match.group(1), 0) + int(match.group(2))
        return total or None

    def check_active(self):
        """Interposition fails silently: the counters must show that the library served the workload."""
        if not self.library or not self.active:
            return
        if not os.path.isdir(os.path.join(self.dir["managed"], ".nvmmio")):
            raise Failed("the library made no .nvmmio: it was not active")
        counters = self.counters()
        if counters is None:
            raise Failed("no process wrote its counters")
        served = sum(counters.get(c, 0) for c in ("uma.writes", "uma.reads"))
        kernel = sum(counters.get(c, 0) for c in ("kernel.writes", "kernel.reads"))
        if not served + kernel and not (self.mapped and counters.get("uma.in_place", 0)):
            raise Failed("the counters say that the library saw no call")
        if self.served and not served and not self.killed_attached:
            raise Failed("nothing was served in user space: neither do counters say so nor left a killed process a log")
        if self.mapped and (not counters.get("uma.in_place", 0) or counters.get("demote.mmap", 0)):
            raise Failed("no file was mapped, or one was the kernel's for that: in place %d, demoted %d" %
                         (counters.get("uma.in_place", 0), counters.get("demote.mmap", 0)))
        print("%s: served %d, to the kernel %d, attaches %d, commits %d; killed while serving %d; mapped %d; demoted: %s" %
              (self.name, served, kernel, counters.get("uma.attaches", 0), counters.get("uma.commits", 0),
               self.killed_attached, counters.get("uma.in_place", 0), {k: v for k, v in counters.items() if k.startswith("demote.") and v} or "none"))

    def plant(self, ignore):
        for path, dirs, files in os.walk(self.dir["managed"]):
            dirs[:] = [d for d in dirs if d != ".nvmmio"]
            for name in sorted(files):
                full = os.path.join(path, name)
                short = os.path.relpath(full, self.dir["managed"])
                if not os.path.isfile(full) or os.path.islink(full) or not os.path.getsize(full) or \
                        any(re.search(i, short) for i in ignore):
                    continue
                with open(full, "r+b") as f:
                    f.seek(os.path.getsize(full) // 2)
                    byte = f.read(1)
                    f.seek(-1, os.SEEK_CUR)
                    f.write(bytes([byte[0] ^ 1]))
                return

    def finish(self, ignore=(), normal=None):
        if os.environ.get("NVMMIO_TEST_PLANT") == "1":
            self.plant(ignore)
        self.compare(ignore, normal)
        self.check_logs()
        self.check_active()
        self.remove()

    def remove(self):
        for process in self.processes:
            self.kill(process)
        self.processes = []
        if os.environ.get("NVMMIO_TEST_KEEP") != "1":
            shutil.rmtree(self.base, ignore_errors=True)


def is_issued(log):
    """Whether a log is a file's, not one that is kept ready: its magic is there (src/log/log_format.h)."""
    try:
        with open(log, "rb") as f:
            return any(f.read(8))
    except OSError:
        return False


def check_shared():
    if shm.left_over():
        raise Failed("left over: %s" % shm.left_over())


def wait_until(what, condition, seconds=20):
    """Polls; a condition that raises OSError is not met yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise Failed("%s: not within %d s" % (what, seconds))
        time.sleep(0.01)


def difference(kernel, managed, lines=40):
    texts = [data.decode(errors="replace").split("\n") for data in (kernel, managed)]
    return "\n".join(list(difflib.unified_diff(*texts, *SIDES, n=1, lineterm=""))[:lines])


def tail(data, length=2000):
    return data[-length:].decode(errors="replace")


def main(*tests):
    """Runs the tests, each a function; tells which fail. The exit status of the driver."""
    wanted = sys.argv[1:]
    unknown = set(wanted) - {test.__name__ for test in tests}
    if unknown:
        sys.exit("no such test: %s" % ", ".join(sorted(unknown)))
    failures = 0
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        try:
            test()
            print("ok   %s" % test.__name__, flush=True)
        except Failed as e:
            failures += 1
            print("FAIL %s: %s" % (test.__name__, e), flush=True)
        finally:
            for app in App.all:
                app.remove()
    print("%s: %s" % (os.path.basename(sys.argv[0]), "FAILED %d" % failures if failures else "ok"))
    sys.exit(1 if failures else 0)
