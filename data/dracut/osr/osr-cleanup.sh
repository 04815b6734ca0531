#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# Hook cleanup 05, sourced: dracut's NFS module moves rpc_pipefs to var/lib/nfs/rpc_pipefs of the new root (cleanup 99).
# Where /var is an absolute symbolic link that would be a place in the initramfs; the file says a better one.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

osr_rpc_pipefs() {
    local place
    [ ! -e /tmp/nfs.rpc_pipefs_path ] && ismounted /var/lib/nfs/rpc_pipefs || return 0
    place=$(osr_resolve /var/lib/nfs/rpc_pipefs) && [ -d "$NEWROOT$place" ] || return 0
    [ "$place" = /var/lib/nfs/rpc_pipefs ] || printf '%s\n' "${place#/}" > /tmp/nfs.rpc_pipefs_path
}

if osr_active; then
    osr_rpc_pipefs
fi
