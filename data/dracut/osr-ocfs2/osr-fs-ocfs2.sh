#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of the library
# /sbin/osr-fs-ocfs2 start DEVICE OPTIONS: what OCFS2 needs before DEVICE can be mounted: its cluster, o2cb, which is in
# the kernel, as is the heartbeat that mount.ocfs2 starts on the disk. No process has to stay.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# shellcheck source=data/dracut/osr-gfs2/osr-fs-lib.sh
. /lib/osr/osr-fs-lib.sh

osr_clusters=/sys/kernel/config/cluster
osr_stack=/sys/fs/ocfs2/cluster_stack

# osr_node_entry CLUSTER NAME NUMBER ADDRESS PORT: one node, as configfs has it; none at all when it is not taken, so that
# the next attempt does not find half of it.
osr_node_entry() {
    local dir="$osr_clusters/$1/node/$2"
    [ ! -d "$dir" ] || return 0
    mkdir "$dir" || return 1
    echo "$5" > "$dir/ipv4_port" && echo "$4" > "$dir/ipv4_address" && echo "$3" > "$dir/num" && return 0
    rmdir "$dir"
    return 1
}

# osr_read_nodes FILE: NAME NUMBER ADDRESS PORT CLUSTER of each node, one a line.
osr_read_nodes() {
    local key value in="" name="" number="" address="" port="" cluster=""
    {
        cat "$1"
        echo "end:"
    } | while read -r key _ value; do
        case $key in
            *:)
                [ "$in" != node: ] || printf '%s %s %s %s %s\n' "$name" "$number" "$address" "$port" "$cluster"
                in=$key
                ;;
            name) name=$value ;;
            number) number=$value ;;
            ip_address) address=$value ;;
            ip_port) port=$value ;;
            cluster) cluster=$value ;;
        esac
    done
}

# osr_times CLUSTER: those that the distribution's own o2cb would set; kept as they are when it has none.
osr_times() {
    local key file value
    while read -r key file; do
        value=$(osr_conf "$osr_etc/ocfs2-times" "$key") || continue
        echo "$value" > "$osr_clusters/$1/$file" || osr_warn "OCFS2 did not take $key=$value"
    done << TIMES
O2CB_HEARTBEAT_THRESHOLD heartbeat/dead_threshold
O2CB_IDLE_TIMEOUT_MS idle_timeout_ms
O2CB_KEEPALIVE_DELAY_MS keepalive_delay_ms
O2CB_RECONNECT_DELAY_MS reconnect_delay_ms
TIMES
}

# osr_join FILE ID: the cluster with all its nodes; this one is told that it is local, last, since the kernel listens
# for the others from then on.
osr_join() {
    local name number address port cluster self="" of=""
    while read -r name number address port cluster; do
        if [ "$of" != "$cluster" ]; then
            of=$cluster
            [ -d "$osr_clusters/$of" ] || { mkdir "$osr_clusters/$of" && osr_times "$of"; } || return 1
        fi
        osr_node_entry "$cluster" "$name" "$number" "$address" "$port" ||
            osr_fs_no "OCFS2 did not take the node $name ($address)" "correct its address in cluster.conf" || return 1
        [ "$number" != "$2" ] || self="$osr_clusters/$cluster/node/$name"
    done << NODES
$(osr_read_nodes "$1")
NODES
    [ -n "$self" ] || osr_fs_no "OCFS2's cluster has no node $2" "give it a fixed ip= in cluster.conf and rebuild" || return 1
    read -r name < "$self/local"
    [ "$name" = 1 ] || echo 1 > "$self/local" ||
        osr_fs_no "OCFS2 cannot listen at $(cat "$self/ipv4_address")" "look whether this node has that address"
}

osr_start() {
    local id
    modprobe -q ocfs2
    # A file system for one node alone has no cluster to ask for.
    case ",$2," in
        *,heartbeat=none,*) return 0 ;;
    esac
    [ -r "$osr_etc/ocfs2/cluster.conf" ] ||
        osr_fs_no "this initrd does not know the other nodes, and $1 is theirs, too" \
            "run osrctl initrd data in the root and rebuild" || return 1
    id=$(osr_get nodeid) || osr_fs_no "it is not known which node this is" "boot with nodeid=" || return 1
    osr_fs_configfs || return 1
    modprobe -q ocfs2_stack_o2cb
    [ -d "$osr_clusters" ] && echo o2cb > "$osr_stack" ||
        osr_fs_no "the kernel has no OCFS2 with o2cb" "add its modules ocfs2 and ocfs2_stack_o2cb" || return 1
    osr_join "$osr_etc/ocfs2/cluster.conf" "$id" || return 1
    osr_keep_initramfs
}

[ "$1" = start ] || exit 2
osr_start "$2" "$3"
