#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# Hook shutdown 90, sourced in the initramfs that the machine goes back to, when its root is unmounted: the node leaves
# the cluster instead of being missed, which would have it fenced.

for pid in /run/osr/dlm_controld.pid /run/osr/corosync.pid; do
    if [ -r "$pid" ]; then
        read -r pid < "$pid"
        kill -TERM "$pid" 2> /dev/null
        tries=50
        while [ "$tries" -gt 0 ] && kill -0 "$pid" 2> /dev/null; do
            tries=$((tries - 1))
            sleep 0.1
        done
    fi
done
