#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""run.py - what scripts/vm.sh does once all packages are there; its head is the manual."""

import argparse
import os
import signal
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cuts  # noqa: E402
import limits  # noqa: E402
import machine  # noqa: E402
import suite  # noqa: E402

SOURCE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
PROGRAMS = ["bin/sync_check_nv", "bin/sync_check_kernel", "bin/cut_worker_nv", "bin/cut_worker_kernel",
            "lib/libnvmmio_preload.so", "lib/libnvmmio.so.0"] + limits.PROGRAMS
FILE_SYSTEMS = ("ext4", "xfs")
CI_CUTS = {"ext4": 32, "xfs": 12}
PLANT_CUTS = {"early": 3, "cache": 3, "kernel": 40}


class Outcome:
    """What has passed and failed; several threads tell it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.failures = []

    def say(self, text):
        with self.lock:
            print(text, flush=True)

    def fail(self, text):
        with self.lock:
            self.failures.append(text)
            print("FAILED: " + text, flush=True)


def guarded(outcome, name, step):
    """Runs one step; whatever goes wrong is a failure, and the next one is run."""
    start = time.monotonic()
    try:
        step()
        outcome.say("   %s: %d s" % (name, time.monotonic() - start))
    except (machine.Trouble, cuts.Violation) as trouble:
        outcome.fail("%s: %s" % (name, trouble))
    except Exception:  # pylint: disable=broad-except  (a thread's end must not look like success)
        outcome.fail("%s: %s" % (name, traceback.format_exc()))


def do_cuts(host, outcome, fs, count, seed, plant=None, processors=1):
    """A campaign; with `plant` one that must find something."""
    campaign = cuts.Campaign(host, fs, seed, plant=plant, processors=processors)
    if not plant:
        outcome.say(campaign.run(count))
        return
    try:
        campaign.run(count)
    except cuts.Violation as violation:
        outcome.say("%s: planted fault '%s' was found after %d cuts: %s" %
                    (fs, plant, campaign.cuts, str(violation).split("\n", maxsplit=1)[0]))
        return
    raise cuts.Violation("the planted fault '%s' was not found in %d cuts" % (plant, count))


def do_suite(host, outcome, fs, disk, wanted, verbose, processors=2):
    failed, text, console = suite.run(host, SOURCE, fs, disk, suite.list_tests(host.build, fs, wanted), processors)
    outcome.say(text)
    if verbose or failed:
        outcome.say(console)
    if failed:
        raise machine.Trouble("on %s failed: %s" % (fs, " ".join(failed)))


def together(*chains):
    """Runs chains of steps, each chain in a thread of its own."""
    threads = [threading.Thread(target=chain, daemon=True) for chain in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def do_ci(host, outcome, seed):
    """Two machines at a time: the cuts of ext4 beside all the rest."""
    disk = suite.make_disk(host.build, SOURCE, os.path.join(host.directory, "disk.img"))

    def ext4_cuts():
        guarded(outcome, "cuts ext4", lambda: do_cuts(host, outcome, "ext4", CI_CUTS["ext4"], seed))
        for plant in ("early", "cache"):
            guarded(outcome, "proof " + plant, lambda: do_cuts(host, outcome, "ext4", PLANT_CUTS[plant], seed, plant))

    def the_rest():
        guarded(outcome, "cuts xfs", lambda: do_cuts(host, outcome, "xfs", CI_CUTS["xfs"], seed))
        for fs in FILE_SYSTEMS:
            guarded(outcome, "tests " + fs, lambda: do_suite(host, outcome, fs, disk, suite.CI[fs], False, 1))
            guarded(outcome, "limits " + fs, lambda: outcome.say(limits.run(host, fs)))

    together(ext4_cuts, the_rest)


def do_shell(host, fs):
    job = """. /bin/guest_mount.sh
make_namespace && make_fs %s && mount_fs %s
export NVMMIO_ROOT=/mnt NVMMIO_CONF=log:stderr,log_level:4
echo "the file system is on /mnt with dax=always; exit or poweroff -f ends the machine, ctrl-a x kills it"
setsid -c sh -i
""" % (fs, fs)
    boot = host.boot(host.image("shell.img"), {"run": job}, "shell", processors=2, interactive=True)
    boot.process.wait()
    boot.kill()


def parse():
    parser = argparse.ArgumentParser(prog="vm.sh", description="nvmmio on real DAX, in a virtual machine")
    parser.add_argument("--build", required=True, help="a build directory")
    parser.add_argument("--kvm", action="store_true", help="use /dev/kvm instead of software emulation")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the cuts (default: the time)")
    parser.add_argument("--keep", metavar="DIR", help="copy images, consoles and acknowledgements there")
    commands = parser.add_subparsers(dest="command", required=True)
    test = commands.add_parser("test", help="the test suite")
    test.add_argument("fs", choices=FILE_SYSTEMS, nargs="?")
    test.add_argument("--tests", metavar="REGEX", default=suite.ALL, help="names of tests, as ctest knows them")
    test.add_argument("--verbose", action="store_true", help="print the console")
    cut = commands.add_parser("cuts", help="power cuts")
    cut.add_argument("count", type=int)
    cut.add_argument("fs", choices=FILE_SYSTEMS, nargs="?")
    cut.add_argument("--plant", choices=cuts.PLANTS, help="plant a fault, which must be found")
    cut.add_argument("--processors", type=int, default=1, help="of the machine")
    limit = commands.add_parser("limits", help="quotas and full file systems")
    limit.add_argument("fs", choices=FILE_SYSTEMS, nargs="?")
    commands.add_parser("ci", help="what continuous integration runs")
    shell = commands.add_parser("shell", help="a shell in the machine")
    shell.add_argument("fs", choices=FILE_SYSTEMS, nargs="?", default="ext4")
    return parser.parse_args()


def end(*_):
    raise SystemExit(130)


def main():
    arguments = parse()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, end)
    outcome = Outcome()
    build = os.path.realpath(arguments.build)
    chosen = FILE_SYSTEMS if not getattr(arguments, "fs", None) else (arguments.fs,)
    try:
        host = machine.Host(build, [os.path.join(build, name) for name in PROGRAMS], arguments.kvm, arguments.keep)
    except (machine.Trouble, OSError) as trouble:
        print("vm.sh: the machine cannot be built: %s" % trouble)
        return 1
    try:
        if arguments.command == "ci":
            outcome.say("seed %d" % arguments.seed)
            do_ci(host, outcome, arguments.seed)
        elif arguments.command == "cuts":
            outcome.say("seed %d" % arguments.seed)
            together(*[lambda fs=fs: guarded(outcome, "cuts " + fs, lambda: do_cuts(
                host, outcome, fs, arguments.count, arguments.seed, arguments.plant, arguments.processors))
                for fs in chosen])
        elif arguments.command == "limits":
            for fs in chosen:
                guarded(outcome, "limits " + fs, lambda fs=fs: outcome.say(limits.run(host, fs)))
        elif arguments.command == "test":
            disk = suite.make_disk(build, SOURCE, os.path.join(host.directory, "disk.img"))
            together(*[lambda fs=fs: guarded(outcome, "tests " + fs, lambda: do_suite(
                host, outcome, fs, disk, arguments.tests, arguments.verbose)) for fs in chosen])
        else:
            do_shell(host, chosen[0])
    finally:
        host.close()
    if outcome.failures:
        print("vm.sh: %d failed" % len(outcome.failures))
        return 1
    print("vm.sh: all passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
