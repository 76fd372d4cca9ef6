# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""redis-server, which brings its own allocator: the append-only file with each fsync policy, rewritten and saved while
clients write, ended by SIGKILL and started again. What a client was told is there afterwards."""

import os
import random
import shutil
import socket
import threading

import apptest
from apptest import App, Failed, SCALE

POLICIES = ("always", "everysec", "no")


class Client:
    """The few words of the protocol that are needed."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")

    def send(self, *commands):
        data = b""
        for command in commands:
            words = [w if isinstance(w, bytes) else str(w).encode() for w in command]
            data += b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        self.socket.sendall(data)

    def reply(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server is gone")
        kind, rest = line[:1], line[1:-2]
        if rest.startswith(b"LOADING"):
            raise BlockingIOError("not yet")
        if kind == b"-":
            raise Failed("redis: " + rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def do(self, *command):
        self.send(command)
        return self.reply()

    def info(self, section, key):
        for line in self.do("INFO", section).split(b"\r\n"):
            if line.startswith(key.encode() + b":"):
                return line.split(b":")[1].decode()
        raise Failed("no %s in INFO" % key)


class Server:
    def __init__(self, app, side, policy, library=True):
        self.app = app
        # A name without the library's root in it, short enough for a socket.
        self.path = os.path.join(app.base, side + ".sock")
        if os.path.exists(self.path):
            os.unlink(self.path)
        args = ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", app.dir[side], "--appendonly", "yes",
                "--appendfsync", policy, "--save", "", "--auto-aof-rewrite-percentage", "0", "--enable-debug-command",
                "yes", "--loglevel", "warning"]
        if not library:
            args = ["env", "-u", "LD_PRELOAD", "-u", "NVMMIO_ROOT", "-u", "NVMMIO_CONF"] + args
        self.process = app.start(side, args, stdout=-3, stderr=-3)
        apptest.wait_until("redis answers", lambda: Client(self.path).do("PING") == b"PONG")

    def client(self):
        return Client(self.path)

    def digest(self):
        return self.client().do("DEBUG", "DIGEST"), self.client().do("DBSIZE")

    def kill(self):
        self.app.kill(self.process)

    def stop(self):
        client = self.client()
        client.send(("SHUTDOWN",))
        if self.process.wait(self.app.timeout):
            raise Failed("redis ends with status %d" % self.process.returncode)


def commands(seed, count):
    rng = random.Random(seed)
    for i in range(count):
        key = "%d" % rng.randrange(500)
        text = rng.randbytes(rng.choice((3, 30, 300, 5000)))
        yield rng.choice((
            ("SET", "string" + key, text), ("INCR", "number" + key), ("LPUSH", "list" + key, text, i),
            ("RPOP", "list" + key), ("HSET", "hash" + key, i % 20, text), ("SADD", "set" + key, i % 50, i % 7),
            ("ZADD", "sorted" + key, i % 90, text[:8]), ("APPEND", "string" + key, text[:10]), ("DEL", "string" + key),
            ("SETRANGE", "string" + key, 100, text[:50]), ("XADD", "stream" + key, "%d-%d" % (seed, i + 1), "field", text)))


def work(client, seed, count, batch=10):
    pending = list(commands(seed, count))
    for at in range(0, count, batch):
        client.send(*pending[at:at + batch])
        for _ in pending[at:at + batch]:
            client.reply()


def policy(name):
    app = App("redis." + name, served=True)
    digests = {}
    for side in apptest.SIDES:
        server = Server(app, side, name)
        client = server.client()
        work(client, 1, 6000 * SCALE)
        client.do("BGREWRITEAOF")
        work(client, 2, 6000 * SCALE)  # while the child writes
        apptest.wait_until("the rewrite", lambda: client.info("persistence", "aof_rewrite_in_progress") == "0")
        if client.info("persistence", "aof_last_bgrewrite_status") != "ok":
            raise Failed("BGREWRITEAOF failed")
        client.do("BGSAVE")
        work(client, 3, 6000 * SCALE)
        apptest.wait_until("the save", lambda: client.info("persistence", "rdb_bgsave_in_progress") == "0")
        if client.info("persistence", "rdb_last_bgsave_status") != "ok":
            raise Failed("BGSAVE failed")
        before = server.digest()
        server.kill()
        server = Server(app, side, name)
        if server.digest() != before:
            raise Failed("%s side: other data after SIGKILL" % side)
        client = server.client()
        work(client, 4, 1000 * SCALE)
        client.do("DEBUG", "RELOAD")
        client.do("DEBUG", "LOADAOF")
        digests[side] = server.digest()
        server.stop()
        server = Server(app, side, name, library=False)
        if server.digest() != digests[side]:
            raise Failed("%s side: other data without the library" % side)
        server.stop()
        for tool, pattern in (("redis-check-rdb", "dump.rdb"), ("redis-check-aof", "appendonlydir/*.manifest")):
            r = app.run(side, ["bash", "-c", "env -u LD_PRELOAD %s %s" % (tool, pattern)])
            if r.returncode:
                raise Failed("%s side: %s: %s" % (side, tool, apptest.tail(r.stdout)))
    if digests["kernel"] != digests["managed"]:
        raise Failed("other data than on the kernel: %s" % digests)
    # The snapshots hold times and memory sizes.
    app.finish(ignore=(r"\.rdb$",))


def always():
    policy("always")


def everysec():
    policy("everysec")


def never():
    policy("no")


def acknowledged(path, number, done):
    """Writes until the server is gone; done[number] is the last value that was acknowledged."""
    try:
        client = Client(path)
        while True:
            client.send(*[("SET", "writer%d" % number, done[number] + i) for i in range(1, 6)])
            for _ in range(5):
                client.reply()
                done[number] += 1
    except OSError:
        pass


def killed():
    """SIGKILL in the midst of four clients' writes, several times; a kill loses nothing that was acknowledged, whatever
    the policy, as write() was done."""
    for name in POLICIES:
        app = App("redis.killed." + name, served=True)
        for side in apptest.SIDES:
            done = [0] * 4
            for session in range(4 * SCALE):
                server = Server(app, side, name)
                for number, value in enumerate(done):
                    found = int(server.client().do("GET", "writer%d" % number) or 0)
                    if not value <= found <= value + 5:
                        raise Failed("%s side, %s, session %d: %d was acknowledged, %d is there" %
                                     (side, name, session, value, found))
                    done[number] = found
                if session == 2:
                    server.client().do("BGREWRITEAOF")
                writers = [threading.Thread(target=acknowledged, args=(server.path, n, done)) for n in range(4)]
                for w in writers:
                    w.start()
                goal = done[0] + 100 + session * 150
                apptest.wait_until("writes", lambda: done[0] > goal)
                server.kill()
                for w in writers:
                    w.join()
            server = Server(app, side, name)
            work(server.client(), 5, 50)  # a server that was killed has told no counters
            server.stop()
        app.finish(ignore=(r"^appendonlydir/", r"^temp-"))


if not shutil.which("redis-server"):
    raise SystemExit("redis-server is not installed")
apptest.main(always, everysec, never, killed)
