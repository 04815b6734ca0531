#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# Hook pre-udev 59, sourced, before network-legacy writes its own rules (60): each NIC that appears is shown to osr-nic.
# A node that is known already need not wait for one.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh
# shellcheck source=data/dracut/osr-cluster/osr-net-lib.sh
. /lib/osr/osr-net-lib.sh

if osr_active; then
    if osr_get nodeid > /dev/null; then osr_net_own; fi
    mkdir -p /etc/udev/rules.d
    # shellcheck disable=SC2016 # udev's variable
    printf '%s\n' 'ACTION=="add|move", SUBSYSTEM=="net", KERNEL!="lo", RUN+="/sbin/osr-nic $name"' \
        > /etc/udev/rules.d/59-osr.rules
fi
