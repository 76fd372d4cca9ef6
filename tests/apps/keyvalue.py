# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""LMDB, Berkeley DB, LevelDB and RocksDB (programs of kv/, one for each), Kyoto Cabinet's and RocksDB's own tests: whole
runs give the kernel's content; after SIGKILL in the midst of them every transaction that was told is there, whole.

NVMMIO_KV: the directory of the programs."""

import os
import random

import apptest
from apptest import App, Failed, SCALE

PROGRAMS = os.environ.get("NVMMIO_KV", "")
MODES = {"lmdb": ("plain", "map"), "bdb": ("plain", "dsync"), "leveldb": ("plain",),
         "rocksdb": ("plain", "mmap", "direct", "recycle")}
KEYS, BACK, LONGEST = 5, 40, 3000
GROUP = 8  # transactions that mode nosync syncs together


def program(base):
    path = os.path.join(PROGRAMS, "kv_" + base)
    if not os.path.exists(path):
        raise Failed("%s is not there: its library is not installed, or NVMMIO_KV is not set" % path)
    return path


def fnv(data):
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 & (1 << 64) - 1
    return h


class Model:
    """What is there after transactions 0 ... n - 1, in the words of the program's dump."""

    def __init__(self):
        self.pairs = {}
        self.done = 0

    def reach(self, n):
        while self.done < n:
            t = self.done
            for k in range(KEYS):
                length = (t * 7919 + k * 104729) % (300 if k else LONGEST)
                value = bytes((t * 31 + k * 7 + i * i) & 0xff for i in range(length))
                self.pairs["%08d.%d" % (t, k)] = (length, fnv(value))
            if t >= BACK:
                self.pairs.pop("%08d.%d" % (t - BACK, t % KEYS), None)
            last = str(t).encode()
            self.pairs["last"] = (len(last), fnv(last))
            self.done += 1

    def dump(self):
        return "".join("%s %d %016x\n" % (key, *self.pairs[key]) for key in sorted(self.pairs)).encode()


def dump(app, side, base, mode, library=True):
    args = [program(base), "dump", "db", mode]
    if not library:
        args = ["env", "-u", "LD_PRELOAD"] + args
    r = app.run(side, args)
    if r.returncode:
        raise Failed("%s side: %s: dump: %s" % (side, base, apptest.tail(r.stderr)))
    return r.stdout


def runs(base):
    """All transactions in two runs, the content after each, with and without the library."""
    for mode in MODES[base]:
        app = App("keyvalue.%s.%s" % (base, mode), served=in_user_space(base, mode), mapped=is_mapped(base, mode))
        app.both("mkdir db")
        model = Model()
        count = 150 * SCALE
        for first in (0, count):
            app.both([program(base), "write", "db", mode, str(first), str(count)])
            model.reach(first + count)
            for side in apptest.SIDES:
                for library in (True, False):
                    if dump(app, side, base, mode, library) != model.dump():
                        raise Failed("%s side, %s the library: wrong content" % (side, "with" if library else "without"))
        # The files hold times and numbers of the run.
        finish(app)


def write_and_kill(app, side, base, mode, first, goal):
    """A writer of transactions from `first` on is killed when `goal` of them were heard. How many there were told then, all
    together."""
    p = app.start(side, [program(base), "write", "db", mode, str(first), "100000"], stdout=-1, stderr=-1)
    last = -1
    for _ in range(goal):
        line = p.stdout.readline()
        if not line:
            raise Failed("%s side, %s: %s" % (side, base, apptest.tail(p.stderr.read())))
        last = int(line)
    app.kill(p)
    rest = p.stdout.read().split(b"\n")[:-1]  # told, and not yet heard
    last = int(rest[-1]) if rest else last
    p.stdout.close()
    p.stderr.close()
    return last + 1


def kills(base):
    for mode in MODES[base]:
        app = App("keyvalue.killed.%s.%s" % (base, mode), served=in_user_space(base, mode), mapped=is_mapped(base, mode))
        app.both("mkdir db")
        rng = random.Random(11)
        told = [rng.randrange(1, 120) for _ in range(3 * SCALE)]
        for side in apptest.SIDES:
            model = Model()
            for session, goal in enumerate(told):
                judge(app, side, base, mode, model, write_and_kill(app, side, base, mode, model.done, goal), session)
        finish(app)


def judge(app, side, base, mode, model, told, session):
    """`told` transactions are there; one more may be, since it was under way. The first look after a kill is under the
    library, which recovers."""
    found = dump(app, side, base, mode)
    for n in (told, told + 1):
        model.reach(n)
        if found == model.dump():
            return
    lines, expected = found.decode().split("\n"), model.dump().decode().split("\n")
    wrong = [line for line in lines if line not in set(expected)][:3], [e for e in expected if e not in set(lines)][:3]
    raise Failed("%s side, %s %s, session %d: %d transactions were told; not right, and missing of one more: %s" %
                 (side, base, mode, session, told, wrong))


def kills_between_syncs(base, file, check):
    """Stores without order into a mapping, synced now and then: safe, as the mapping is failure-atomic. After SIGKILL the
    database opens, passes its own check, and holds exactly what the last sync covered, with the library and without."""
    app = App("keyvalue.%s_nosync" % base, mapped=True, conf=",atomic_map:*/" + file)
    rng = random.Random(12)
    model = Model()
    os.mkdir(os.path.join(app.dir["managed"], "db"))
    rolled_back = 0
    for session in range(40 * SCALE):
        first = model.done
        told = write_and_kill(app, "managed", base, "nosync", first, rng.randrange(2, 120))
        r = app.run("managed", check)
        if r.returncode:
            raise Failed("session %d: %s: %s" % (session, check[0], apptest.tail(r.stderr)))
        found = dump(app, "managed", base, "nosync")
        synced = sorted({first + (n - first) // GROUP * GROUP for n in (told, told + 1)})
        for n in synced:
            model.reach(n)
            if found == model.dump():
                break
        else:
            raise Failed("session %d: %d transactions were told, not the state after %s" % (session, told, synced))
        if app.library and dump(app, "managed", base, "nosync", False) != found:
            raise Failed("session %d: another state without the library" % session)
        rolled_back += model.done < told
    if app.library and not rolled_back:
        raise Failed("no session was killed between two syncs")
    finish(app)


def lmdb_nosync():
    kills_between_syncs("lmdb", "data.mdb", ["mdb_stat", "-e", "-a", "db"])


def kyoto_nosync():
    kills_between_syncs("kyoto", "data.kct", ["kctreemgr", "check", "db/data.kct"])


def in_user_space(base, mode):
    """By calls: what is written by stores alone nobody serves."""
    return not is_mapped(base, mode)


def is_mapped(base, mode):
    return base == "lmdb"


def finish(app):
    app.check_logs()
    app.check_active()
    app.remove()


def lmdb():
    runs("lmdb")
    kills("lmdb")


def lmdb_tools():
    app = App("keyvalue.lmdb_tools", mapped=True)
    app.both("mkdir db copy again")
    app.both([program("lmdb"), "write", "db", "plain", "0", str(300 * SCALE)])
    app.both("mdb_stat -a db && mdb_dump db > text && mdb_load -f text again && mdb_copy -c db copy && mdb_dump copy | "
             "cmp - text && mdb_dump again | cmp - text")
    app.finish(ignore=(r"lock\.mdb$",))


def bdb():
    runs("bdb")
    kills("bdb")


def bdb_tools():
    app = App("keyvalue.bdb_tools", served=True)
    text = "".join("key%05d\nvalue %d %s\n" % (i * 7919 % 100000, i, "x" * (i % 80)) for i in range(5000 * SCALE))
    app.write("in", text.encode())
    for kind in ("btree", "hash"):
        app.both("db5.3_load -T -t %s -f in %s.db && db5.3_verify %s.db && db5.3_dump -p %s.db > %s.text && "
                 "db5.3_load -f %s.text again.%s.db && db5.3_verify again.%s.db && "
                 "cmp <(db5.3_dump -p again.%s.db | sed 1,/HEADER=END/d | sort) <(sed 1,/HEADER=END/d %s.text | sort)" %
                 ((kind,) * 10))
    app.finish(ignore=(r"\.db$",))  # a file holds an identity of its own


def leveldb():
    runs("leveldb")
    kills("leveldb")


def rocksdb():
    runs("rocksdb")
    kills("rocksdb")


def rocksdb_tools():
    """RocksDB's benchmark as a test, with its own checks, and its tool."""
    app = App("keyvalue.rocksdb_tools", timeout=200, served=True)
    common = "db_bench --db=db --seed=1 --num=%d --compression_type=none --write_buffer_size=200000 " % (4000 * SCALE)
    for jobs in ("--benchmarks=fillseq,readseq", "--benchmarks=overwrite,readrandom,compact,verifychecksum --use_existing_db=1",
                 "--benchmarks=overwrite,deleterandom,seekrandom --use_existing_db=1 --sync=1 --threads=1",
                 "--benchmarks=readwhilewriting,verifychecksum --use_existing_db=1 --threads=2 --duration=1",
                 "--benchmarks=overwrite,verifychecksum --use_existing_db=1 --use_direct_io_for_flush_and_compaction=1"
                 " --use_direct_reads=1", "--benchmarks=mixgraph,verifychecksum --use_existing_db=1 --threads=1 --reads=2000"):
        app.both(common + jobs, output=False)
        app.both("ldb --db=db checkconsistency", output=False)
    finish(app)


def kyoto():
    """Kyoto Cabinet's tests of itself, each of which checks what it reads."""
    app = App("keyvalue.kyoto", timeout=200, served=True)
    for test in ("kchashtest order -rnd -etc -th 2 a.kch 2000", "kchashtest wicked -th 2 -it 2 b.kch 1000",
                 "kchashtest tran -th 2 -hard c.kch 200", "kchashtest queue -th 2 d.kch 2000",
                 "kctreetest order -rnd -etc a.kct 2000", "kctreetest wicked -th 2 b.kct 1000",
                 "kctreetest tran -hard -th 2 c.kct 200", "kcdirtest wicked -th 2 d.kcd 200",
                 "kcdirtest tran -hard e.kcd 100", "kcforesttest order -th 2 f.kcf 500"):
        app.both(test + " > out && tail -2 out && rm out")
        app.both("for f in *.kch; do [ ! -e $f ] || kchashmgr check $f; done; for f in *.kct; do [ ! -e $f ] || kctreemgr "
                 "check $f; done", output=False)
    finish(app)


apptest.main(lmdb, lmdb_nosync, kyoto_nosync, lmdb_tools, bdb, bdb_tools, leveldb, rocksdb, rocksdb_tools, kyoto)
