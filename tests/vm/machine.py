# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
"""The virtual machine: Debian's cloud kernel in qemu, software emulation, with an NVDIMM that is a file of the host.

What the guest stores to the NVDIMM is in the host's page cache at once and outlives qemu; the guest's memory, its page
cache and journals included, does not. So SIGKILL of qemu is a power cut, but for what the CPU's caches would lose.

All of the guest is in one initramfs: busybox, the tools of the file systems, the test programs with their libraries. What
differs from boot to boot, the job, is a second archive behind it. A larger root for tests that need python or a shell is
a disk image (Disk). Acknowledgements leave by debug ports: a byte that the guest has put out is in a file of the host.
"""

import ctypes
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
NVDIMM_BYTES = 512 * MIB  # mkfs.xfs wants 300 MiB
MEMORY_BYTES = 768 * MIB
PORT_FIRST = 0x8E0  # debug ports: nothing else of the machine is there
PORTS = 9
KERNEL_PACKAGE = "linux-image-cloud-amd64"
# in the order in which they are loaded
MODULES_PM = ["libnvdimm", "nd_btt", "nd_pmem", "nfit"]
MODULES_XFS = ["libcrc32c", "xfs"]
MODULES_QUOTA = ["quota_tree", "quota_v2"]
MODULES_DISK = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"]
COMMAND_LINE = ("console=ttyS0,115200 quiet panic=-1 mitigations=off "  # the rest: to boot a little sooner
                "no_timer_check nokaslr noreplace-smp swiotlb=noforce audit=0 apparmor=0 ipv6.disable=1")
GUEST_TOOLS = ["ndctl", "mkfs.ext4", "e2fsck", "mkfs.xfs", "xfs_repair"]
# Console lines that fail a run, whatever the job says.
KERNEL_TROUBLE = re.compile(r"BUG:|Oops|Kernel panic|Call Trace|EXT4-fs (error|warning)|XFS.*(orrupt|rror)|I/O error|"
                            r"Out of memory|hung_task|soft lockup")
PR_SET_PDEATHSIG = 1


class Trouble(Exception):
    """The machine cannot be built or does not do what it must."""


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode:
        raise Trouble("%s: status %d\n%s" % (" ".join(command), done.returncode,
                                             done.stdout.decode(errors="replace")[-3000:]))
    return done.stdout.decode(errors="replace")


def die_with_parent():
    """In the child: killed when this process ends, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# ---- kernel ----

def fetch_kernel(directory):
    """Debian's cloud kernel, unpacked below `directory` and not installed: (image, directory of modules)."""
    unpacked = os.path.join(directory, "kernel")
    mark = os.path.join(unpacked, "complete")
    if not os.path.exists(mark):
        shutil.rmtree(unpacked, ignore_errors=True)
        os.makedirs(unpacked)
        find = lambda: re.search(r"Depends: (linux-image-\S+)", run(["apt-cache", "depends", KERNEL_PACKAGE]))  # noqa: E731
        try:
            package = find()
        except Trouble:  # no lists yet
            run(["apt-get", "update"])
            package = find()
        if not package:
            raise Trouble("%s names no kernel package" % KERNEL_PACKAGE)
        run(["apt-get", "download", package.group(1)], cwd=unpacked)
        archives = [name for name in os.listdir(unpacked) if name.endswith(".deb")]
        run(["dpkg", "-x", archives[0], unpacked], cwd=unpacked)
        os.unlink(os.path.join(unpacked, archives[0]))
        open(mark, "w", encoding="ascii").close()
    boot = os.path.join(unpacked, "boot")
    images = [name for name in os.listdir(boot) if name.startswith("vmlinuz-")]
    modules = os.path.join(unpacked, "lib", "modules", images[0][len("vmlinuz-"):], "kernel")
    return unpack_kernel(os.path.join(boot, images[0])), modules


def unpack_kernel(image):
    """The ELF file in a bzImage, which boots a second sooner; the bzImage itself where it is packed otherwise."""
    elf = os.path.join(os.path.dirname(image), "vmlinux")
    if os.path.exists(elf):
        return elf
    with open(image, "rb") as f:
        data = f.read()
    sectors = data[0x1F1] or 4
    word = lambda at: int.from_bytes(data[at:at + 4], "little")  # noqa: E731 (the boot protocol's header)
    start = (sectors + 1) * 512 + word(0x248)
    payload = data[start:start + word(0x24C)]
    if payload[:4] != b"\x02\x21\x4c\x18" or not shutil.which("lz4"):
        return image
    done = subprocess.run(["lz4", "-dc"], input=payload[:-4], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if done.stdout[:4] != b"\x7fELF":
        return image
    with open(elf + ".new", "wb") as f:
        f.write(done.stdout)
    os.rename(elf + ".new", elf)
    return elf


# ---- files for the guest ----

def linked_libraries(path):
    done = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return re.findall(r"(/\S+)(?: \(0x)", done.stdout.decode())


def needed_libraries(path):
    """Those that it is linked with, and libpmem, which the project's loads itself where a volume is on PM."""
    needed = linked_libraries(path)
    if path.startswith(("/lib", "/usr", "/bin", "/sbin")):
        return needed
    known = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, check=False).stdout.decode()
    pmem = re.findall(r"libpmem\.so\.1 .*=> (/\S+)", known)[:1]
    return needed + pmem + [library for one in pmem for library in linked_libraries(one)]


class Archive:
    """A cpio archive (newc), made here: no tool, no owner but root."""

    def __init__(self):
        self.parts = []
        self.names = set()

    def _entry(self, name, mode, data=b""):
        name = name.strip("/")
        if name in self.names:
            return
        parent = os.path.dirname(name)
        if parent:
            self.directory(parent)
        self.names.add(name)
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (len(self.names), mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.parts.append(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def directory(self, name):
        self._entry(name, stat.S_IFDIR | 0o755)

    def text(self, name, data, mode=0o755):
        self._entry(name, stat.S_IFREG | mode, data.encode())

    def link(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def file(self, source, name=None):
        with open(source, "rb") as f:
            self._entry(name or source, stat.S_IFREG | 0o755, f.read())

    def program(self, source, name=None):
        """A program or library with all the libraries it needs: the system's at their places, the project's in /lib."""
        self.file(source, name)
        for library in needed_libraries(source):
            system = library.startswith(("/lib", "/usr/lib"))
            self.file(library, library if system else "lib/" + os.path.basename(library))

    def bytes(self):
        end = Archive()
        end._entry("TRAILER!!!", 0)
        return b"".join(self.parts + end.parts)


def guest_archive(modules, programs):
    """The initramfs: tools, modules, /init, and `programs` of the project as /bin/NAME."""
    archive = Archive()
    for name in ("proc", "sys", "dev", "tmp", "mnt", "root", "job"):
        archive.directory(name)
    archive.file("/bin/busybox", "bin/busybox")
    for tool in GUEST_TOOLS:
        path = shutil.which(tool) or shutil.which(tool, path="/sbin:/usr/sbin")
        if not path:
            raise Trouble(tool + " is not installed")
        archive.program(path, "bin/" + tool)
    for program in programs:
        archive.program(program, ("lib/" if ".so" in program else "bin/") + os.path.basename(program))
    files = {}
    for directory, _, names in os.walk(modules):
        files.update({name: os.path.join(directory, name) for name in names})
    for module in MODULES_PM + MODULES_XFS + MODULES_QUOTA + MODULES_DISK:
        if module + ".ko" not in files:
            raise Trouble("the kernel has no module " + module)
        archive.file(files[module + ".ko"], "modules/%s.ko" % module)
    for kind, order in (("pm", MODULES_PM), ("xfs", MODULES_XFS), ("quota", MODULES_QUOTA), ("disk", MODULES_DISK)):
        archive.text("modules/" + kind, "".join("%s\n" % module for module in order))
    archive.file(os.path.join(HERE, "guest_init.sh"), "init")
    archive.file(os.path.join(HERE, "guest_mount.sh"), "bin/guest_mount.sh")
    return archive.bytes()


def job_archive(files):
    archive = Archive()
    for name, text in files.items():
        archive.text("job/" + name, text)
    return archive.bytes()


# ---- the machine ----

class Host:
    """What all boots share: kernel, initramfs, and a directory for images and consoles that goes away at the end."""

    def __init__(self, build, programs, kvm=False, keep=None):
        self.build = build
        self.kvm = kvm
        self.keep = keep
        cache = os.path.join(build, "vm")
        os.makedirs(cache, exist_ok=True)
        self.kernel, self.modules = fetch_kernel(cache)
        self.directory = tempfile.mkdtemp(prefix="nvmmio-vm-", dir=self._roomy())
        self.archive = guest_archive(self.modules, programs)

    def _roomy(self):
        """Memory, if there is enough of it: an image on a disk would be written there all the time."""
        try:
            shm = os.statvfs("/dev/shm")
            if shm.f_bavail * shm.f_bsize > 4 * NVDIMM_BYTES:
                return "/dev/shm"
        except OSError:
            pass
        return self.build

    def close(self):
        if self.keep:
            shutil.copytree(self.directory, self.keep, dirs_exist_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def image(self, name, size=NVDIMM_BYTES):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as f:
            f.truncate(size)
        return path

    def copy_image(self, image, name):
        path = os.path.join(self.directory, name)
        run(["cp", "--sparse=always", image, path])
        return path

    def boot(self, image, files, name, **options):
        return Boot(self, image, files, name, **options)


class Boot:
    """One running machine. `files` are put into /job; /job/run is what the guest runs. `other` is the image of a second
    NVDIMM: the kernel finds it first, so that the main one has another device number."""

    def __init__(self, host, image, files, name, processors=1, disk=None, other=None, interactive=False):
        base = os.path.join(host.directory, name)
        self.console_path = base + ".console"
        self.port_paths = [base + ".port%d" % i for i in range(PORTS)]
        self.initrd = base + ".initrd"
        with open(self.initrd, "wb") as f:
            f.write(host.archive + job_archive(files))
        images = [image] + ([other] if other else [])
        accel = ["-accel", "kvm", "-cpu", "host"] if host.kvm else ["-accel", "tcg,thread=multi", "-cpu", "max"]
        command = ["qemu-system-x86_64", *accel, "-smp", str(processors), "-machine", "pc,nvdimm=on",
                   "-m", "%dM,slots=4,maxmem=4G" % (MEMORY_BYTES // MIB),
                   "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                   "-kernel", host.kernel, "-initrd", self.initrd,
                   "-append", COMMAND_LINE + (" nvmmio.disk" if disk else "")]
        for i, path in enumerate(images):
            command += ["-object", "memory-backend-file,id=pm%d,share=on,mem-path=%s,size=%d" %
                        (i, path, os.path.getsize(path)), "-device", "nvdimm,memdev=pm%d" % i]
        if interactive:
            command += ["-serial", "mon:stdio"]
        else:
            command += ["-serial", "file:" + self.console_path]
        if disk:
            command += ["-drive", "if=virtio,format=raw,snapshot=on,file=" + disk]
        open(self.console_path, "wb").close()
        for i, path in enumerate(self.port_paths):
            open(path, "wb").close()
            command += ["-chardev", "file,id=port%d,path=%s" % (i, path),
                        "-device", "isa-debugcon,iobase=%#x,chardev=port%d" % (PORT_FIRST + i, i)]
        self.started = time.monotonic()
        stdin = None if interactive else subprocess.DEVNULL
        output = None if interactive else open(base + ".qemu", "wb")  # noqa: SIM115 (closed below)
        self.process = subprocess.Popen(command, stdin=stdin, stdout=output, stderr=output, preexec_fn=die_with_parent)
        self.qemu_log = base + ".qemu"
        if output:
            output.close()

    def kill(self):
        """The power goes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if os.path.exists(self.initrd):
            os.unlink(self.initrd)

    def console(self):
        try:
            with open(self.console_path, "rb") as f:
                return f.read().decode(errors="replace").replace("\r", "")
        except OSError:
            return ""

    def port(self, number):
        with open(self.port_paths[number], "rb") as f:
            return f.read().decode(errors="replace")

    def is_up(self):
        return self.process.poll() is None

    def wait(self, seconds):
        """Until the guest has powered itself off. Its console."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Trouble("the guest did not end within %d s; its console:\n%s" % (seconds, self.console()[-4000:])) from None
        text = self.console()
        self.kill()
        if "nvmmio-vm: job 0" not in text:
            with open(self.qemu_log, "rb") as f:
                complaint = f.read().decode(errors="replace")
            raise Trouble("the guest's job failed; qemu: %s; its console:\n%s" % (complaint, text[-6000:]))
        return text


def trouble_in(console):
    """The first line of a console that tells of a broken kernel or file system, or None."""
    for line in console.splitlines():
        if KERNEL_TROUBLE.search(line):
            return line
    return None


# ---- a root for larger tests ----

class Disk:
    """An ext4 image of a tree of the host's files: packages, programs, the project's tests."""

    def __init__(self, path):
        self.path = path
        self.stage = tempfile.mkdtemp(prefix="stage-", dir=os.path.dirname(path))
        for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "proc", "sys", "dev", "tmp", "mnt", "root", "etc",
                     "job", "run"):
            os.makedirs(os.path.join(self.stage, name))
        for name in ("bin", "sbin", "lib", "lib64"):
            os.symlink("usr/" + name, os.path.join(self.stage, name))
        for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"),
                           ("group", "root:x:0:\nnogroup:x:65534:\n"), ("hosts", "127.0.0.1 localhost\n")):
            with open(os.path.join(self.stage, "etc", name), "w", encoding="ascii") as f:
                f.write(text)

    def add(self, path, libraries=True):
        """One file (or link) of the host, at the same place, with the libraries it needs."""
        place = os.path.normpath(self.stage + os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path))
        if os.path.lexists(place) or not os.path.lexists(path):
            return
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), place)
            self.add(os.path.join(os.path.dirname(path), os.readlink(path)), libraries)
            return
        shutil.copy2(path, place)
        with open(path, "rb") as f:
            elf = f.read(4) == b"\x7fELF"
        if elf and libraries:
            for library in needed_libraries(path):
                self.add(library, False)

    def add_tree(self, directory, wanted=lambda path: True):
        for parent, folders, names in os.walk(directory):
            folders[:] = [name for name in folders if name not in ("__pycache__", ".git", "CMakeFiles")]
            for name in names:
                path = os.path.join(parent, name)
                if wanted(path) and (os.path.islink(path) or os.path.isfile(path)):
                    self.add(path)

    def add_packages(self, packages):
        for package in packages:
            for path in run(["dpkg", "-L", package]).split("\n"):
                if not path or "/share/doc/" in path or "/share/man/" in path or "/share/locale/" in path:
                    continue
                if os.path.isfile(path) or os.path.islink(path):
                    self.add(path)

    def finish(self):
        size = int(run(["du", "-sm", self.stage]).split()[0])
        with open(self.path, "wb") as f:
            f.truncate((size + size // 8 + 16) * MIB)
        run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", self.stage, self.path])
        shutil.rmtree(self.stage)
        return self.path
