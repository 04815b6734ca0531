#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# Hook pre-pivot 60, sourced: binds this node's own tree to the place where the CDSL link leads: a directory of its own
# in roots of 2011 (/cdsl.local), or a mount point beside the node trees that the link names (cluster/cdsl/local).
# Without it a machine would use another node's files or none: it never goes on unbound.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

# osr_node_tree TREE: this node's directory: what the node's data calls it, and nothing else; without, by id, else by
# name, unless that is a number: then it is the tree of the node with that id.
osr_node_tree() {
    local tree=$1 name place
    if name=$(osr_node OSR_TREE); then
        set -- "$name"
    else
        name=$(osr_get nodename || echo "")
        if osr_is_id "$name"; then name=""; fi
        set -- "$(osr_get nodeid)" "$name"
    fi
    for name in "$@"; do
        [ -n "$name" ] || continue
        place=$(osr_resolve "$tree/$name") || continue
        [ -d "$NEWROOT$place" ] && printf '%s\n' "$place" && return 0
    done
    return 1
}

# osr_bind: one attempt; on failure osr_why and osr_fix say what to tell.
osr_bind() {
    local tree link place source
    tree=$(osr_resolve "$(osr_get cdsltree)") && [ -d "$NEWROOT$tree" ] || {
        osr_why="the root has no CDSL tree $(osr_get cdsltree)" osr_fix="osrctl cdsl init, or boot with cdsltree= or osr.cdsl=0"
        return 1
    }
    osr_get nodeid > /dev/null || {
        osr_why="the node id is not known" osr_fix="boot with nodeid=N, or here: osr-param set nodeid N"
        return 1
    }
    source=$(osr_node_tree "$tree") || {
        osr_why="no CDSL directory for node $(osr_get nodeid) in $tree" osr_fix="osrctl cdsl repair on the boot host, whose cluster.conf must have the node"
        return 1
    }
    link=$(osr_get cdsllink)
    place=$(osr_resolve "$link") && [ -d "$NEWROOT$place" ] || {
        osr_why="$link leads to no directory in the root" osr_fix="make the directory that it leads to"
        return 1
    }
    case $place in
        / | "$tree" | "$tree"/[0-9]* | "$source" | "$source"/*)
            osr_why="$link leads to $place, over which nothing may be mounted" osr_fix="make it a symbolic link to the mount point beside the node trees"
            return 1
            ;;
    esac
    osr_set initrd.nodedir "$source"
    osr_set cdslmount "$place"
    if [ ! "$NEWROOT$place" -ef "$NEWROOT$source" ]; then
        if ismounted "$NEWROOT$place"; then
            osr_why="something else is mounted at $place" osr_fix="remove it from fstab and cdsltab"
            return 1
        fi
        mount -o "$(osr_get initrd.cdslbind || echo bind)" "$NEWROOT$source" "$NEWROOT$place" || {
            osr_why="$source could not be bound to $place" osr_fix="look at the message of mount above"
            return 1
        }
    fi
    if [ ! "$NEWROOT$place" -ef "$NEWROOT$source" ]; then
        osr_why="$place does not show $source after the bind mount" osr_fix="somebody changes the root at this moment: try again"
        return 1
    fi
    osr_in_fstab "$place" || osr_in_fstab "$link" || osr_keep_mounted "$place" "Own files of node $(osr_get nodeid)"
    osr_info "node $(osr_get nodeid): $source is at $place"
}

# osr_cdsl_wanted: a root without CDSLs that a static initrd boots with no node id has nothing to bind.
osr_cdsl_wanted() {
    local tree
    [ ! -e "$osr_work/nocdsl" ] || return 1
    [ "$(osr_get mode)" = static ] && ! osr_get nodeid > /dev/null || return 0
    tree=$(osr_resolve "$(osr_get cdsltree)") && [ -d "$NEWROOT$tree" ]
}

osr_cdsl() {
    local tries=0 osr_why="" osr_fix=""
    if ! osr_read_only && ! osr_writable; then
        mount -o remount,rw "$NEWROOT" || osr_warn "the shared root is read-only and could not be made writable"
    fi
    osr_identify
    if ! osr_cdsl_wanted; then
        osr_info "no CDSLs are mounted"
        return 0
    fi
    while [ -e "$osr_work/conflict" ] || ! osr_bind; do
        [ ! -e "$osr_work/conflict" ] ||
            osr_why="it is not certain which node this machine is" osr_fix="osr-param set nodeid N says it for this boot"
        tries=$((tries + 1))
        [ "$tries" -le 20 ] || osr_fatal "$osr_why" "$osr_fix"
        osr_blame "$osr_why" "$osr_fix"
        emergency_shell "osr: $osr_why"
    done
}

if osr_active; then
    osr_cdsl
fi
