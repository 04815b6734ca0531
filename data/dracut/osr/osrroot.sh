#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# /sbin/osrroot IF NETROOT NEWROOT: what dracut's /sbin/netroot calls for netroot=osr once IF is up. One attempt; the
# hook osr-retry comes back, so that a server that is not there yet does not keep the other interfaces waiting.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

netif=$1 attempt=""
export NEWROOT="${3:-$NEWROOT}"

[ -n "$netif" ] && [ -n "$NEWROOT" ] || exit 1
osr_active || exit 1
osr_identify "$netif"
if [ -e "$osr_work/conflict" ]; then
    exit 1 # the hook osr-retry says so and asks
fi
if ! osr_identified; then
    osr_warn "NIC $netif ($(osr_join "$(osr_macs "$netif")")) is in no node's configuration"
    printf '%s\n' "$netif" > "$osr_work/unmatched.$netif"
    exit 1
fi
osr_identity "$netif"

volume=$(osr_get initrd.root || osr_node OSR_ROOT) || {
    osr_blame "node $(osr_get nodeid) has no root volume in this initrd" "add <rootvolume> in cluster.conf"
    exit 1
}
case $volume in
    nfs:* | nfs4:*)
        # nfs[4]:server:/path[:options]; read-write unless something says ro.
        options=${volume#*:/}
        case $options in
            *:*) options=${options#*:} ;;
            *) options="" volume="$volume:" ;;
        esac
        case ",$options," in
            *,ro,* | *,rw,*) ;;
            *) volume="$volume${options:+,}rw" ;;
        esac
        # mount.nfs would try for two minutes before anybody is told; osr-retry tries longer.
        case ",$options," in
            *,retry=*) attempt=$volume ;;
            *) attempt="$volume,retry=0" ;;
        esac
        handler=/sbin/nfsroot
        ;;
    block:* | virtiofs:* | virtfs:*) exit 0 ;; # mounted by osr-retry, which needs no interface
    *) handler=$(command -v "${volume%%:*}root") ;;
esac
if [ ! -x "$handler" ]; then
    osr_blame "this initrd cannot mount a root of the kind ${volume%%:*}" "install its dracut module in the root and rebuild"
    exit 1
fi
osr_set root "$volume"
osr_info "mounting $volume through $netif"
if "$handler" "$netif" "${attempt:-$volume}" "$NEWROOT" > "$osr_work/mount.log" 2>&1 && ismounted "$NEWROOT"; then
    cat "$osr_work/mount.log"
    exit 0
fi
cat "$osr_work/mount.log" >&2
osr_warn "mounting $volume failed: $(sed -n '$p' "$osr_work/mount.log")"
exit 1
