#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# Hooks emergency 50 and shutdown-emergency 10, sourced before dracut's shell opens, or before the machine is halted
# when there is none (rd.shell=0): says what was looked for and what was found, and reboots after a time if asked to.

# At the end of the machine there is nothing to say, and maybe no library: see osr_keep_initramfs.
[ "$action" != Shutdown ] || return 0

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

osr_diagnosis() {
    local nic mac
    echo "Open Sharedroot could not boot this machine."
    echo
    if [ -s "$osr_run/diagnosis" ]; then cat "$osr_run/diagnosis"; fi
    echo
    echo "node id:      $(osr_get nodeid || echo unknown)$(osr_get nodeid_source | sed 's/.*/ (by &)/')"
    for nic in $(osr_nics); do
        mac=$(osr_join "$(osr_macs "$nic")")
        echo "interface:    $nic $mac, $(cat "/sys/class/net/$nic/operstate" 2> /dev/null)"
    done
    if [ -r "$osr_etc/nodeids" ]; then echo "nodes known:  $(osr_ids)"; else echo "nodes known:  none: the initrd has no cluster data"; fi
    echo "root:         $(osr_get root || osr_get initrd.root || osr_node OSR_ROOT || echo "${root:-unknown}")"
    echo "CDSLs:        $(osr_get cdsltree) at $(osr_get cdsllink)"
    echo
    echo "osr-param list shows what is known, osr-param set nodeid N says which node this is; leaving the shell goes on."
}

# osr_reboot_later SECONDS: in the background, unless somebody in the shell says osr-param set reboot 0.
osr_reboot_later() {
    local left=$1
    (
        while [ "$left" -gt 0 ]; do
            sleep 1
            [ -e "$osr_work/emergency" ] && [ "$(osr_get reboot)" != 0 ] || exit 0
            left=$((left - 1))
        done
        sync
        reboot -f
        echo b > /proc/sysrq-trigger
    ) &
}

osr_emergency() {
    local seconds tty
    mkdir -p "$osr_work"
    : > "$osr_work/emergency"
    osr_diagnosis > "$osr_work/report"
    seconds=$(osr_number "$(osr_word osr.reboot)" 0)
    if [ "$seconds" -gt 0 ]; then
        echo "This machine reboots in $seconds seconds; osr-param set reboot 0 stops that." >> "$osr_work/report"
    fi
    if [ -n "$DRACUT_SYSTEMD" ]; then
        while read -r tty _; do
            cat "$osr_work/report" > "/dev/$tty"
        done < /proc/consoles
    else
        cat "$osr_work/report"
    fi
    [ "$seconds" -gt 0 ] || return 0
    if [ "$hook" = shutdown-emergency ]; then
        sleep "$seconds"
        reboot -f
    else
        osr_reboot_later "$seconds"
    fi
}

if osr_active; then
    osr_emergency
fi
