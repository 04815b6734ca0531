#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of the library
# /sbin/osr-fs-gfs2 start DEVICE OPTIONS: what GFS2 needs before DEVICE can be mounted. Called again after a while when
# it fails; what runs already is left alone.
#
# corosync and dlm_controld go on when the initrd is gone: as long as the root is mounted, somebody has to answer for
# its locks. So they live in a root of their own, in /run, which moves along, and are called @corosync and
# @dlm_controld, which systemd spares at switch-root and at the end (systemd's ROOT_STORAGE_DAEMONS).

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# shellcheck source=data/dracut/osr-gfs2/osr-fs-lib.sh
. /lib/osr/osr-fs-lib.sh

osr_tree=/run/osr/daemons # beside the values of this boot, one of which is called cluster
osr_log=/dev/kmsg
[ -w "$osr_log" ] || osr_log=/run/osr/daemons.log

# osr_unlocked DEVICE OPTIONS: whether no other node may have it mounted. The superblock says so, or a mount option.
osr_unlocked() {
    case ",$2," in
        *,lockproto=lock_nolock,*) return 0 ;;
        *,lockproto=*) return 1 ;;
    esac
    [ "$(osr_superblock "$1" "Lock protocol")" = lock_nolock ]
}

osr_superblock() {
    [ -b "$1" ] || [ -f "$1" ] || return 1
    tunegfs2 -l "$1" 2> /dev/null | sed -n "s/^$2: *//p"
}

# osr_check_name DEVICE OPTIONS: a wrong name of the cluster is a failed mount without a reason anybody understands.
osr_check_name() {
    local name table
    name=$(sed -n 's/^[[:space:]]*cluster_name:[[:space:]]*//p' "$osr_etc/corosync/corosync.conf")
    table=$(printf '%s\n' "$2" | sed -n 's/^\(.*,\)*locktable=\([^,]*\).*/\2/p')
    table=${table:-$(osr_superblock "$1" "Lock table")}
    [ -z "$table" ] || [ "${table%%:*}" = "$name" ] ||
        osr_fs_no "$1 belongs to the cluster ${table%%:*}, and this node to $name" \
            "tunegfs2 -o locktable=$name:${table#*:} $1, while no node has it mounted"
}

# osr_make_tree: the daemons' root, once.
osr_make_tree() {
    [ ! -e "$osr_tree/.made" ] || return 0
    mkdir -p /dev/shm "$osr_tree" && cp -a /usr/lib/osr/cluster/. "$osr_tree" && : > "$osr_tree/.made" ||
        osr_fs_no "corosync could not be copied to $osr_tree" "give the machine more memory"
}

# osr_in_tree PROGRAM ARGUMENT...: in the daemons' root, with mounts that nobody else has: whatever the end of the
# machine unmounts, dlm_controld still finds /sys, in which it answers the kernel when the root's locks are given up.
osr_in_tree() {
    # shellcheck disable=SC2016 # for the inner one
    exec setsid unshare --mount --propagation private sh -c 'cd "$1" && shift &&
        for name in dev proc sys; do mount --rbind "/$name" "$name" || exit; done &&
        exec chroot . "$@"' sh "$osr_tree" "$@"
}

# osr_runs NAME: whether the daemon that was started as NAME still is.
osr_runs() {
    local pid
    [ -r "$osr_run/$1.pid" ] && read -r pid < "$osr_run/$1.pid" && kill -0 "$pid" 2> /dev/null
}

# osr_daemon NAME ARGUMENT...: started in its root, with a systemd unit of the same name for the running system: whoever
# asks for corosync.service has it, and no second one is started.
osr_daemon() {
    local name=$1 unit=$1
    shift
    if osr_runs "$name"; then return 0; fi
    (osr_in_tree "@$name" "$@") < /dev/null >> "$osr_log" 2>&1 8>&- 9>&- &
    printf '%s\n' "$!" > "$osr_run/$name.pid"
    { echo -1000 > "/proc/$!/oom_score_adj"; } 2> /dev/null
    [ "$name" != dlm_controld ] || unit=dlm
    mkdir -p /run/systemd/system
    cat > "/run/systemd/system/$unit.service" << UNIT
[Unit]
Description=$name, running since the initrd
Documentation=man:osr.dracut(7)
DefaultDependencies=no

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
UNIT
}

# osr_until SECONDS COMMAND...
osr_until() {
    local left=$1
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

osr_quorate() {
    osr_runs corosync || return 0 # waited in vain; osr_membership says so
    (osr_in_tree corosync-quorumtool -s) 2> /dev/null > "$osr_work/quorum"
    grep -q '^Quorate:[[:space:]]*Yes' "$osr_work/quorum"
}

osr_membership() {
    local votes
    osr_daemon corosync -f
    osr_until 15 osr_quorate || {
        votes=$(sed -n 's/^Total votes:[[:space:]]*//p' "$osr_work/quorum")
        osr_fs_no "the cluster has no quorum: ${votes:-no} of $(sed -n 's/^Expected votes:[[:space:]]*//p' "$osr_work/quorum") votes" \
            "start the other nodes; a cluster that starts from nothing needs all of them once"
        return 1
    }
    osr_runs corosync || osr_fs_no "corosync does not run" "look at its messages (dmesg)"
}

osr_dlm_answers() {
    ! osr_runs dlm_controld || (osr_in_tree dlm_tool status) > /dev/null 2>&1
}

osr_locks() {
    osr_fs_configfs || return 1
    modprobe -q dlm
    [ -d /sys/kernel/config/dlm ] || osr_fs_no "the kernel has no distributed lock manager" "add its module dlm" || return 1
    osr_daemon dlm_controld --foreground 1
    osr_until 10 osr_dlm_answers && osr_runs dlm_controld ||
        osr_fs_no "dlm_controld does not run" "look at its messages (dmesg)"
}

osr_start() {
    modprobe -q gfs2
    # Remounted read-only by the running system, as its end does without an initramfs, it stays dirty.
    osr_keep_initramfs || return 1
    if osr_unlocked "$1" "$2"; then return 0; fi
    [ -r "$osr_etc/corosync/corosync.conf" ] ||
        osr_fs_no "this initrd does not know the other nodes, and $1 is theirs, too" \
            "run osrctl initrd data in the root and rebuild, or mount with lockproto=lock_nolock what no other node has" ||
        return 1
    mkdir -p "$osr_work"
    osr_check_name "$1" "$2" && osr_make_tree && osr_membership && osr_locks
}

[ "$1" = start ] || exit 2
osr_start "$2" "$3"
