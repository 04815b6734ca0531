#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # variables of dracut
# dracut module osr: boots one node of a shared root (osr.dracut(7)). Variables of dracut: moddir, initdir, dracutbasedir.

# Only when asked for: dracut -a osr, or a dracut.conf that says so.
check() {
    return 255
}

has_module() {
    compgen -G "$dracutbasedir/modules.d/[0-9][0-9]$1" > /dev/null
}

# mounts FSTYPE FILE: whether the data has this file of a cluster file system, or has a node mount the type without.
mounts() {
    local data="${dracutsysrootdir-}/etc/osr/initrd"
    [[ -s $data/$2 ]] || grep -qsE "^OSR_ROOTFSTYPE='$1'|^OSR_FS_[0-9]+='[^|]*\|[^|]*\|$1\|" "$data"/nodes.d/*.conf
}

depends() {
    # It decides which network provider the module network takes. Under dracut -m, which asks no check(), a dracut.conf
    # may have named another one already (that of dracut-network in Debian does): name osr-network there, too.
    has_module osr-network && echo -n "osr-network "
    # initqueue is a module of its own from dracut-ng 108 on.
    has_module initqueue && echo -n "initqueue "
    has_module network && echo -n "network "
    # Without mount.nfs in the root no node mounts NFS from it, and the module nfs would refuse.
    [[ -n $(find_binary mount.nfs) ]] && has_module nfs && echo -n "nfs "
    # No image without what a node needs.
    mounts gfs2 corosync/corosync.conf && has_module osr-gfs2 && echo -n "osr-gfs2 "
    mounts ocfs2 ocfs2/cluster.conf && has_module osr-ocfs2 && echo -n "osr-ocfs2 "
    return 0
}

installkernel() {
    # What dracut-ng makes when nobody says otherwise.
    [[ ! ${hostonly-} ]] ||
        dwarning "osr: this initrd is for this machine only; for all nodes add --no-hostonly (osr.dracut(7))."
    # The image is for every node, not for the machine that it is built on.
    hostonly='' instmods nfs nfsv3 nfsv4 af_packet bonding 8021q bridge llc stp
}

install_script() {
    inst_script "$moddir/$1" "$2"
    chmod 0755 "$initdir$2" # whatever became of the mode on its way into the root
}

# An image for all nodes must not have the identity of one: with a common machine id DHCP takes them for one client.
forget_identity() {
    rm -f "$initdir/etc/hostname" "$initdir/etc/machine-id"
    : > "$initdir/etc/machine-id"
    chmod 0444 "$initdir/etc/machine-id"
}

# What osrd found out at build time and is the same for every node; osr-cluster adds what differs.
install_data() { # "install" alone would be dracut's function below
    local source="${dracutsysrootdir-}/etc/osr/initrd" name
    mkdir -p "$initdir/etc/osr"
    for name in format build osr.conf; do
        [[ ! -f $source/$name ]] || command install -m 0644 "$source/$name" "$initdir/etc/osr/$name"
    done
    if [[ -s $source/cmdline ]]; then
        mkdir -p "$initdir/etc/cmdline.d"
        command install -m 0644 "$source/cmdline" "$initdir/etc/cmdline.d/10-osr.conf"
    fi
    # dracut links equal files of equal age: a second more or less must not make another image.
    find "$initdir/etc/osr" -exec touch -h -d @0 {} +
}

# mount.nfs asks for tcp and udp by name when it looks for version 3, and then says "Protocol not supported": a small
# Debian has no such file (its package is netbase).
install_protocols() {
    inst_multiple -o /etc/protocols
    [[ -e $initdir/etc/protocols ]] || printf 'tcp\t6\tTCP\nudp\t17\tUDP\n' > "$initdir/etc/protocols"
}

install() {
    local name
    inst_multiple mkdir mount umount cat sed grep sort readlink sleep ip flock rm mv cp ln chmod modprobe sync reboot tr
    inst_simple "$moddir/osr-lib.sh" /lib/osr/osr-lib.sh
    inst_simple "$moddir/osr-report.sh" /lib/osr/osr-report
    install_script osrroot.sh /sbin/osrroot
    install_script osr-param.sh /sbin/osr-param
    for name in getparameter setparameter delparameter listparameters; do
        ln -sfn osr-param "$initdir/sbin/$name"
    done
    # The numbers: after parse-root-opts (10), which sets root where there is no systemd; before nfs (90) and the network
    # providers (91 to 99). Later after an overlay (10) and /usr (50).
    inst_hook cmdline 12 "$moddir/osr-cmdline.sh"
    inst_hook netroot 10 "$moddir/osr-netroot.sh"
    inst_hook initqueue/settled 60 "$moddir/osr-retry.sh"
    inst_hook initqueue/timeout 60 "$moddir/osr-timeout.sh"
    inst_hook pre-pivot 60 "$moddir/osr-cdsl.sh"
    inst_hook pre-pivot 62 "$moddir/osr-provision.sh"
    inst_hook pre-pivot 65 "$moddir/osr-mounts.sh"
    inst_hook pre-pivot 90 "$moddir/osr-publish.sh"
    inst_hook cleanup 05 "$moddir/osr-cleanup.sh"
    inst_hook emergency 50 "$moddir/osr-emergency.sh"
    inst_hook shutdown-emergency 10 "$moddir/osr-emergency.sh"
    install_data
    install_protocols
    forget_identity
    # shellcheck disable=SC2119 # of dracut before 108
    ! declare -F dracut_need_initqueue > /dev/null || dracut_need_initqueue
}
