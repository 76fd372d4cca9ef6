#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""policy.py: policy:redo, undo and hybrid side by side, over shares of reads; a table, and a plot as SVG.

    scripts/policy.py [--build=DIR] [--dir=DIR] [--rounds=N] [--plot=FILE]

Random 4 KiB operations of nvbench by the API, an fsync after 32 writes, on emulated PM (a tmpfs, with pm:force). Three
cases: a file that is written over many times; a large one in a single pass, all of it first touches; and a large one with a
log of an eighth of it, where each first touch waits for write-back. The three policies of a point run in turn, each one first
as often as the others; medians. What is shown: undo / redo, and hybrid / the better of the two.
"""

import argparse
import statistics
import sys

import nvbench

POLICIES = ("redo", "undo", "hybrid")
MIXES = (0, 10, 30, 50, 70, 90, 100)
CASES = (
    ("small file, written over", "16m", "256m", ""),
    ("large file, one pass", "256m", "256m", ""),
    ("large file, full log", "256m", "512m", ",log_max:32M"),
)
COLOURS = {"redo": "#1f77b4", "undo": "#d62728", "hybrid": "#2ca02c"}


def operations(options, policy, mix, size, amount, more):
    """Operations per second of one run."""
    job = nvbench.run(options.build, options.dir, f"pm:force,policy:{policy}{more}", "--ioengine=nvmmio", "--rw=randrw",
                      f"--rwmixread={mix}", "--bs=4k", f"--size={size}", f"--io_size={amount}", "--fsync=32",
                      "--gtod_reduce=1")
    return job["read"]["iops"] + job["write"]["iops"]


def measure(options, mix, size, amount, more):
    """The median of each policy."""
    found = {policy: [] for policy in POLICIES}
    for number in range(options.rounds):
        first = number % len(POLICIES)
        for policy in POLICIES[first:] + POLICIES[:first]:
            found[policy].append(operations(options, policy, mix, size, amount, more))
    return {policy: statistics.median(found[policy]) for policy in POLICIES}


def draw(results, path):
    """One panel a case: millions of operations a second over the share of reads."""
    width, height, left, top, gap = 260, 200, 60, 40, 60
    total = left + len(results) * (width + gap)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{height + 2 * top + 20}" '
           'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>']
    for number, (name, points) in enumerate(results):
        x0, most = left + number * (width + gap), max(max(p.values()) for p in points.values()) * 1.05
        svg.append(f'<text x="{x0}" y="{top - 12}" font-size="13">{name}</text>'
                   f'<path d="M{x0} {top}v{height}h{width}" fill="none" stroke="black"/>'
                   f'<text x="{x0}" y="{top + height + 32}">reads, percent; millions of operations a second</text>')
        for tick in range(5):
            y = top + height - tick * height / 4
            svg.append(f'<text x="{x0 - 6}" y="{y + 4:.0f}" text-anchor="end">{tick * most / 4e6:.2f}</text>')
        for mix in points:
            svg.append(f'<text x="{x0 + mix * width / 100:.0f}" y="{top + height + 16}" '
                       f'text-anchor="middle">{mix}</text>')
        for place, policy in enumerate(POLICIES):
            line = " ".join(f"{x0 + mix * width / 100:.1f},{top + height - p[policy] / most * height:.1f}"
                            for mix, p in points.items())
            svg.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[policy]}" stroke-width="2"/>'
                       f'<text x="{x0 + 10}" y="{top + 14 * (place + 1)}" fill="{COLOURS[policy]}">{policy}</text>')
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(svg + ["</svg>"]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", default=nvbench.BUILD)
    parser.add_argument("--dir", default="/dev/shm")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--plot")
    options = parser.parse_args()
    results, worst = [], 1.0
    print("| case | reads | redo | undo | hybrid | undo / redo | hybrid / better |\n|---|---|---|---|---|---|---|")
    for name, size, amount, more in CASES:
        points = {}
        for mix in MIXES:
            points[mix] = p = measure(options, mix, size, amount, more)
            share = p["hybrid"] / max(p["redo"], p["undo"])
            worst = min(worst, share)
            print(f"| {name} | {mix}% | " + " | ".join(f"{p[x] / 1e6:.3f}" for x in POLICIES) +
                  f" | {p['undo'] / p['redo']:.2f} | {share:.2f} |", flush=True)
        results.append((name, points))
    print(f"\nMillions of operations a second. hybrid is at least {worst:.3f} of the better fixed policy.")
    if options.plot:
        draw(results, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
