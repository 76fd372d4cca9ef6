# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""nvbench, killed with SIGKILL in the middle of random writes with syncs by several threads or processes, as a whole or
one of its processes while the others go on. Each write that returned is in the file afterwards, each byte of the one in
flight is old or new; with O_ATOMIC the file is exactly as of the last sync (nvbench --ack, --verify_only). Judged
through the library, and then on the plain kernel.

    kill_bench.py [--engine nvmmio|psync] [--kills N] [--seed S] [--session K] [--damage] [--expect-failure]

NVBENCH is the program. NVMMIO_PRELOAD is the library for engine psync, without it psync is the kernel's and NVMMIO_ROOT
unused. NVMMIO_TEST_SCALE=N kills N times as many; NVMMIO_TEST_KEEP=1 leaves the directory of a failure. --damage changes
a byte after each kill: with --expect-failure it proves that the checks can fail.
"""

import argparse
import glob
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import reaper  # noqa: E402
import shm  # noqa: E402

WATCHDOG_S = 60
ACK = struct.Struct("@QQQQ32x")  # bench/ack.h: begun, done, syncing, synced
SURVIVE_S = 0.08  # the others go on for about so long


class Failed(Exception):
    pass


class Campaign:
    def __init__(self, options):
        self.options = options
        self.nvbench = os.environ["NVBENCH"]
        self.preload = os.environ.get("NVMMIO_PRELOAD", "") if options.engine == "psync" else ""
        self.managed = options.engine == "nvmmio" or bool(self.preload)
        self.base = tempfile.mkdtemp(prefix="nvmmio-kill-bench-", dir=os.environ.get("NVMMIO_TEST_DIR", "/dev/shm"))
        self.kills = self.in_flight = self.partial_kills = self.recovery_kills = self.sessions = 0
        self.process = None

    # ---- nvbench ----

    def spawn(self, arguments, engine, preload):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NVMMIO_", "LD_PRELOAD"))}
        env["NVMMIO_ROOT"] = self.root
        if preload:
            env["LD_PRELOAD"] = preload
        return subprocess.Popen([self.nvbench, "--ack=" + self.ack_path] + self.job + ["--ioengine=" + engine] + arguments,
                                env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)

    def verify(self, engine, preload, who):
        process = self.spawn(["--verify_only"], engine, preload)
        try:
            err = process.communicate(timeout=WATCHDOG_S)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed("%s: the check hangs" % who)
        if process.returncode:
            raise Failed("%s: status %d: %s" % (who, process.returncode, err.decode()[:1500]))

    def acks(self):
        return [ACK.unpack_from(self.ack, i * ACK.size) for i in range(self.jobs)] if self.ack else []

    def wait_progress(self, least):
        """Until each job has done so many writes."""
        end = time.monotonic() + WATCHDOG_S
        while True:
            if not self.ack and os.path.exists(self.ack_path) and os.path.getsize(self.ack_path):
                with open(self.ack_path, "r+b") as f:
                    self.ack = mmap.mmap(f.fileno(), 0)
            if self.ack and all(done >= least for _, done, _, _ in self.acks()):
                return
            if self.process.poll() is not None:
                raise Failed("nvbench ended: %s" % self.process.communicate()[1].decode()[-800:])
            if time.monotonic() > end:
                raise Failed("no progress: %s" % self.acks())
            time.sleep(0.0005)

    def children(self):
        path = "/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)
        with open(path) as f:
            return [int(pid) for pid in f.read().split()]

    def kill_whole(self):
        """Parent and children: a group of its own."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        reaper.wait_group(self.process.pid)  # children that the parent leaves

    def kill_one(self):
        """One of the processes; the others go on, then end well."""
        os.kill(self.rng.choice(self.children()), signal.SIGKILL)
        self.partial_kills += 1
        time.sleep(self.rng.random() * SURVIVE_S)
        for pid in self.children():
            os.kill(pid, signal.SIGINT)
        self.process.send_signal(signal.SIGINT)
        try:
            err = self.process.communicate(timeout=WATCHDOG_S)[1].decode()
        except subprocess.TimeoutExpired:
            self.kill_whole()
            raise Failed("the surviving processes hang")
        if self.process.returncode != 1 or err.count("nvbench: job") != 1 or "killed by signal 9" not in err:
            raise Failed("the surviving processes: status %d: %s" % (self.process.returncode, err[-1500:]))

    # ---- sessions ----

    def plan(self, session):
        self.rng = rng = random.Random(self.options.seed * 1000003 + session)
        self.root = os.path.join(self.base, "root%d" % session)
        self.ack_path = os.path.join(self.base, "ack%d" % session)
        self.ack = None
        os.mkdir(self.root)
        atomic = self.managed and rng.random() < 0.3
        self.jobs = 1 + rng.randrange(4)
        self.threads = rng.random() < 0.5
        self.job = ["--name=j", "--directory=" + self.root, "--verify=1", "--numjobs=%d" % self.jobs,
                    "--rw=" + rng.choice(("randwrite", "randwrite", "randrw", "write")),
                    rng.choice(("--bs=4k", "--bs=1000", "--bs=64", "--bsrange=512-24k", "--bsrange=4k-256k")),
                    "--size=%dk" % rng.choice((100, 300, 1500)), "--randseed=%d" % rng.randrange(1 << 30),
                    "--fsync=%d" % rng.choice((1, 3, 32, 300)), "--thread=%d" % self.threads,
                    "--time_based", "--runtime=%d" % (2 * WATCHDOG_S), "--overwrite=%d" % (rng.random() < 0.7)]
        if atomic:
            self.job.append("--atomic")
        elif rng.random() < 0.6:
            self.job.append("--filename=shared")

    def damage(self):
        path = self.rng.choice(sorted(glob.glob(os.path.join(self.root, "*"))))
        with open(path, "r+b") as f:
            at = self.rng.randrange(os.path.getsize(path))
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 0x5A]))

    def judge(self):
        engine, preload = self.options.engine, self.preload
        if self.rng.random() < 0.3:
            for _ in range(1 + self.rng.randrange(5)):  # recoveries that die, too
                process = self.spawn(["--verify_only"], engine, preload)
                time.sleep(self.rng.random() * 0.015)
                process.kill()
                process.communicate()
                self.recovery_kills += 1
        if self.managed:
            self.verify(engine, preload, "through the library")
        if self.options.damage:
            self.damage()
        self.verify("psync", "", "on the kernel")
        left = [n for n in glob.glob(os.path.join(self.root, ".nvmmio", "*", "*")) if not n.endswith("/table")]
        if self.managed and not os.path.isdir(os.path.join(self.root, ".nvmmio")):
            raise Failed("the library made no .nvmmio: it was not active")
        if left + shm.left_over():
            raise Failed("left over: %s" % (left + shm.left_over()))

    def session(self, number):
        self.plan(number)
        self.process = self.spawn(["--do_verify=0"], self.options.engine, self.preload)
        self.wait_progress(1 + self.rng.choice((0, 0, 5, 50, 400)))
        time.sleep(self.rng.random() * 0.05)
        if not self.threads and self.jobs > 1 and self.rng.random() < 0.5:
            self.kill_one()
        else:
            self.kill_whole()
        self.process = None
        self.kills += 1
        self.in_flight += any(begun > done for begun, done, _, _ in self.acks())
        self.judge()
        shutil.rmtree(self.root)
        os.unlink(self.ack_path)

    def run(self):
        o = self.options
        number = o.session if o.session is not None else 0
        failure = None
        start = time.monotonic()
        try:
            while not self.sessions if o.session is not None else self.kills < o.kills:
                self.sessions += 1
                self.session(number)
                number += 1
        except Failed as e:
            failure = "FAIL session %d: %s\n  %s\n  acks %s\n  again: --engine %s --seed %d --session %d" % (
                number, e, " ".join(self.job), self.acks(), o.engine, o.seed, number)
        finally:
            if self.process and self.process.poll() is None:
                self.kill_whole()
            if not (failure and os.environ.get("NVMMIO_TEST_KEEP") == "1"):
                shutil.rmtree(self.base, ignore_errors=True)
        if failure:
            print(failure)
        print("%s: %d sessions, %d kills, %d of them inside a write, %d of one process alone, %d kills of a recovery, "
              "%.1f s" % ("FAILED" if failure else "ok", self.sessions, self.kills, self.in_flight, self.partial_kills,
                          self.recovery_kills, time.monotonic() - start))
        return failure is None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", default="psync")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1000 % 1000000)
    parser.add_argument("--session", type=int)
    for switch in ("--damage", "--expect-failure"):
        parser.add_argument(switch, action="store_true")
    options = parser.parse_args()
    options.kills *= max(1, int(os.environ.get("NVMMIO_TEST_SCALE", "1")))
    campaign = Campaign(options)
    print("kill campaign on %s, nvbench, engine %s, seed %d" %
          ("the preload library" if campaign.preload else "the library" if campaign.managed else "the kernel",
           options.engine, options.seed), flush=True)
    good = campaign.run()
    if options.expect_failure:
        print("FAILED: this must fail" if good else "ok: failed as it must")
    sys.exit(good == options.expect_failure)


shm.private()
reaper.adopt()
main()
