#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# setup-pmem.sh — makes a file system for nvmmio on persistent memory: an fsdax namespace, ext4 or XFS on it, mounted with
# dax=always, and checks that MAP_SYNC works there. For a host with PM, or with memory set aside as PM.
#
#   scripts/setup-pmem.sh -n                        only says what it would do
#   scripts/setup-pmem.sh                           does it, where nothing is there yet
#   scripts/setup-pmem.sh --force                   destroys what is on the namespace
#       --fs ext4|xfs          which file system (default: ext4)
#       --mount DIR            where it is mounted (default: /mnt/pmem)
#       --namespace NAME       which namespace, as `ndctl list -Ni` calls it (default: the only one)
#
# Each command is printed before it is run. It never touches what is mounted or in use, and without --force neither what
# has a file system or another signature on it nor a namespace of another mode. Memory as PM, for trying things out: boot
# with memmap=SIZE!START, such as memmap=4G!8G, START being usable memory; its contents do not outlive a power cut.

set -u

fs=ext4
mount=/mnt/pmem
namespace=
force=no
dry=no

die() {
    echo "setup-pmem.sh: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    -n) dry=yes ;;
    --force) force=yes ;;
    --fs | --mount | --namespace)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --fs) fs=$2 ;;
        --mount) mount=$2 ;;
        *) namespace=$2 ;;
        esac
        shift
        ;;
    *) die "unknown argument $1; the head of this script is its manual" ;;
    esac
    shift
done
case $fs in
ext4 | xfs) ;;
*) die "--fs is ext4 or xfs, not $fs" ;;
esac

do_it() { # do_it WHY COMMAND...: says why and what, then does it
    echo "# $1"
    shift
    echo "$*"
    [ "$dry" = yes ] && return 0
    "$@" || die "that failed"
}

field() { # field NAME: of the namespace, as ndctl tells it
    ndctl list -N -i -n "$namespace" | sed -n 's/^ *"'"$1"'":"\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/p' | head -n 1
}

for program in ndctl python3 blkid "mkfs.$fs"; do
    command -v "$program" >/dev/null || die "$program is not installed (apt-get install ndctl e2fsprogs xfsprogs python3)"
done
[ "$(id -u)" -eq 0 ] || [ "$dry" = yes ] || die "must be run as root"

# ---- which namespace ----

if [ -z "$namespace" ]; then
    all=$(ndctl list -N -i | sed -n 's/^ *"dev":"\([^"]*\)",\{0,1\}$/\1/p')
    # shellcheck disable=SC2086
    set -- $all
    [ $# -gt 0 ] || die "no persistent memory here: no region has a namespace (see \`ndctl list -R\`; memory as PM: the" \
        "head of this script)"
    [ $# -eq 1 ] || die "several namespaces, choose one with --namespace:" "$@"
    namespace=$1
fi
mode=$(field mode)
[ -n "$mode" ] || die "no namespace is called $namespace"
device=$(field blockdev)
echo "# namespace $namespace: mode $mode, device ${device:-none}, $(field size) bytes"

# ---- what is there ----

holds=
if [ -n "$device" ] && [ -b "/dev/$device" ]; then
    grep -q "^/dev/$device " /proc/mounts && die "/dev/$device is mounted on" \
        "$(sed -n "s|^/dev/$device \([^ ]*\) .*|\1|p" /proc/mounts | head -n 1)"
    [ -z "$(ls -A "/sys/class/block/$device/holders" 2>/dev/null)" ] || die "/dev/$device is in use by another device"
    holds=$(blkid -p -o value -s TYPE -s PTTYPE "/dev/$device" 2>/dev/null)
fi
if [ "$force" = no ] && [ -n "$holds" ]; then
    die "/dev/$device has something on it ($holds); --force destroys it"
fi
if [ "$force" = no ] && [ "$mode" = devdax ]; then
    die "the namespace is given to programs as it is (devdax), who knows what is in it; --force makes it fsdax"
fi
if mountpoint -q "$mount" 2>/dev/null; then
    die "something is mounted on $mount already"
fi

# ---- doing it ----

if [ "$mode" != fsdax ]; then
    [ "$force" = yes ] || [ "$mode" = raw ] || die "mode $mode is not fsdax; --force destroys what is there"
    do_it "a namespace for DAX file systems; its struct pages in memory" \
        ndctl create-namespace -f -e "$namespace" --mode=fsdax --map=mem
    if [ "$dry" = no ]; then
        device=$(field blockdev)
        [ -n "$device" ] || die "ndctl made no device for $namespace"
    fi
fi
path=/dev/${device:-pmem0}
if [ "$dry" = no ]; then
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -b "$path" ] && break
        sleep 0.2
    done
    [ -b "$path" ] || die "$path did not appear"
fi
case $fs in
ext4)
    do_it "ext4 with blocks of a page, which DAX needs, and extents that fit huge pages" \
        mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512 "$path"
    ;;
xfs)
    stripe=
    [ "$(field size)" -lt $((4 << 30)) ] || stripe="-d su=2m,sw=1" # the log of a small one would not fit
    # shellcheck disable=SC2086
    do_it "XFS without shared extents, which exclude DAX on older kernels; if large, with extents that fit huge pages" \
        mkfs.xfs -q -f -m reflink=0 $stripe "$path"
    ;;
esac
do_it "where it will be" mkdir -p "$mount"
do_it "every file with DAX" mount -t "$fs" -o dax=always "$path" "$mount"
if [ "$dry" = yes ]; then
    echo "# then: is MAP_SYNC granted below $mount?"
    exit 0
fi

# ---- checking it ----

grants_sync() { # grants_sync DIRECTORY: does a file there get a MAP_SYNC mapping that the kernel calls one?
    python3 - "$1" <<'PYTHON'
import mmap, os, sys
MAP_SHARED_VALIDATE, MAP_SYNC, BYTES = 0x03, 0x80000, 4096
path = os.path.join(sys.argv[1], ".setup-pmem.%d" % os.getpid())
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
os.unlink(path)
os.posix_fallocate(fd, 0, BYTES)
try:
    mapped = mmap.mmap(fd, BYTES, flags=MAP_SHARED_VALIDATE | MAP_SYNC)
except OSError as error:
    sys.exit("no MAP_SYNC: %s" % error)
mapped[0:4] = b"sync"
inside = False
for line in open("/proc/self/smaps"):
    if path in line:
        inside = True
    elif inside and line.startswith("VmFlags:"):
        sys.exit(0 if " sf" in line else "the mapping is no MAP_SYNC one")
sys.exit("the mapping was not found")
PYTHON
}

if grants_sync /dev/shm 2>/dev/null; then
    die "the check is worth nothing: it says that a tmpfs grants MAP_SYNC"
fi
grants_sync "$mount" || die "no MAP_SYNC below $mount: nvmmio would leave its files to the kernel"
echo "# MAP_SYNC works below $mount. To use it: NVMMIO_ROOT=$mount"
echo "# In /etc/fstab: $path $mount $fs dax=always,nofail 0 2"
