# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""fio: every engine that works on files, 1 and 2 jobs, threads and processes, with verification of every block."""

import apptest
from apptest import App, Failed

SIZE = "4M"

# engine, jobs, thread, fsync, rw: each pair of values occurs.
MATRIX = [
    ("psync", 1, 1, 1, "randwrite"),
    ("psync", 2, 0, 32, "randwrite"),
    ("psync", 1, 0, 32, "randrw"),
    ("psync", 2, 1, 1, "write"),
    ("psync", 2, 1, 32, "rw"),
    ("sync", 1, 0, 1, "write"),
    ("sync", 2, 1, 32, "randwrite"),
    ("sync", 1, 1, 32, "randrw"),
    ("sync", 2, 0, 1, "randrw"),
    ("vsync", 1, 1, 32, "write"),
    ("vsync", 2, 0, 1, "randwrite"),
    ("vsync", 1, 0, 32, "randwrite"),
]


def blank_times(step):
    """fio's block headers hold the time of the write, at 24, and a checksum of the header, at 36 of 40 bytes."""
    def normal(data):
        data = bytearray(data)
        for at in range(0, len(data), step):
            if data[at:at + 2] == b"\xca\xac":
                data[at + 24:at + 32] = bytes(8)
                data[at + 36:at + 40] = bytes(4)
        return bytes(data)
    return normal


def run_job(app, name, options):
    args = ["fio", "--name=" + name, "--size=" + SIZE, "--randseed=4711", "--minimal", "--verify=crc32c",
            "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0", "--fallocate=none", "--group_reporting",
            "--directory=.", "--unlink=0"] + options
    app.both(args, output=False)


def matrix():
    app = App("fio", served=True)
    for n, (engine, jobs, thread, fsync, rw) in enumerate(MATRIX):
        run_job(app, "job%d" % n, ["--ioengine=" + engine, "--numjobs=%d" % jobs, "--thread=%d" % thread,
                                   "--fsync=%d" % fsync, "--rw=" + rw, "--bs=4k"])
    app.finish(normal=blank_times(4096))


def sizes():
    """Blocks of odd and mixed sizes, fdatasync, O_SYNC, a second pass over files that are there."""
    app = App("fio.sizes", served=True)
    run_job(app, "mixed", ["--ioengine=psync", "--rw=randwrite", "--bsrange=512-64k", "--verify_interval=512", "--fsync=8"])
    run_job(app, "mixed", ["--ioengine=sync", "--rw=write", "--bs=16k", "--fdatasync=4", "--overwrite=1"])
    run_job(app, "osync", ["--ioengine=psync", "--rw=randwrite", "--bs=4k", "--sync=1"])
    run_job(app, "dense", ["--ioengine=psync", "--rw=randwrite", "--bs=4k", "--fsync=32", "--loops=2"])
    app.finish(normal=blank_times(512))


def engines():
    """Those that the matrix leaves out; asynchronous ones hand the file to the kernel, where a queue was made before the
    first file was opened (threads) and where it was not."""
    app = App("fio.engines", served=True)
    for n, (engine, thread) in enumerate((("pvsync", 0), ("pvsync2", 1), ("libaio", 0), ("libaio", 1), ("posixaio", 1),
                                          ("mmap", 0), ("splice", 1))):
        run_job(app, "%s%d" % (engine, thread), ["--ioengine=" + engine, "--numjobs=2", "--thread=%d" % thread,
                                                "--rw=" + ("randrw", "write")[n % 2], "--bs=4k", "--fsync=16",
                                                "--iodepth=4", "--overwrite=%d" % thread])
    run_job(app, "direct", ["--ioengine=libaio", "--rw=randwrite", "--bs=4k", "--direct=1", "--iodepth=8", "--fsync=8"])
    app.finish(normal=blank_times(4096))


def other_engines():
    """Engines that change sizes, space and names, and libpmem's, which maps."""
    app = App("fio.other")
    for name, options in (("cut", ["--ioengine=ftruncate", "--rw=write"]), ("fill", ["--ioengine=falloc", "--rw=randwrite"]),
                          ("hole", ["--ioengine=psync", "--rw=randwrite", "--fsync=8"]),
                          ("hole", ["--ioengine=falloc", "--rw=randtrim"]),
                          ("many", ["--ioengine=filecreate", "--nrfiles=100", "--openfiles=1"]),
                          ("more", ["--ioengine=filestat", "--nrfiles=100", "--filesize=4k", "--size=400k"]),
                          ("less", ["--ioengine=filedelete", "--nrfiles=100", "--filesize=4k", "--size=400k"])):
        app.both(["fio", "--name=" + name, "--size=1M", "--bs=4k", "--randseed=4711", "--buffer_pattern=0x5a", "--minimal",
                  "--directory=."] + options, output=False, files=True)
    for rw in ("randwrite", "randrw"):
        app.both(["fio", "--name=pm." + rw, "--size=1M", "--bs=4k", "--randseed=4711", "--minimal", "--directory=.",
                  "--ioengine=libpmem", "--direct=1", "--rw=" + rw, "--verify=crc32c", "--verify_fatal=1",
                  "--verify_state_save=0"], {"PMEM_IS_PMEM_FORCE": "1"}, output=False)
    app.finish(normal=blank_times(4096))


def no_rings():
    """What a ring does cannot be seen: there are none, and programs must be told so at once."""
    app = App("fio.rings", active=False)
    for thread in (0, 1):
        r = app.run("managed", ["fio", "--name=ring", "--ioengine=io_uring", "--size=1M", "--thread=%d" % thread, "--rw=write"])
        if app.library and (r.returncode == 0 or b"Function not implemented" not in r.stdout + r.stderr):
            raise Failed("a ring was made: %s" % apptest.tail(r.stdout + r.stderr))
    app.remove()


def rings():
    """With the setting a ring is made, and files that are open by then, or opened later, are the kernel's."""
    app = App("fio.rings", conf=",aio:allow")
    for thread in (0, 1):
        for rw in ("randwrite", "randrw"):
            run_job(app, "ring%d.%s" % (thread, rw), ["--ioengine=io_uring", "--numjobs=2", "--thread=%d" % thread, "--rw=" + rw,
                                                      "--bs=4k", "--iodepth=8", "--fsync=16", "--overwrite=%d" % thread])
    app.finish(normal=blank_times(4096))


def append():
    """A file that grows: sequential writes with fsync, and O_APPEND where fio has it."""
    app = App("fio.append", served=True)
    run_job(app, "grow", ["--ioengine=sync", "--rw=write", "--bs=4000", "--fsync=1", "--file_append=0"])
    app.both(["fio", "--name=add", "--size=1M", "--filename=grow.0.0", "--rw=write", "--bs=4k", "--fsync=4",
              "--ioengine=psync", "--file_append=1", "--minimal", "--randseed=1", "--refill_buffers=0",
              "--buffer_pattern=0xdeadbeef", "--fallocate=none"], output=False)
    app.finish(normal=blank_times(4000))


def finds_damage():
    """fio's verification must be able to fail: a damaged file is found through the library as well."""
    app = App("fio.damage", active=False)
    run_job(app, "hurt", ["--ioengine=psync", "--rw=randwrite", "--bs=4k", "--fsync=32"])
    for side in apptest.SIDES:
        with open(app.dir[side] + "/hurt.0.0", "r+b") as f:
            f.seek(1000000)
            f.write(b"damage")
    args = ["fio", "--name=hurt", "--size=" + SIZE, "--randseed=4711", "--minimal", "--verify=crc32c",
            "--verify_only=1", "--rw=randwrite", "--bs=4k", "--ioengine=psync", "--directory=.", "--verify_fatal=1",
            "--verify_state_save=0", "--fallocate=none"]
    for side in apptest.SIDES:
        if app.run(side, args).returncode == 0:
            raise Failed("fio on the %s side did not find the damage" % side)
    app.remove()


apptest.main(matrix, sizes, engines, other_engines, no_rings, rings, append, finds_damage)
