#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# Hook netroot 10, sourced by /sbin/netroot IF right before the handler that mounts: also where root=nfs... is given,
# the NFSv4 identity must be set first. The interface is noted, so that a failed mount is tried again on it.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

if osr_active; then
    : "${netif:=$1}"
    printf '%s\n' "$netif" > "$osr_work/interface.$netif"
    osr_identify "$netif"
    # A root that is ours to find is not mounted before the node is known; any other one is mounted now.
    if [ "$root" != osr ] || osr_identified; then osr_identity "$netif"; fi
fi
