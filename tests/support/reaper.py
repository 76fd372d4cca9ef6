# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""Orphans of processes that a test kills come to the test itself, which can wait for them: process 1 may not reap."""

import ctypes
import os

PR_SET_CHILD_SUBREAPER = 36


def adopt():
    """From now on this process is the parent of its descendants' orphans."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def wait_group(group):
    """Waits for all of a process group, whose leader has ended."""
    while True:
        try:
            os.waitpid(-group, 0)
        except ChildProcessError:
            return
