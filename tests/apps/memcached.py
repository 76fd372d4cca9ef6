# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""memcached, which keeps values in a file beside its memory (extstore): written in large buffers by a thread, read in small
pieces by another, pages used again and again. What it gives is what was put there."""

import os
import random
import shutil
import socket

import apptest
from apptest import App, Failed, SCALE

KEYS, LONGEST = 3000, 12000


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")

    def put(self, values):
        """Values by key; no reply is asked but for the last."""
        lines = [b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, len(value), value) for key, value in values.items()]
        self.socket.sendall(b"".join(lines) + b"version\r\n")
        if not self.stream.readline().startswith(b"VERSION"):
            raise Failed("a set failed")

    def get(self, key):
        self.socket.sendall(b"get %s\r\n" % key)
        line = self.stream.readline().split()
        if line == [b"END"]:
            return None
        value = self.stream.read(int(line[3]) + 2)[:-2]
        self.stream.readline()
        return value

    def statistics(self):
        self.socket.sendall(b"stats\r\n")
        found = {}
        while True:
            words = self.stream.readline().split()
            if words == [b"END"]:
                return found
            found[words[1].decode()] = words[2].decode()


def value_of(key, version):
    rng = random.Random("%s.%d" % (key, version))
    return rng.randbytes(rng.randrange(1, LONGEST))


def work(app, side, path):
    """Puts and gets; a value may have been thrown out, but is never another."""
    client = Client(path)
    rng = random.Random(3)
    version, misses, gets = {}, 0, 0
    for _ in range(120 * SCALE):
        keys = [b"key%d" % rng.randrange(KEYS) for _ in range(100)]
        for key in keys:
            version[key] = version.get(key, 0) + 1
        client.put({key: value_of(key, version[key]) for key in keys})
        for key in rng.sample(sorted(version), 60):
            value = client.get(key)
            gets += 1
            misses += value is None
            if value is not None and value != value_of(key, version[key]):
                raise Failed("%s side: another value of %s" % (side, key))
    found = client.statistics()
    for name in ("extstore_objects_written", "extstore_objects_read", "get_extstore", "extstore_page_evictions"):
        if found.get(name, "0") == "0":
            raise Failed("%s side: no use of the file: %s is 0" % (side, name))
    if misses > gets / 2:
        raise Failed("%s side: %d of %d gets missed" % (side, misses, gets))


def extstore():
    app = App("memcached", served=True)
    for side in apptest.SIDES:
        path = os.path.join(app.base, side + ".sock")
        server = app.start(side, ["memcached", "-u", "root", "-s", path, "-m", "6", "-t", "2", "-o",
                                  "ext_page_size=2,ext_wbuf_size=2,ext_path=%s:24m,ext_threads=2,ext_item_size=300,"
                                  "ext_item_age=1,ext_compact_under=3,ext_drop_under=1,slab_automove_freeratio=0.5,"
                                  "ext_max_frag=0.9" % os.path.join(app.dir[side], "file")], stdout=-3, stderr=-3)
        apptest.wait_until("memcached answers", lambda: Client(path).statistics())
        work(app, side, path)
        server.terminate()
        if server.wait(app.timeout):
            raise Failed("memcached ends with status %d" % server.returncode)
    app.finish(ignore=("^file$",))  # the order of its threads


if not shutil.which("memcached"):
    raise SystemExit("memcached is not installed")
apptest.main(extstore)
