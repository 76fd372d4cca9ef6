# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""nvbench.py: one run of nvbench in a directory of its own. For policy.py and msync.py."""

import json
import os
import shutil
import subprocess
import tempfile

BUILD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build/release")


def run(build, parent, conf, *arguments):
    """The job of a run with these arguments, as nvbench's JSON has it. Its root is a new directory in `parent`."""
    root = tempfile.mkdtemp(prefix="nvmmio-bench-", dir=parent)
    env = dict(os.environ, NVMMIO_ROOT=root, NVMMIO_CONF=conf)
    command = [os.path.join(build, "bin/nvbench"), f"--directory={root}", "--output-format=json", *arguments, "--name=job"]
    try:
        return json.loads(subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True).stdout)["jobs"][0]
    finally:
        shutil.rmtree(root)
