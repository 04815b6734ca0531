#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# What osr-fs-gfs2, osr-fs-ocfs2 and their hooks share: modules osr-gfs2 and osr-ocfs2.

# shellcheck source=data/dracut/osr/osr-lib.sh
command -v osr_blame > /dev/null || . /lib/osr/osr-lib.sh

# osr_fs_no TEXT [FIX]: why this attempt failed, where osr-retry and the emergency shell look for it.
osr_fs_no() {
    osr_blame "$1" "$2"
    mkdir -p "$osr_work"
    printf '%s\n' "$1" > "$osr_work/mount.log"
    return 1
}

# osr_fs_configfs: mounted where everybody expects it.
osr_fs_configfs() {
    [ -d /sys/kernel/config ] || modprobe -q configfs
    [ -d /sys/kernel/config ] || osr_fs_no "the kernel has no configfs" "build the initrd with configfs" || return 1
    while read -r _ where _; do
        [ "$where" != /sys/kernel/config ] || return 0
    done < /proc/mounts
    mount -t configfs configfs /sys/kernel/config
}

# osr_keep_initramfs: what the machine goes back to at its end, where it unmounts the root and leaves the cluster: a
# running system cannot unmount the root that it runs from. dracut would fetch it from an image in the root's /boot,
# where osrd puts none. It has done with drivers by then.
osr_keep_initramfs() {
    local directory path
    [ ! -e /run/initramfs/.kept ] || return 0
    need_shutdown
    for directory in "" /usr /lib /usr/lib; do
        [ ! -L "$directory" ] || continue # of a merged /usr
        for path in "$directory"/*; do
            [ -L "$path" ] || case $path in
                /dev | /proc | /run | /sys | /sysroot | /tmp | /usr | /lib | /usr/lib | */modules | */firmware | */osr)
                    mkdir -p "/run/initramfs$path"
                    continue
                    ;;
            esac
            cp -a "$path" "/run/initramfs$directory/" ||
                osr_fs_no "the initramfs could not be kept in /run" "give the machine more memory" || return 1
        done
    done
    : > /run/initramfs/.kept # all of it, not what fitted in
}

# osr_fs_network TYPE: hook cmdline: with root= of the administrator's (static boot way) and rootfstype=TYPE dracut has
# to bring the network up before the disk can be mounted.
osr_fs_network() {
    [ "$root" != osr ] && [ "$(getarg rootfstype=)" = "$1" ] || return 0
    osr_is_remote block: "$1" "$(getarg rootflags=)" || return 0
    mkdir -p /etc/cmdline.d
    echo rd.neednet=1 > "/etc/cmdline.d/22-osr-$1.conf"
}

# osr_fs_before TYPE: hook pre-mount: the same root is about to be mounted, by systemd or by dracut. A root that is
# osr's own is not: osr-retry starts what it needs.
osr_fs_before() {
    local device attempts=0 tries wait
    [ "$root" != osr ] && [ "$(getarg rootfstype=)" = "$1" ] || return 0
    ! ismounted "$NEWROOT" || return 0
    device=$(label_uuid_to_dev "${root#block:}")
    tries=$(osr_get initrd.tries || echo 30)
    wait=$(osr_get initrd.wait || echo 10)
    until "osr-fs-$1" start "$device" "$(getarg rootflags=)"; do
        attempts=$((attempts + 1))
        if [ "$attempts" -ge "$tries" ]; then
            emergency_shell "osr: $(sed -n '$p' "$osr_work/mount.log" 2> /dev/null)"
            attempts=0
        fi
        sleep "$wait"
    done
}
