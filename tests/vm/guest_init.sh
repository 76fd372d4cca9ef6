#!/bin/busybox sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# guest_init.sh — /init of the test machine: devices, modules, then /job/run; its status goes to the console.

/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/sbin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
ln -s /proc/self/fd /dev/fd
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts devpts /dev/pts
ip link set lo up 2>/dev/null
exec </dev/console >/dev/console 2>&1
load() { # load LIST: the kernel modules that it names
    while read -r module; do
        insmod "/modules/$module.ko" || echo "nvmmio-vm: no module $module"
    done <"/modules/$1"
}
load pm
grep -q nvmmio.disk /proc/cmdline && load disk

cd /
sh /job/run
echo "nvmmio-vm: job $?"
poweroff -f
