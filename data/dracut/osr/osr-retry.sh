#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154,SC2034 # variables of dracut and of the library
# Hooks initqueue/settled 60 and, as osr-timeout, initqueue/timeout 60: sourced in dracut's main loop, the first one
# twice a second. dracut tries a network root once per interface; here it is tried again, and a root that needs no
# interface is mounted. The main loop's own count (main_loop) starts anew as long as there is hope.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

# osr_stop TEXT FIX: ask a human; whoever leaves the shell wants another try.
osr_stop() {
    osr_blame "$1" "$2"
    emergency_shell "osr: $1"
    rm -f "$osr_work/attempts" "$osr_work"/unmatched.*
    echo 0 > "$osr_work/next"
    osr_identify
    main_loop=0
}

# osr_mount_local ROOT: a root on a disk, or one that the hypervisor offers.
osr_mount_local() {
    local device type options
    type=$(osr_get initrd.rootfstype || osr_node OSR_ROOTFSTYPE || echo ext3)
    options=$(osr_get initrd.rootflags || osr_node OSR_ROOTFLAGS || echo "")
    case $1 in
        block:*)
            device=$(label_uuid_to_dev "$1")
            [ -e "$device" ] || return 1
            ;;
        virtiofs:*) device=${1#*:} type=virtiofs ;;
        *) device=${1#*:} type=9p options="trans=virtio,version=9p2000.L${options:+,$options}" ;;
    esac
    # A cluster file system brings a program that starts what it needs (modules osr-gfs2, osr-ocfs2).
    if command -v "osr-fs-$type" > /dev/null; then
        "osr-fs-$type" start "$device" "$options" || return 1
    fi
    case ",$options," in
        *,ro,* | *,rw,*) ;;
        *) options="$options${options:+,}rw" ;;
    esac
    if getarg ro > /dev/null && ! getarg rw > /dev/null; then options="$options,ro"; fi
    osr_set root "$1"
    osr_info "mounting $device ($type)"
    modprobe -q "$type" 2> /dev/null
    mount -t "$type" -o "$options" "$device" "$NEWROOT" > "$osr_work/mount.log" 2>&1 && return 0
    cat "$osr_work/mount.log" >&2
    return 1
}

osr_attempt() {
    local file interface volume
    if [ "$root" = osr ] && volume=$(osr_get initrd.root || osr_node OSR_ROOT); then
        case $volume in
            block:* | virtiofs:* | virtfs:*)
                osr_mount_local "$volume"
                return
                ;;
        esac
    fi
    for file in "$osr_work"/interface.*; do
        [ -e "$file" ] && read -r interface < "$file" || continue
        /sbin/netroot "$interface"
        [ ! -e "$NEWROOT/proc" ] || return 0
    done
    return 1
}

# osr_possible: whether an attempt could succeed: the node is known and what the root needs is there.
osr_possible() {
    local volume
    if [ "$root" = osr ]; then
        osr_identified || return 1
        volume=$(osr_get initrd.root || osr_node OSR_ROOT) || return 1
        osr_is_remote "$volume" "$(osr_get initrd.rootfstype || osr_node OSR_ROOTFSTYPE)" \
            "$(osr_get initrd.rootflags || osr_node OSR_ROOTFLAGS)" || return 0
    fi
    set -- "$osr_work"/interface.*
    [ -e "$1" ]
}

osr_retry() {
    local now next attempts tries wait
    [ ! -e "$NEWROOT/proc" ] || return 0
    if [ -e "$osr_work/conflict" ]; then
        osr_stop "it is not certain which node this machine is" "osr-param set nodeid N says it for this boot"
        return 0
    fi
    osr_possible || return 0
    now=$(osr_uptime)
    wait=$(osr_get initrd.wait || echo 10)
    tries=$(osr_get initrd.tries || echo 30)
    attempts=0
    [ ! -e "$osr_work/attempts" ] || read -r attempts < "$osr_work/attempts"
    if [ ! -e "$osr_work/next" ]; then
        # The provider's own attempt was the first one; a root that needs no interface had none yet.
        next=$((now + wait))
        if [ "$root" = osr ] && ! osr_is_remote "$(osr_get initrd.root || osr_node OSR_ROOT)"; then next=$now; fi
        printf '%s\n' "$next" > "$osr_work/next"
    fi
    read -r next < "$osr_work/next"
    main_loop=0
    [ "$now" -ge "$next" ] || return 0
    attempts=$((attempts + 1))
    printf '%s\n' "$attempts" > "$osr_work/attempts"
    printf '%s\n' "$((now + wait))" > "$osr_work/next"
    osr_attempt && return 0
    [ ! -e "$NEWROOT/proc" ] || return 0
    osr_info "attempt $attempts of $tries failed; the next one is in $wait seconds"
    [ "$attempts" -lt "$tries" ] ||
        osr_stop "the root could not be mounted in $tries attempts: $(sed -n '$p' "$osr_work/mount.log" 2> /dev/null)" \
            "look after the server and the network"
}

if osr_active && [ -n "$root$netroot" ]; then
    osr_retry
fi
