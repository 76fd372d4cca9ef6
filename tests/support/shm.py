# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""A /dev/shm of our own for a test driver: what is left in it is ours, and goes away with us. As leak.h does in C."""

import glob
import os
import shutil
import subprocess
import sys

MARK = "NVMMIO_TEST_SHM"


def private():
    """Starts this script again with a private /dev/shm, if it is root and may; else, or in the second start, just
    returns. NVMMIO_TEST_SHM=shared keeps the common one."""
    if os.geteuid() or os.environ.get(MARK):
        return
    enclose = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec \"$@\"", "sh"]
    may = shutil.which("unshare") and subprocess.run(enclose + ["true"], stderr=subprocess.DEVNULL).returncode == 0
    os.environ[MARK] = "private" if may else "shared"
    if may:
        os.execvp(enclose[0], enclose + [sys.executable] + sys.argv)


def left_over():
    """Index objects that nobody needs any more; always empty where /dev/shm is shared with others."""
    return glob.glob("/dev/shm/nvmmio-[0-9]*-*") if os.environ.get(MARK) == "private" else []
