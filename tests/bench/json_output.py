#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""The JSON of nvbench is JSON, has fio's keys, and its numbers agree with each other and with what was asked.

Usage: NVBENCH=... json_output.py
"""

import json
import os
import subprocess
import tempfile

NVBENCH = os.environ["NVBENCH"]
PERCENTILES = ["%f" % p for p in (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)]


def run(directory, *options):
    out = subprocess.run([NVBENCH, "--output-format=json", "--directory=" + directory, *options],
                         check=True, stdout=subprocess.PIPE).stdout
    return json.loads(out)


def near(a, b, share):
    return abs(a - b) <= share * max(abs(a), abs(b))


def check_latency(latency, count):
    assert latency["N"] == count
    if count == 0:
        assert latency["min"] == latency["max"] == 0
        return
    values = [latency["percentile"][p] for p in PERCENTILES]
    assert len(latency["percentile"]) == len(PERCENTILES)
    assert values == sorted(values)
    assert latency["min"] <= values[0] and values[-1] <= latency["max"]
    assert latency["min"] <= latency["mean"] <= latency["max"]
    assert latency["stddev"] <= latency["max"] - latency["min"]


def check_direction(direction, count, size):
    assert direction["total_ios"] == count
    assert direction["io_bytes"] == size
    assert direction["io_kbytes"] == size // 1024
    assert direction["short_ios"] == 0
    check_latency(direction["clat_ns"], count)
    check_latency(direction["lat_ns"], count)
    if count:
        assert near(direction["bw_bytes"], direction["iops"] * size / count, 0.001)
        assert near(direction["bw"], direction["bw_bytes"] / 1024, 0.001)
        assert direction["runtime"] == 0 or near(count / direction["iops"] * 1000, direction["runtime"] + 0.5,
                                                 0.51 / (direction["runtime"] + 0.5) + 0.001)
        # All latencies of one job fit into its runtime.
        assert direction["clat_ns"]["mean"] * count <= count / direction["iops"] * 1e9


def main():
    with tempfile.TemporaryDirectory(prefix="nvbench-test.", dir="/dev/shm") as directory:
        result = run(directory, "--name=w", "--rw=randwrite", "--bs=4k", "--size=4m", "--fsync=8", "--verify=crc32c")
        assert len(result["jobs"]) == 1
        job = result["jobs"][0]
        assert job["jobname"] == "w" and job["error"] == 0 and job["groupid"] == 0
        check_direction(job["write"], 1024, 4 << 20)
        check_direction(job["read"], 0, 0)
        assert job["sync"]["total_ios"] == 128
        check_latency(job["sync"]["lat_ns"], 128)
        assert job["verify"] == {"checked": 1024, "errors": 0}
        assert 0 <= job["usr_cpu"] <= 110 and 0 <= job["sys_cpu"] <= 110

        for thread in "01":
            result = run(directory, "--name=m", "--rw=randrw", "--bs=4k", "--size=4m", "--numjobs=3",
                         "--thread=" + thread)
            assert len(result["jobs"]) == 3
            for job in result["jobs"]:
                reads, writes = job["read"]["total_ios"], job["write"]["total_ios"]
                assert reads + writes == 1024 and 400 < reads < 624
                check_direction(job["read"], reads, reads * 4096)
                check_direction(job["write"], writes, writes * 4096)
            grouped = run(directory, "--name=m", "--rw=randrw", "--bs=4k", "--size=4m", "--numjobs=3",
                          "--thread=" + thread, "--group_reporting")
            # The same seed: the same operations.
            assert len(grouped["jobs"]) == 1
            for direction in "read", "write":
                assert grouped["jobs"][0][direction]["total_ios"] == sum(
                    job[direction]["total_ios"] for job in result["jobs"])

        result = run(directory, "--size=1m", "--name=a\"b\\c", "--rw=read", "--name=d", "--stonewall", "--rw=write")
        assert [job["jobname"] for job in result["jobs"]] == ["a\"b\\c", "d"]
        assert [job["groupid"] for job in result["jobs"]] == [0, 1]
    print("ok")


if __name__ == "__main__":
    main()
