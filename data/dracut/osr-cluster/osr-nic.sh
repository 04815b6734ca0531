#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# /sbin/osr-nic IF: run by udev when a NIC appears, before dracut brings it up: may tell which node this machine is, and
# brings the words of the node's network up to date. Quick, and several may run at once.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh
# shellcheck source=data/dracut/osr-cluster/osr-net-lib.sh
. /lib/osr/osr-net-lib.sh

osr_active || exit 0
for mac in $(osr_macs "$1"); do
    osr_learn_by nodeids "$mac" "NIC $1 ($mac)"
done
osr_get nodeid > /dev/null || exit 0
(
    flock 8
    osr_net_own
    osr_net_late
) 8> "$osr_work/netlock"
