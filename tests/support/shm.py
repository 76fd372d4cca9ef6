# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""A /dev/shm of our own for a test driver: what is left in it is ours, and goes away with us. As leak.h does in C."""

import glob
import os
import sys

MARK = "NVMMIO_TEST_SHM"


def private():
    """Starts this script again with a private /dev/shm, if it is root; else, or in the second start, just returns.
    NVMMIO_TEST_SHM=shared keeps the common one."""
    if os.geteuid() or os.environ.get(MARK):
        return
    os.environ[MARK] = "private"
    script = "mount --make-rprivate / && mount -t tmpfs -o mode=1777 tmpfs /dev/shm || export %s=shared; exec \"$@\""
    try:
        os.execvp("unshare", ["unshare", "-m", "sh", "-c", script % MARK, "sh", sys.executable] + sys.argv)
    except OSError:
        os.environ[MARK] = "shared"


def left_over():
    """Index objects that nobody needs any more; always empty where /dev/shm is shared with others."""
    return glob.glob("/dev/shm/nvmmio-[0-9]*-*") if os.environ.get(MARK) == "private" else []
