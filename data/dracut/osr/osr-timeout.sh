#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# Hook initqueue/timeout 60, sourced when dracut has waited for two thirds of rd.retry: nothing more will turn up, so
# somebody is asked. It comes after osr-retry, whose functions it uses.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

osr_give_up() {
    local volume
    if ! osr_get nodeid > /dev/null; then
        osr_stop "no NIC of this machine is in the table of nodes" \
            "add its hardware address to cluster.conf and rebuild, boot with nodeid=N, or here: osr-param set nodeid N"
        return
    fi
    volume=$(osr_get initrd.root || osr_node OSR_ROOT) || volume=
    case $volume in
        "") osr_stop "node $(osr_get nodeid) has no root volume in this initrd" "add <rootvolume> in cluster.conf and rebuild" ;;
        block:*) osr_stop "the device of the root (${volume#block:}) did not appear" "look after the storage and its driver" ;;
        *) osr_stop "no network interface came up" "look after cables, drivers and DHCP, or give ip= (dracut.cmdline(7))" ;;
    esac
}

if osr_active && [ "$root" = osr ] && [ ! -e "$NEWROOT/proc" ]; then
    osr_give_up
fi
