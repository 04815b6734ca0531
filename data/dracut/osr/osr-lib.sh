#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# What the scripts of the modules osr and osr-cluster share. Runs under dash and busybox sh, as dracut-lib.sh does.
#
# Hooks are sourced by dracut's own shell: every function is named osr_*, every variable in one is local.
# Data (parameters, tables, what DHCP says) is read, compared and printed, never evaluated.

# shellcheck source=/dev/null
command -v getarg > /dev/null || . /lib/dracut-lib.sh

osr_etc=/etc/osr            # baked by osrd: what it means is in osr.dracut(7), FILES
osr_run=/run/osr            # what this boot found out; stays for the running system
osr_work=/run/osr/initrd    # what only the initrd needs

# --- messages -------------------------------------------------------------------------------------------------

osr_info() {
    info "osr: $*"
}

osr_warn() {
    warn "osr: $*"
}

# osr_blame TEXT [FIX]: the reason why this machine cannot go on, kept for the emergency shell; each is told once.
osr_blame() {
    ! grep -qsxF -e "$1" "$osr_run/diagnosis" || return 0
    mkdir -p "$osr_work"
    printf '%s\n' "$1" >> "$osr_run/diagnosis"
    [ -z "$2" ] || printf '  what to do: %s\n' "$2" >> "$osr_run/diagnosis"
    osr_warn "$1"
}

# osr_fatal TEXT [FIX]: this boot is over; dracut's own die decides between shell, halt, power-off and reboot.
osr_fatal() {
    osr_blame "$1" "$2"
    die "osr: $1${2:+ ($2)}"
}

# --- state ----------------------------------------------------------------------------------------------------

# osr_active: whether these modules do anything (osr=0 switches them off).
osr_active() {
    [ -e "$osr_run/mode" ]
}

osr_get() {
    local value
    [ -r "$osr_run/$1" ] || return 1
    IFS= read -r value < "$osr_run/$1" || [ -n "$value" ] || return 1
    printf '%s\n' "$value"
}

# osr_set KEY VALUE: readers see the old value or the new one, never half of it.
osr_set() {
    mkdir -p "$osr_run" || return 1
    printf '%s\n' "$2" > "$osr_run/.$1.new" && mv -f "$osr_run/.$1.new" "$osr_run/$1"
}

# --- parameters and files -------------------------------------------------------------------------------------

# osr_word NAME...: the value of the first of these parameters that has one. One without a value counts as absent.
osr_word() {
    local name value
    for name in "$@"; do
        if value=$(getarg "$name=") && [ -n "$value" ]; then
            printf '%s\n' "$value"
            return 0
        fi
    done
    return 1
}

# osr_conf FILE KEY: the value of KEY in a file of KEY='VALUE' lines as shlex.quote writes them. The file is never
# sourced: what an administrator types into cluster.conf must not become a command in every node's initrd.
osr_conf() {
    local line value rest
    [ -r "$1" ] || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        [ "${line%%=*}" = "$2" ] || continue
        value=${line#*=}
        case $value in
            \'*\') value=${value#\'} value=${value%\'} ;;
            \"*\") value=${value#\"} value=${value%\"} ;;
        esac
        # A single quote inside is written '"'"'.
        rest=$value value=
        while [ "${rest#*\'\"\'\"\'}" != "$rest" ]; do
            value="$value${rest%%\'\"\'\"\'*}'"
            rest=${rest#*\'\"\'\"\'}
        done
        [ -n "$value$rest" ] || return 1
        printf '%s\n' "$value$rest"
        return 0
    done < "$1"
    return 1
}

# osr_setting KEY: from osr.conf. osr_node KEY: from the file of this node.
osr_setting() {
    osr_conf "$osr_etc/osr.conf" "$1"
}

osr_node() {
    osr_conf "$osr_etc/nodes.d/$(osr_get nodeid).conf" "$1"
}

osr_lower() {
    printf '%s\n' "$1" | sed 'y/ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/'
}

osr_uptime() {
    local seconds
    read -r seconds _ < /proc/uptime
    printf '%s\n' "${seconds%.*}"
}

# osr_number TEXT DEFAULT: TEXT when it is a number of at most six digits.
osr_number() {
    case $1 in
        "" | *[!0-9]* | ???????*) printf '%s\n' "$2" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# osr_is_remote ROOT FSTYPE FLAGS: whether that root needs a network before it can be mounted.
osr_is_remote() {
    case $1 in
        block:* | virtiofs:* | virtfs:*) ;;
        "") return 1 ;;
        *) return 0 ;;
    esac
    case $2,$3 in
        *lockproto=lock_nolock*) return 1 ;;
        gfs2,* | ocfs2,*) return 0 ;;
    esac
    return 1
}

# osr_read_only: whether the root stays read-only: by rw or ro of the command line, else by the root's own options.
osr_read_only() {
    local volume options
    if getarg rw > /dev/null; then return 1; fi
    if getarg ro > /dev/null; then return 0; fi
    # shellcheck disable=SC2154 # of dracut
    if [ "$root" = osr ]; then
        volume=$(osr_get initrd.root || osr_node OSR_ROOT || echo "")
        options=$(osr_get initrd.rootflags || osr_node OSR_ROOTFLAGS || echo "")
    else
        volume=$(getarg root=) || volume=""
        options=$(getarg rootflags=) || options=""
    fi
    case $volume in
        nfs:* | nfs4:*) options=/${volume#*:/} options=${options#*:} ;;
    esac
    case ",$options," in
        *,ro,*) return 0 ;;
    esac
    return 1
}

# --- who am I -------------------------------------------------------------------------------------------------

osr_is_id() {
    case $1 in
        "" | *[!0-9]* | 0* | ??????*) return 1 ;;
    esac
}

# osr_column FILE VALUE: the ids (first word) of the lines of FILE that have the word VALUE behind the id.
osr_column() {
    local id words
    [ -r "$osr_etc/$1" ] || return 0
    while read -r id words || [ -n "$id" ]; do
        case " $words " in
            *" $2 "*) printf '%s\n' "$id" ;;
        esac
    done < "$osr_etc/$1"
}

osr_name_of() {
    local id name
    [ -r "$osr_etc/nodenames" ] || return 1
    while read -r id name || [ -n "$id" ]; do
        [ "$id" != "$1" ] || { printf '%s\n' "$name"; return 0; }
    done < "$osr_etc/nodenames"
    return 1
}

# osr_ids: the ids that the image knows, on one line; the table of a big cluster is cut short.
osr_ids() {
    local id count=0 all=
    [ -r "$osr_etc/nodeids" ] || return 0
    while read -r id _ || [ -n "$id" ]; do
        count=$((count + 1))
        [ "$count" -gt 32 ] || all="$all $id"
    done < "$osr_etc/nodeids"
    [ "$count" -le 32 ] || all="$all ... ($count nodes)"
    printf '%s\n' "${all# }"
}

# osr_known ID: whether the image has data of this node. Without a table (static boot way) every id will do.
osr_known() {
    local id
    [ -r "$osr_etc/nodeids" ] || return 0
    while read -r id _ || [ -n "$id" ]; do
        [ "$id" != "$1" ] || return 0
    done < "$osr_etc/nodeids"
    return 1
}

# osr_learn ID SOURCE: this machine is node ID because of SOURCE. What was said on purpose (nodeid=, nodename=, the
# emergency shell) beats what was found; two findings that contradict each other are a conflict, and end the boot
# before a second machine becomes the same node.
osr_learn() {
    local known source
    (
        flock 9
        if ! known=$(osr_get nodeid); then
            osr_set nodeid_source "$2"
            osr_set nodeid "$1"
            if known=$(osr_name_of "$1"); then osr_set nodename "$known"; fi
            osr_info "this machine is node $1${known:+ ($known)}, by $2"
        elif [ "$known" != "$1" ]; then
            source=$(osr_get nodeid_source)
            case $source in
                nodeid=* | nodename=* | osr-param)
                    osr_warn "$2 belongs to node $1, but $source says node $known: node $known it is"
                    ;;
                *)
                    osr_blame "$source says node $known, but $2 says node $1" \
                        "correct the mac= of both nodes in cluster.conf, or boot with nodeid="
                    : > "$osr_work/conflict"
                    ;;
            esac
        fi
    ) 9> "$osr_work/lock"
}

# osr_learn_by FILE VALUE SOURCE: the same with what a table says of VALUE; silent when it says nothing.
osr_learn_by() {
    local ids
    ids=$(osr_column "$1" "$2")
    case $ids in
        "") return 1 ;;
        *[!0-9]*) # two lines: the table has it twice
            osr_blame "$3 is in the table for nodes $(osr_join "$ids")" \
                "correct cluster.conf and rebuild the initrd, or boot with nodeid="
            : > "$osr_work/conflict"
            ;;
        *) osr_learn "$ids" "$3" ;;
    esac
}

# osr_macs IF: the hardware addresses of an interface: its current one, and a bond slave's own one.
osr_macs() {
    local file mac
    for file in "/sys/class/net/$1/address" "/sys/class/net/$1/bonding_slave/perm_hwaddr"; do
        [ -r "$file" ] || continue
        read -r mac < "$file" 2> /dev/null || continue
        [ "$mac" = 00:00:00:00:00:00 ] || printf '%s\n' "$mac"
    done
}

# osr_join TEXT: its lines as one, with commas.
osr_join() {
    printf '%s\n' "$1" | sed ':a;N;$!ba;s/\n/, /g'
}

osr_nics() {
    local nic
    for nic in /sys/class/net/*; do
        [ ! -e "$nic/address" ] || [ "${nic##*/}" = lo ] || printf '%s\n' "${nic##*/}"
    done
}

# osr_bootif: the address behind BOOTIF=, whichever way the boot loader wrote it (01-AA-.., 01-aa:bb:..).
osr_bootif() {
    local mac
    getargbool 1 osr.bootif && getargbool 1 rd.bootif && mac=$(osr_word BOOTIF) || return 1
    mac=$(osr_lower "$mac" | sed 's/-/:/g')
    case $mac in
        ??:??:??:??:??:??:??) mac=${mac#???} ;; # the hardware type
    esac
    printf '%s\n' "$mac"
}

# osr_identify_early: by what needs no driver. osr_identify [IF]: and by the NICs that are there.
osr_identify_early() {
    local value ids
    if value=$(osr_word nodeid osr.nodeid com-nodeid); then
        osr_is_id "$value" ||
            osr_fatal "nodeid=$value is no node id" "a node id is a number from 1 to 99999 without leading zeros"
        osr_known "$value" ||
            osr_fatal "nodeid=$value is not in this initrd; it knows $(osr_ids)" "correct nodeid=, or rebuild the initrd"
        osr_learn "$value" "nodeid=$value"
    elif getarg nodeid > /dev/null || getarg nodeid= > /dev/null; then
        osr_warn "nodeid= has no value and is ignored"
    fi
    if value=$(osr_word nodename osr.nodename com-nodename); then
        if [ -r "$osr_etc/nodenames" ]; then
            ids=$(osr_column nodenames "$value")
            [ -n "$ids" ] || osr_fatal "nodename=$value is not in this initrd" "correct nodename=, or rebuild the initrd"
            if osr_get nodeid > /dev/null && [ "$(osr_get nodeid)" != "$ids" ]; then
                osr_fatal "nodename=$value is node $ids, and nodeid= says $(osr_get nodeid)" "leave one of them out"
            fi
            osr_learn "$ids" "nodename=$value"
        else
            osr_set nodename "$value"
        fi
    fi
    if value=$(osr_bootif); then
        osr_set bootif "$value"
        osr_learn_by nodeids "$value" "BOOTIF $value" || :
    fi
    if [ -r "$osr_etc/nodeuuids" ] && [ -r /sys/class/dmi/id/product_uuid ] &&
        read -r value < /sys/class/dmi/id/product_uuid; then
        osr_learn_by nodeuuids "$(osr_lower "$value")" "machine UUID $value" || :
    fi
    return 0
}

osr_identify() {
    local nic mac host
    [ -r "$osr_etc/nodeids" ] || return 0
    for nic in ${1:+"$1"} $(osr_nics); do
        for mac in $(osr_macs "$nic"); do
            osr_learn_by nodeids "$mac" "NIC $nic ($mac)" || :
        done
    done
    osr_get nodeid > /dev/null && return 0
    # What a DHCP server calls this machine counts only when nothing else is known, and only as a name of the table.
    if [ -n "$1" ] && host=$(osr_conf "/tmp/dhclient.$1.dhcpopts" new_host_name) && [ -n "$host" ]; then
        osr_learn_by nodenames "${host%%.*}" "DHCP host name $host" && return 0
    fi
    # A cluster of one node whose table has no hardware address leaves nothing to confuse.
    set -- "$(cat "$osr_etc/nodeids")"
    if osr_is_id "$1"; then osr_learn "$1" "the only node"; fi
    return 0
}

# osr_identified: whether the node is known beyond doubt.
osr_identified() {
    osr_get nodeid > /dev/null && [ ! -e "$osr_work/conflict" ]
}

# --- identity towards servers ---------------------------------------------------------------------------------

# osr_identity [IF]: host name and NFSv4 client identity. Two machines that mount one NFSv4 export under one identity
# take each other's lease and hang for good, right after the new root is entered. So: before the first mount.
osr_identity() {
    local id name own now
    [ ! -e "$osr_work/identity" ] || return 0
    id=$(osr_get nodeid)
    name=$(osr_node OSR_HOSTNAME || osr_node OSR_NODENAME || osr_get nodename)
    [ -z "$name" ] || printf '%s\n' "$name" > /proc/sys/kernel/hostname
    own=$(osr_word nfs.nfs4_unique_id) || own=$(osr_node OSR_NFSID) || {
        if [ -n "$id" ]; then
            own="osr:$(osr_get cluster || echo static):$id"
        else # the hardware address is not the node, but no other machine has it
            own=$(osr_macs "${1:-lo}" | sed 's/^/osr:mac:/;q')
        fi
    }
    [ -n "$own" ] || return 0
    modprobe -q nfs 2> /dev/null
    if [ -w /sys/module/nfs/parameters/nfs4_unique_id ]; then
        printf '%s\n' "$own" > /sys/module/nfs/parameters/nfs4_unique_id
        read -r now < /sys/module/nfs/parameters/nfs4_unique_id
    elif [ -w /sys/fs/nfs/net/nfs_client/identifier ]; then
        printf '%s\n' "$own" > /sys/fs/nfs/net/nfs_client/identifier
        read -r now < /sys/fs/nfs/net/nfs_client/identifier
    fi
    if [ "$now" = "$own" ]; then
        osr_set nfsid "$own"
    elif [ -e /sys/module/nfs ]; then
        osr_warn "the NFSv4 client identity could not be set; two nodes may take each other's lease"
    fi
    # What is not certain yet is done again for the next mount.
    [ -z "$id" ] || : > "$osr_work/identity"
}

# --- paths in the new root ------------------------------------------------------------------------------------

# osr_path TEXT: an absolute path in its shortest spelling. Fails for "", "/", relative ones and "..".
osr_path() {
    local rest part clean=
    case $1 in
        /*) rest=$1 ;;
        *) return 1 ;;
    esac
    while [ -n "$rest" ]; do
        rest=${rest#/}
        part=${rest%%/*}
        rest=${rest#"$part"}
        case $part in
            "" | .) ;;
            ..) return 1 ;;
            *) clean="$clean/$part" ;;
        esac
    done
    [ -n "$clean" ] && printf '%s\n' "$clean"
}

# osr_resolve PATH: where PATH is in the new root when every symbolic link is followed inside that root, as the
# running system will. A plain "$NEWROOT$path" would follow an absolute link into the initramfs.
osr_resolve() {
    local rest=$1 place="" part target links=0
    while [ -n "$rest" ]; do
        rest=${rest#/}
        part=${rest%%/*}
        rest=${rest#"$part"}
        case $part in
            "" | .) ;;
            ..) place=${place%/*} ;;
            *)
                if [ -h "$NEWROOT$place/$part" ]; then
                    links=$((links + 1))
                    [ "$links" -le 40 ] && target=$(readlink "$NEWROOT$place/$part") || return 1
                    case $target in
                        /*) place="" ;;
                    esac
                    rest="/$target$rest"
                else
                    place="$place/$part"
                fi
                ;;
        esac
    done
    printf '%s\n' "${place:-/}"
}

# osr_escape PATH: the name of its mount unit without .mount (systemd-escape --path).
osr_escape() {
    local rest=${1#/} char out=""
    while [ -n "$rest" ]; do
        char=${rest%"${rest#?}"}
        rest=${rest#?}
        case $char in
            /) char=- ;;
            .) [ -n "$out" ] || char='\x2e' ;;
            [A-Za-z0-9:_]) ;;
            *) char=$(printf '\\x%02x' "$(($(printf '%d' "'$char") & 255))") ;;
        esac
        out="$out$char"
    done
    printf '%s\n' "$out"
}

# osr_keep_mounted PATH WHAT: systemd makes a unit of a mount that it finds, which then conflicts with umount.target
# and fails ("busy") at every shutdown. Without default dependencies it stays until the very end.
osr_keep_mounted() {
    local unit
    unit=$(osr_escape "$1")
    mkdir -p "/run/systemd/system/$unit.mount.d" &&
        printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$2" > "/run/systemd/system/$unit.mount.d/10-osr.conf"
}

# osr_in_fstab PATH: whether the new root's fstab mounts something there.
osr_in_fstab() {
    local device where fstab
    fstab=$(osr_resolve /etc/fstab) && [ -f "$NEWROOT$fstab" ] || return 1
    while read -r device where _ || [ -n "$where" ]; do
        case $device in
            "#"*) continue ;;
        esac
        [ "$where" != "$1" ] || return 0
    done < "$NEWROOT$fstab"
    return 1
}

# osr_writable: whether the new root can be written. Of mounts on top of each other the last one counts.
osr_writable() {
    local where options answer=1
    while read -r _ where _ options _; do
        [ "$where" = "$NEWROOT" ] || continue
        case ",$options," in
            *,ro,*) answer=1 ;;
            *) answer=0 ;;
        esac
    done < /proc/mounts
    return "$answer"
}
