#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # variables of dracut
# dracut module osr-gfs2: GFS2 as a node's root or beside it (osr.dracut(7), CLUSTER FILE SYSTEMS). Variables of dracut:
# moddir, initdir, udevdir, and dracutsysrootdir before 103.

# What dlm and corosync are made of in the image, and in /run of the node: they outlive the initrd.
tree=/usr/lib/osr/cluster

# Only when asked for. The module osr does, when the data of the cluster has a node that mounts it; so it must not ask
# for osr in turn.
check() {
    return 255
}

depends() {
    echo shutdown
}

data() {
    echo "${dracutsysrootdir-}/etc/osr/initrd"
}

has_locks() {
    [[ -s $(data)/corosync/corosync.conf ]]
}

missing_of() {
    local program
    for program in "$@"; do
        [[ -n $(find_binary "$program") ]] || echo -n " $program"
    done
}

# What fails here ends the build; in install() dracut only mentions it.
installkernel() {
    local missing=""
    ! has_locks || missing=$(missing_of chroot setsid unshare corosync corosync-quorumtool dlm_controld dlm_tool)
    if [[ $missing ]]; then
        dfatal "osr-gfs2: for GFS2 the root lacks$missing (Debian: corosync, dlm-controld, gfs2-utils)"
        return 1
    fi
    if ! hostonly='' instmods -c gfs2 dlm; then
        dfatal "osr-gfs2: this kernel has no gfs2 and dlm (Enterprise Linux: kernel-modules-extra)"
        return 1
    fi
    hostonly='' instmods configfs
}

install() {
    local name
    inst_script "$moddir/osr-fs-gfs2.sh" /sbin/osr-fs-gfs2
    inst_simple "$moddir/osr-fs-lib.sh" /lib/osr/osr-fs-lib.sh
    inst_hook cmdline 13 "$moddir/osr-gfs2-cmdline.sh"
    inst_hook pre-mount 20 "$moddir/osr-gfs2-mount.sh"
    inst_multiple cp
    inst_multiple -o tunegfs2
    inst_rules 51-dlm.rules 82-gfs2-withdraw.rules
    inst_multiple -o "${udevdir:-/lib/udev}/gfs2_withdraw_helper"
    has_locks || return 0
    inst_hook shutdown 90 "$moddir/osr-gfs2-leave.sh"
    inst_multiple chroot setsid unshare
    for name in corosync/corosync.conf dlm/dlm.conf; do
        command install -D -m 0644 "$(data)/$name" "$initdir/etc/osr/$name"
    done
    install_tree
}

# A root of its own for the daemons, with all their libraries; dracut links what is twice in the image. Their names
# begin with @, so that they are called that way: systemd spares them when the initrd ends and when the machine does.
install_tree() {
    local root="$initdir$tree" name
    mkdir -p "$root"/{dev,proc,sys,tmp,run,etc/dlm,etc/corosync,var/lib/corosync,var/log/cluster}
    install_program "$root" corosync corosync-quorumtool dlm_controld dlm_tool
    for name in corosync dlm_controld; do
        ln -sfn "$name" "$root/usr/sbin/@$name"
    done
    ln -sfn ../run "$root/var/run"
    install_library "$root" libgcc_s.so.1 # which glibc looks for when a thread ends
    # dlm_controld has the running system fence by this program, which looks for the library itself.
    if [[ -n $(find_binary dlm_stonith) ]]; then
        install_program "$root" dlm_stonith
        install_library "$root" "libstonithd.so*"
    fi
    command install -m 0644 "$(data)/corosync/corosync.conf" "$root/etc/corosync/corosync.conf"
    command install -m 0644 "$(data)/dlm/dlm.conf" "$root/etc/dlm/dlm.conf"
    # dracut links equal files of equal age: a second more or less must not make another image.
    touch -d @0 "$root"/etc/*/*.conf "$initdir"/etc/osr/{corosync,dlm}/*.conf
}

# install_program ROOT PROGRAM...: what inst_multiple does, for another root than the image's.
install_program() {
    local root=$1
    shift
    ${DRACUT_INSTALL:-dracut-install} ${dracutsysrootdir:+-r "$dracutsysrootdir"} -D "$root" -l -a "$@"
}

# install_library ROOT PATTERN: a library that no program is linked with.
install_library() {
    local file
    # shellcheck disable=SC2231 # the pattern is one
    for file in "${dracutsysrootdir-}"/{usr/,}lib{64,,/*-linux-gnu*}/$2; do
        [[ ! -e $file ]] || install_program "$1" "${file#"${dracutsysrootdir-}"}"
    done
}
