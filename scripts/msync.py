#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""msync.py: what a store into a mapping and its sync cost, here and elsewhere; two tables.

    scripts/msync.py [--build=DIR] [--dir=DIR] [--disk=DIR] [--rounds=N]

Microseconds for a store and a sync of the whole mapping behind it, medians: failure-atomic by nvmmap and nvmsync on
emulated PM (a tmpfs, with pm:force); the kernel's mmap and msync on that tmpfs, where it does nothing, and in a directory of
a disk; and the raw limit, the same bytes stored and flushed, which is neither atomic nor asks anybody. First at random
places, where each page is a new one for all of them; then from line to line, for what the size of a mapping costs.
"""

import argparse
import statistics
import sys

import nvbench

WAYS = (("nvmmap", "nvmmap", "dir"), ("kernel, tmpfs", "mmap", "dir"), ("kernel, disk", "mmap", "disk"),
        ("raw flushes", "libpmem", "dir"))
BYTES = (64, 512, 4096)
SIZES = ("1m", "16m", "256m", "1g", "4g")
OPERATIONS = {"dir": 20000, "disk": 300}


def microseconds(options, way, order, length, size):
    _, engine, place = way
    found = []
    for _ in range(options.rounds):
        job = nvbench.run(options.build, getattr(options, place), "pm:force", f"--ioengine={engine}", f"--rw={order}",
                          f"--bs={length}", f"--size={size}", f"--number_ios={OPERATIONS[place]}", "--norandommap", "--fsync=1",
                          "--gtod_reduce=1")
        found.append(1e6 / job["write"]["iops"])
    return statistics.median(found)


def table(options, title, order, points):
    print(f"| {title} | " + " | ".join(way[0] for way in WAYS) + " |\n|---|" + "---|" * len(WAYS))
    for name, length, size in points:
        print(f"| {name} | " + " | ".join(f"{microseconds(options, way, order, length, size):.2f}" for way in WAYS) + " |",
              flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=nvbench.BUILD)
    parser.add_argument("--dir", default="/dev/shm")
    parser.add_argument("--disk", default="/var/tmp")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    table(options, "bytes changed, of a 1 GiB mapping", "randwrite", [(str(length), length, "1g") for length in BYTES])
    table(options, "mapping, 64 bytes changed", "write", [(size, 64, size) for size in SIZES])
    return 0


if __name__ == "__main__":
    sys.exit(main())
