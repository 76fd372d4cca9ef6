# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""The size that stat by path tells of a file that another process works on, or died with: never the kernel's, which may
be older than what was synced. SQLite takes a journal of size 0 for none, and then does not roll back.

    NVMMIO_PRELOAD=LIB kill_stat.py
"""

import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import shm  # noqa: E402

LOOKER = r'''
import os, sys
with open("other", "wb") as f: f.write(b"x")      # the library is there, and the volume open
held = os.open("other", os.O_RDWR)
for name in sys.stdin:
    print(os.stat(name.strip()).st_size, flush=True)
'''
WRITER = r'''
import os, sys
fd = os.open("file", os.O_RDWR | os.O_CREAT, 0o600)
def put(size, at): assert os.pwrite(fd, b"y" * size, at) == size
for line in sys.stdin:
    exec(line)
    print(flush=True)
'''
# What the writer does, the size while it lives, and after its death: with O_ATOMIC what was synced last.
STEPS = (
    ("put(5000, 0); os.fsync(fd)", 5000, 5000),
    ("put(9000, 5000)", 14000, 5000),
    ("put(1, 0); os.fsync(fd); put(100000, 14000)", 114000, 14000),
    ("os.fsync(fd); os.ftruncate(fd, 70)", 70, 114000),
    ("os.fsync(fd)", 70, 70),
)


class Process:
    def __init__(self, code, directory, conf):
        env = {k: v for k, v in os.environ.items() if not k.startswith("NVMMIO_")}
        env.update(LD_PRELOAD=os.environ["NVMMIO_PRELOAD"], NVMMIO_ROOT=directory, NVMMIO_CONF=conf)
        python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
        self.process = subprocess.Popen([python, "-I", "-S", "-c", code], cwd=directory, env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.kill()
        self.process.communicate()


def run(directory, conf, steps, faults):
    looker, writer = Process(LOOKER, directory, conf), Process(WRITER, directory, conf)
    looker.ask("other")
    for code, alive, dead in steps:
        writer.ask(code)
        seen = looker.ask("file")
        if seen != str(alive):
            faults.append("%s: %s: size %s while the writer lives, must be %d" % (conf, code, seen, alive))
    writer.end()
    wanted = dead if "atomic:1" in conf else alive
    seen = looker.ask("file")
    if seen != str(wanted):
        faults.append("%s: %s: size %s after its death, must be %d" % (conf, code, seen, wanted))
    again = Process(LOOKER, directory, conf)
    found = again.ask("file")
    if found != str(wanted):
        faults.append("%s: %s: size %s after recovery, must be %d" % (conf, code, found, wanted))
    looker.end()
    again.end()


shm.private()
base = tempfile.mkdtemp(prefix="nvmmio-kill-stat-", dir=os.environ.get("NVMMIO_TEST_DIR", "/dev/shm"))
faults = []
for number, conf in enumerate(("stats:0", "atomic:1", "atomic:1,idle:10ms")):
    for count in range(1, len(STEPS) + 1):
        directory = os.path.join(base, "%d.%d" % (number, count))
        os.mkdir(directory)
        run(directory, conf, STEPS[:count], faults)
shutil.rmtree(base)
print("\n".join(faults) or "ok")
sys.exit(bool(faults))
