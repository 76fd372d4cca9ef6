# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""Ends of space on real DAX: a user at his quota, and a full file system. What is to be seen then is in limit_check.c."""

import re

import machine

PROGRAMS = ["bin/limit_check_nv", "bin/limit_check_kernel"]
USER = 65534
ROOM_MIB = 24  # of the user
RESULT = re.compile(r"^nvmmio-vm: limits (\S+) status (\d+)$", re.M)
VARIANTS = {"kernel": "limit_check_kernel", "api": "limit_check_nv",
            "preload": "env LD_PRELOAD=/lib/libnvmmio_preload.so limit_check_kernel"}

JOB = """. /bin/guest_mount.sh
make_namespace && await_pm || exit 1
load_list quota
bad=0
try() { # try ERROR: all variants
    for variant in %(variants)s; do
        case $variant in
        %(cases)s
        esac
        status=$?
        echo "nvmmio-vm: limits $1.$variant status $status"
        [ $status -eq 0 ] || bad=1
    done
    umount /mnt && check_fs %(fs)s || bad=1
}
export NVMMIO_ROOT=/mnt
make_fs_quota %(fs)s && mount_fs %(fs)s dax=always,usrquota && chmod 1777 /mnt || exit 1
limit_check_kernel quota "$pm_device" %(user)d %(room)d || exit 1
try EDQUOT
make_fs %(fs)s && mount_fs %(fs)s && chmod 1777 /mnt || exit 1
free=$(df -m /mnt | tail -n 1 | awk '{ print $4 }')
fallocate -l $(((free - %(room)d) * 1048576)) /mnt/ballast || exit 1
try ENOSPC
exit $bad
"""


def run(host, fs, seconds=1500):
    """All variants on one file system, by quota and by size: text for the report."""
    cases = "\n        ".join("%s) %s run /mnt %d $1 ;;" % (name, command, USER) for name, command in VARIANTS.items())
    job = JOB % {"fs": fs, "user": USER, "room": ROOM_MIB, "variants": " ".join(VARIANTS), "cases": cases}
    console = host.boot(host.image("limits-%s.img" % fs), {"run": job}, "limits-" + fs).wait(seconds)
    results = RESULT.findall(console)
    failed = [name for name, status in results if status != "0"]
    broken = machine.trouble_in(console)
    if failed or broken or len(results) != 2 * len(VARIANTS):
        raise machine.Trouble("%s, of %d: %s; console:\n%s" % (failed, len(results), broken, console[-6000:]))
    return "%s: a quota and a full file system are met as by the kernel: %s" % (fs, " ".join(name for name, _ in results))
