# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""The test suite of the build directory, run in the machine on a file system on PM.

Which tests there are, and how each is run, is what ctest says; ctest itself stays outside. The guest's root is a disk with
the same files at the same places. NVMMIO_TEST_DIR leads the tests to the file system on PM; the index objects stay in
/dev/shm, as on a real machine.
"""

import glob
import json
import os
import re
import shlex
import subprocess
import time

import machine

PACKAGES = ["bash", "dash", "coreutils", "diffutils", "findutils", "grep", "sed", "mawk", "tar", "gzip", "util-linux",
            "mount", "procps", "libc-bin", "libc6", "sqlite3", "python3-minimal", "python3", "libpython3-stdlib",
            "python3.11", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "strace",
            "ndctl", "e2fsprogs", "xfsprogs"]
RESULT = re.compile(r"^nvmmio-vm: test (\S+) status (\d+) seconds (\d+)$", re.M)
OWN_TESTS = 3  # setup-pmem, sync_check twice
GUEST_TIMEOUT_FACTOR = 4  # software emulation is slow
# by name: all; what runs in CI; what cannot run here, or says nothing about PM
ALL = r"^(unit|posix|crash|stress|apps|faults)\."
CI = {"ext4": r"^unit\.test_(pm.*|log|volume.*|index|file_.*|uma_(write|life|sync|model))$",
      "xfs": r"^unit\.test_(pm.*|log|volume|file_(map|rw)|uma_(write|life))$"}
NOT_HERE = r"^(exports|preload\.symbols|crash\.explore.*|fuzz\..*|apps\.(fio|proof|kernel.*)|.*\.proof.*|bench\..*)$"


def guest_word(word):
    """The host's python may be one that the guest has not."""
    return "/usr/bin/python3" if re.search(r"/python3[.0-9]*$", word) else word


def list_tests(build, fs, wanted):
    """What ctest would run: {name, command, environment, will_fail, timeout}."""
    done = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], stdout=subprocess.PIPE, check=True)
    tests = []
    for test in json.loads(done.stdout)["tests"]:
        if not re.search(wanted, test["name"]) or re.search(NOT_HERE, test["name"]):
            continue
        if fs == "ext4" and re.search(r"^posix\..*\.far$", test["name"]):
            continue  # ext4 with DAX says EINVAL to a read beyond 16 TiB, where POSIX and others say end of file
        if "command" not in test:
            raise machine.Trouble("%s is not built" % test["name"])
        values = {p["name"]: p["value"] for p in test["properties"]}
        tests.append({"name": test["name"], "command": [guest_word(word) for word in test["command"]],
                      "will_fail": values.get("WILL_FAIL", False),
                      "environment": values.get("ENVIRONMENT", []), "timeout": int(values.get("TIMEOUT", 120)),
                      "directory": values.get("WORKING_DIRECTORY", build)})
    if not tests:
        raise machine.Trouble("no test of %s is called %s" % (build, wanted))
    return tests


def make_disk(build, source, path):
    disk = machine.Disk(path)
    disk.add_packages(PACKAGES)
    for directory in ("bin", "lib", "tests"):
        disk.add_tree(os.path.join(build, directory),
                      lambda file: not re.search(r"\.(o|a|d|cmake|ninja)$|/explore", file))
    for directory in ("tests", "scripts"):
        disk.add_tree(os.path.join(source, directory), lambda file: file.endswith((".py", ".sh")))
    for library in glob.glob("/usr/lib/x86_64-linux-gnu/libjemalloc.so*"):
        disk.add(library)
    for program in ("strace", "awk", "setarch", "unshare"):
        found = subprocess.run(["which", program], stdout=subprocess.PIPE, check=False).stdout.decode().strip()
        if found:
            disk.add(found)
            disk.add(os.path.realpath(found))
    return disk.finish()


def test_lines(test):
    """The shell lines that run one test in the guest."""
    name = test["name"]
    limit = test["timeout"] * GUEST_TIMEOUT_FACTOR
    command = "env %s timeout -k 5 %d %s" % (" ".join(shlex.quote(v) for v in test["environment"]), limit,
                                            " ".join(shlex.quote(word) for word in test["command"]))
    wrong = "[ $status -ne 0 ] && status=0 || status=1\n" if test["will_fail"] else ""
    return """start=$(cut -d. -f1 /proc/uptime)
mkdir -p %s; cd %s
%s >/tmp/output 2>&1 </dev/null
status=$?
%s[ $status -eq 0 ] || tail -n 60 /tmp/output
echo "nvmmio-vm: test %s status $status seconds $(($(cut -d. -f1 /proc/uptime) - start))"
""" % (shlex.quote(test["directory"]), shlex.quote(test["directory"]), command, wrong, name)


# The file system is made as on a real host, by scripts/setup-pmem.sh, which first shows that it destroys nothing unasked.
SETUP = """export PATH=/usr/bin:/usr/sbin:/bin:/sbin
setup=%(script)s
expect() { # expect STATUS WORDS...: that of the last run of setup-pmem.sh, and what it said
    grep -q "$2" /tmp/setup && [ $status -eq $1 ] && return
    cat /tmp/setup
    echo "nvmmio-vm: setup-pmem.sh: status $status, wanted $1 and: $2"
    exit 1
}
run() { "$setup" --fs %(fs)s --mount /mnt "$@" >/tmp/setup 2>&1; status=$?; }
run -n; expect 0 "^mount -t"; [ -z "$(grep ' /mnt ' /proc/mounts)" ] || exit 1
run; expect 0 "MAP_SYNC works"
run --force; expect 1 "is mounted on /mnt"
umount /mnt; run; expect 1 "has something on it"
run --force; expect 0 "MAP_SYNC works"
echo "nvmmio-vm: test setup-pmem status 0 seconds 0"
"""


def job(source, fs, tests, sync_check):
    """Two scripts: the outer one makes the file system and enters the disk's root, the inner one runs the tests."""
    outer = """. /bin/guest_mount.sh
[ %(fs)s = ext4 ] || load_xfs
mkdir /disk
mount -t ext4 /dev/vda /disk || exit 1
for place in proc sys dev dev/shm dev/pts; do mount --bind /$place /disk/$place || exit 1; done
cp /job/tests /disk/run/tests
chroot /disk /bin/sh /run/tests || exit 1
ls -A /dev/shm | sed 's/^/nvmmio-vm: left in \\/dev\\/shm: /'
umount /disk/mnt || exit 1
await_pm
check_fs %(fs)s
""" % {"fs": fs}
    inner = SETUP % {"fs": fs, "script": os.path.join(source, "scripts/setup-pmem.sh")} + """export NVMMIO_TEST_DIR=/mnt HOME=/root
export PYTHONDONTWRITEBYTECODE=1
ulimit -n 65536
for program in %(nv)s "env LD_PRELOAD=%(preload)s %(kernel)s"; do
    NVMMIO_ROOT=/mnt $program /mnt sync
    echo "nvmmio-vm: test sync_check status $? seconds 0"
done
""" % sync_check
    inner += "".join(test_lines(test) for test in tests)
    return {"run": outer, "tests": inner}


def run(host, source, fs, disk, tests, processors=2, seconds=1800):
    """Runs the tests; (passed, failed names, report text)."""
    sync_check = {"nv": host.build + "/bin/sync_check_nv", "kernel": host.build + "/bin/sync_check_kernel",
                  "preload": host.build + "/lib/libnvmmio_preload.so"}
    started = time.monotonic()
    boot = host.boot(host.image("suite-%s.img" % fs), job(source, fs, tests, sync_check), "suite-" + fs, processors=processors,
                     disk=disk)
    console = boot.wait(seconds)
    results = RESULT.findall(console)
    failed = [name for name, status, _ in results if status != "0"]
    missing = len(tests) + OWN_TESTS - len(results)
    broken = machine.trouble_in(console)
    if missing:
        failed.append("%d tests did not end" % missing)
    if broken:
        failed.append(broken)
    text = "%s: %d of %d tests passed on %s with MAP_SYNC (%d s)" % (
        fs, len(results) - len([1 for _, status, _ in results if status != "0"]), len(tests) + OWN_TESTS, fs,
        time.monotonic() - started)
    return failed, text, console
