#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # variables of dracut
# dracut module osr-ocfs2: OCFS2 as a node's root or beside it (osr.dracut(7), CLUSTER FILE SYSTEMS). Variables of dracut:
# moddir, initdir, and dracutsysrootdir before 103.

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

missing_of() {
    local program
    for program in "$@"; do
        [[ -n $(find_binary "$program") ]] || echo -n " $program"
    done
}

# What fails here ends the build; in install() dracut only mentions it.
installkernel() {
    local missing
    missing=$(missing_of mount.ocfs2 ocfs2_hb_ctl)
    if [[ $missing ]]; then
        dfatal "osr-ocfs2: for OCFS2 the root lacks$missing (Debian: ocfs2-tools)"
        return 1
    fi
    if ! hostonly='' instmods -c ocfs2 ocfs2_stack_o2cb; then
        dfatal "osr-ocfs2: this kernel has no ocfs2"
        return 1
    fi
    hostonly='' instmods configfs ocfs2_stackglue ocfs2_nodemanager ocfs2_dlm ocfs2_dlmfs
}

install() {
    local file
    inst_script "$moddir/osr-fs-ocfs2.sh" /sbin/osr-fs-ocfs2
    inst_simple "${moddir%ocfs2}gfs2/osr-fs-lib.sh" /lib/osr/osr-fs-lib.sh
    inst_hook cmdline 13 "$moddir/osr-ocfs2-cmdline.sh"
    inst_hook pre-mount 20 "$moddir/osr-ocfs2-mount.sh"
    # The kernel calls ocfs2_hb_ctl when the last one is unmounted, also at the end of the machine.
    inst_multiple mount.ocfs2 ocfs2_hb_ctl cp rmdir
    inst_rules 51-ocfs2.rules
    [[ ! -s $(data)/ocfs2/cluster.conf ]] ||
        command install -D -m 0644 "$(data)/ocfs2/cluster.conf" "$initdir/etc/osr/ocfs2/cluster.conf"
    # Times that must be the same on all nodes: numbers, of a file that the distribution sources.
    for file in default sysconfig; do
        file="${dracutsysrootdir-}/etc/$file/o2cb"
        [[ ! -r $file ]] || grep -E '^O2CB_[A-Z_]+=[0-9]+$' "$file"
    done > "$initdir/etc/osr/ocfs2-times"
    find "$initdir/etc/osr" -exec touch -h -d @0 {} +
}
