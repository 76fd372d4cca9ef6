# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""The power-cut campaign: one image, booted and cut again and again.

In each boot a writer for each role judges what the cut before has left of its file and writes on (cut_worker.c). What it
acknowledges is in a file of the host before it goes on. qemu is killed at a random moment: while files are recovered, or
while they are written. After a cut a file must be in the state of the last acknowledged sync or of the one in flight.
Between, the file system is unmounted and must be clean. Even cuts are written through the API, odd ones under the preload
library, so that each recovers what the other has left.
"""

import random
import time

import machine

ROLES = ["atomic", "plain", "osync", "mapped", "stored", "first", "rename"]
PORT = {role: machine.PORT_FIRST + i for i, role in enumerate(ROLES)}
SECOND = "second"
PORT[SECOND] = machine.PORT_FIRST + len(ROLES)
PORT_JOB = machine.PORT_FIRST + machine.PORTS - 1  # what the job itself says
JOB_PORT = machine.PORTS - 1
OTHER_BYTES = 128 * machine.MIB  # an NVDIMM that shifts the numbers of devices
SHIFT_EACH = 3                   # boots
BOOT_SECONDS = 90
RECOVERY_EACH = 5        # cuts: during recovery
RECOVERY_SHARE = 0.1     # of the others as well
WRITING_SECONDS = 1.2    # after the first base
POLL_SECONDS = 0.005
# One a boot: write-back beside writes, new logs each time.
SETTINGS = ("stats:0", "idle:1ms", "pool:0", "idle:2ms,pool:1")
PLANTS = ("early", "cache", "kernel")


class Violation(Exception):
    """A file was not as promised."""


class Events:
    """What one boot has said, for each role."""

    def __init__(self, boot):
        self.lines = {role: boot.port(port - machine.PORT_FIRST).split("\n")[:-1] for role, port in PORT.items()}

    def of(self, role, kind):
        return [line.split()[1:] for line in self.lines[role] if line.startswith(kind + " ")]

    def last(self, role, kind):
        found = self.of(role, kind)
        return [int(word) for word in found[-1]] if found else None

    def failures(self):
        return ["%s: %s" % (role, line) for role, lines in self.lines.items() for line in lines if line[:1] in "F#"]


class Known:
    """The states in which a file may be: {generation, low, high}, of two writers with the second's low and high; None
    before its first base."""

    def __init__(self):
        self.states = None

    def text(self):
        return "any" if self.states is None else ",".join(":".join(str(n) for n in state) for state in self.states)

    def learn(self, role, events, generation):
        verified = events.last(role, "V")
        acked = events.last(role, "A")
        if role == "rename":
            self._learn_versions(verified, acked)
        elif role == "first":
            self._learn_pair(events, acked, generation)
        else:
            self._learn_file(verified, acked, bool(events.of(role, "B")), generation)

    def _learn_file(self, verified, acked, begun, generation):
        if self.states is not None and verified:
            self.states = [(verified[0], verified[1], verified[1])]
        if acked:
            self.states = [(generation, acked[0], acked[0] + 1)]
        elif begun and self.states is not None:
            self.states.append((generation, 0, 0))

    def _learn_pair(self, events, acked, generation):
        second = events.last(SECOND, "A")
        if acked:
            after = second[0] if second else 0
            self.states = [(generation, acked[0], acked[0] + 1, after, after + 1)]
        elif events.of("first", "B") and self.states is not None:
            self.states.append((generation, 0, 0, 0, 0))

    def _learn_versions(self, verified, acked):
        if self.states is None:
            self.states = [(0, 0, 1)]
        if verified:
            self.states = [(0, verified[1], verified[1] + 1)]
        if acked:
            self.states = [(0, acked[0], acked[0] + 1)]


class Campaign:
    """Cuts on one image with one file system."""

    def __init__(self, host, fs, seed, plant=None, say=print, processors=2):
        self.host, self.fs, self.seed, self.plant, self.say = host, fs, seed, plant, say
        self.processors = processors
        self.random = random.Random("%s %d" % (fs, seed))
        self.known = {role: Known() for role in ROLES}
        self.cuts = self.cuts_in_recovery = self.acks = self.in_flight = self.verified = self.sync_seen = 0
        self.recovery_seconds = 1.0  # from the mount to the first write, as the last boot had it
        self.image = self.other_image = None

    @staticmethod
    def _shifted(number):
        """Is the file system on another device than in the boot before? As after a change of hardware."""
        return number % SHIFT_EACH == SHIFT_EACH - 1

    def _boot(self, number, preload, verify_only, name):
        return self.host.boot(self.image, {"run": self._job(number, preload, verify_only)}, "%s-%s" % (self.fs, name),
                              processors=self.processors, other=self.other_image if self._shifted(number) else None)

    # ---- jobs ----

    def _environment(self, preload):
        settings = "pm:force" if self.plant == "cache" else self.random.choice(SETTINGS)
        lines = ["export NVMMIO_ROOT=/mnt", "export NVMMIO_CONF=log:stderr,log_level:2," + settings]
        program = "cut_worker_kernel" if preload or self.plant == "kernel" else "cut_worker_nv"
        if preload and self.plant != "kernel":
            program = "env LD_PRELOAD=/lib/libnvmmio_preload.so " + program
        return lines, program

    def _start(self, program, role, number, more):
        second = " --second-port %d" % PORT[SECOND] if role == "first" else ""
        return "%s --role %s --dir /mnt --seed %d --generation %d --known %s --port %d%s %s &" % (
            program, role, self.seed, number, self.known[role].text(), PORT[role], second, more)

    def _job(self, number, preload, verify_only):
        mount = "mount_fs %s %s" % (self.fs, "dax=never" if self.plant == "cache" else "dax=always")
        roles = [role for role in ROLES if role != "mapped" or not (preload or self.plant == "kernel")]
        lines, program = self._environment(preload)
        lines = [". /bin/guest_mount.sh", mount + " || exit 1"] + lines
        lines += ["cut_worker_kernel --port %d --say \"mounted $pm_device\"" % PORT_JOB]
        lines += [self._start(program, role, number, "--verify") for role in roles]
        lines += ["wait", "umount /mnt || exit 1", "check_fs %s || exit 1" % self.fs]
        if verify_only:
            return "\n".join(lines) + "\n"
        more = "--plant-early" if self.plant == "early" else ""
        if self.plant in ("cache", "kernel"):
            more = "--plain"
        lines += [mount + " || exit 1", "cut_worker_kernel --port %d --say writing" % PORT_JOB]
        lines += [self._start(program, role, number, more) for role in roles]
        lines += ["wait"]
        return "\n".join(lines) + "\n"

    # ---- one boot ----

    def prepare(self):
        self.image = self.host.image("%s.img" % self.fs)
        self.other_image = self.host.image("%s-other.img" % self.fs, OTHER_BYTES)
        job = ". /bin/guest_mount.sh\nmake_namespace && make_fs %s\n" % self.fs
        self.host.boot(self.image, {"run": job}, "%s-make" % self.fs).wait(BOOT_SECONDS)

    def _await(self, boot, condition, what):
        end = time.monotonic() + BOOT_SECONDS
        while not condition():
            if not boot.is_up():
                return False
            if time.monotonic() > end:
                console = boot.console()
                boot.kill()
                raise machine.Trouble("%s: no %s within %d s; the console:\n%s" % (self.fs, what, BOOT_SECONDS,
                                                                                   console[-4000:]))
            time.sleep(POLL_SECONDS)
        return True

    def _sleep(self, boot, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and boot.is_up():
            time.sleep(POLL_SECONDS)

    def cut(self, number):
        """Boots, lets the guest verify and write, and cuts it off. A violation of the cut before is found here."""
        preload = number % 2 == 1
        in_recovery = number % RECOVERY_EACH == RECOVERY_EACH - 1 or (number and self.random.random() < RECOVERY_SHARE)
        boot = self._boot(number, preload, False, number)
        try:
            up = self._await(boot, lambda: "mounted" in boot.port(JOB_PORT), "mount")
            mounted = time.monotonic()
            if up and in_recovery:
                self._sleep(boot, self.random.uniform(0, self.recovery_seconds))
            elif up and self._await(boot, lambda: "writing" in boot.port(JOB_PORT), "recovery"):
                self.recovery_seconds = time.monotonic() - mounted
                self._await(boot, lambda: "B " in boot.port(0) or "\nF " in boot.port(0), "base")
                self._sleep(boot, self.random.uniform(0, WRITING_SECONDS))
        finally:
            ended = not boot.is_up()
            boot.kill()
        recovering = "writing" not in boot.port(JOB_PORT)
        self._account(boot, number, ended)
        self.cuts += 1
        self.cuts_in_recovery += recovering

    def finish(self):
        """A last boot that verifies, unmounts and checks, and is not cut."""
        boot = self._boot(self.cuts, False, True, "last")
        try:
            boot.wait(BOOT_SECONDS)
        except machine.Trouble as trouble:
            self._judge(Events(boot), boot)
            raise trouble
        self._account(boot, self.cuts, False)

    def _judge(self, events, boot):
        failures = events.failures()
        broken = machine.trouble_in(boot.console())
        if failures or broken or "is not clean" in boot.console():
            raise Violation("\n".join(failures + ([broken] if broken else []) + [boot.console()[-3000:]]))

    def _account(self, boot, number, ended):
        events = Events(boot)
        self._judge(events, boot)
        if ended:
            raise machine.Trouble("%s cut %d: the guest ended by itself; its console:\n%s" % (self.fs, number,
                                                                                              boot.console()[-4000:]))
        for role in ROLES:
            known = self.known[role]
            verified = events.last(role, "V")
            if verified and known.states:
                self.verified += 1
                self.in_flight += any(state[0] == verified[0] and state[2] == verified[1] > state[1]
                                      for state in known.states)
            known.learn(role, events, number)
            self.acks += len(events.of(role, "A"))
            for flag in events.of(role, "S"):
                self.sync_seen += flag == ["1"]
                if flag != ["1"]:
                    raise Violation("%s: a mapping without MAP_SYNC" % role)
        self.acks += len(events.of(SECOND, "A"))

    def run(self, count):
        self.prepare()
        for number in range(count):
            try:
                self.cut(number)
            except Violation as violation:
                raise Violation("%s, boot %d (seed %d): %s" % (self.fs, number, self.seed, violation)) from None
        self.finish()
        if not self.plant and self.sync_seen == 0:
            raise Violation("%s: no writer has seen a MAP_SYNC mapping" % self.fs)
        return self.report()

    def report(self):
        return ("%s: %d cuts (%d of them before all files were recovered), %d syncs acknowledged, %d files verified after "
                "a cut, %d of them with the sync in flight; MAP_SYNC seen %d times; file system clean each time" %
                (self.fs, self.cuts, self.cuts_in_recovery, self.acks, self.verified, self.in_flight, self.sync_seen))
