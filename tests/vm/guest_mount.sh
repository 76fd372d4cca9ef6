#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# guest_mount.sh — in the test machine: the namespace, the file system on it, and its mounts. Sourced by jobs.

pm_device=/dev/pmem0

make_namespace() { # an fsdax namespace, its struct pages in memory
    ndctl create-namespace -f -e namespace0.0 --mode=fsdax --map=mem >/tmp/ndctl.log 2>&1 || {
        cat /tmp/ndctl.log
        return 1
    }
}

make_fs() { # make_fs ext4|xfs
    case $1 in
    ext4) mkfs.ext4 -q -F -b 4096 -m 0 "$pm_device" ;;
    xfs) mkfs.xfs -q -f -m reflink=0 "$pm_device" ;;
    esac
}

await_pm() { # the kernel looks for namespaces by itself, in its own time; more than one device there may be
    tries=0
    while :; do
        for device in /sys/class/block/pmem*; do
            case $(readlink -f "$device") in
            */pfn*)
                pm_device=/dev/${device##*/}
                [ -b "$pm_device" ] && return 0
                ;;
            esac
        done
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || return 1
        sleep 0.05
    done
}

load_list() { # load_list LIST: the kernel modules that it names
    while read -r module; do
        insmod "/modules/$module.ko"
    done <"/modules/$1"
}

load_xfs() {
    grep -q '^xfs ' /proc/modules || load_list xfs
}

make_fs_quota() { # make_fs_quota ext4|xfs: as make_fs, for mounts with usrquota
    case $1 in
    ext4) mkfs.ext4 -q -F -b 4096 -m 0 -O quota -E quotatype=usrquota "$pm_device" ;;
    *) make_fs "$1" ;;
    esac
}

mount_fs() { # mount_fs ext4|xfs [OPTIONS]: on /mnt, with dax=always
    await_pm || return 1
    [ "$1" = ext4 ] || load_xfs
    mount -t "$1" -o "${2:-dax=always}" "$pm_device" /mnt
}

check_fs() { # check_fs ext4|xfs: of what is not mounted; changes nothing
    case $1 in
    ext4) e2fsck -fn "$pm_device" ;;
    xfs) xfs_repair -n "$pm_device" ;;
    esac >/tmp/fsck.log 2>&1 || {
        echo "nvmmio-vm: the file system is not clean"
        cat /tmp/fsck.log
        return 1
    }
}
