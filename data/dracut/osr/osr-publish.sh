#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# Hook pre-pivot 90, sourced: what the running system is told (/run/osr, osr.dracut(7)), and this node's report.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

# Files that shutdown scripts of 2011 read: what not to unmount, for which file system the network has to stay, which
# processes to spare. systemd reads none of them.
osr_xfiles() {
    local type
    osr_writable || return 0
    type=$(osr_get rootfs || echo "")
    osr_write "$(osr_word xtabfile || echo /etc/xtab)" "$(osr_get cdsllink)"
    osr_write "$(osr_word xrootfsfile || echo /etc/xrootfs)" "$type"
    osr_write "$(osr_word xkillallprocsfile || echo /etc/xkillallprocs)" ""
}

# osr_write PATH TEXT: a file of the new root, replaced in one step.
osr_write() {
    local place
    place=$(osr_path "$1") && place=$(osr_resolve "$place") && [ ! -d "$NEWROOT$place" ] || return 1
    rm -f "$NEWROOT$place.osr"
    (set -C && printf '%s' "${2:+$2
}" > "$NEWROOT$place.osr") && mv -f "$NEWROOT$place.osr" "$NEWROOT$place"
}

# osr_report: the boot step in this node's own tree, and a unit that reports again when the system is up.
osr_report() {
    local dir
    dir=$(osr_get initrd.nodedir) || return 0
    osr_set nodedir "$dir"
    osr_writable || return 0
    cp /lib/osr/osr-report "$osr_run/report" || return 0
    /bin/sh "$osr_run/report" root "$NEWROOT$dir" || osr_warn "the boot step could not be reported in $dir/.osr"
    mkdir -p /run/systemd/system/multi-user.target.wants
    cat > /run/systemd/system/osr-up.service <<'UNIT'
[Unit]
Description=Report that this node is up
Documentation=man:osr.dracut(7)
After=multi-user.target
ConditionPathExists=/run/osr/report

[Service]
Type=oneshot
ExecStart=/bin/sh /run/osr/report up
UNIT
    ln -sf ../osr-up.service /run/systemd/system/multi-user.target.wants/osr-up.service
}

osr_publish() {
    local type
    while read -r _ where type _; do
        [ "$where" != "$NEWROOT" ] || osr_set rootfs "$type"
    done < /proc/mounts
    osr_get root > /dev/null || osr_set root "$root"
    [ ! -e "$osr_work/cmdline" ] || umount /proc/cmdline # see osr-net-lib
    if getargbool 0 osr.xfiles; then osr_xfiles; fi
    if getargbool 1 osr.report; then osr_report; fi
    rm -rf "$osr_work" "$osr_run"/initrd.*
}

if osr_active; then
    osr_publish
fi
