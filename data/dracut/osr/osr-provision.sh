#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# Hook pre-pivot 62, sourced: the machine id and the host name that PID 1 of the new root is about to read. It comes
# after the CDSL mount: only then do /etc/machine-id and /etc/hostname lead to this node's own files.
#
# An empty machine-id is filled by systemd from the D-Bus file of the shared /var, so that all nodes get one id; a
# missing one makes it apply presets to the shared /etc. Neither may happen.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

osr_is_machine_id() {
    case $1 in
        *[!0-9a-f]* | 00000000000000000000000000000000) return 1 ;;
        ????????????????????????????????) return 0 ;;
    esac
    return 1
}

# osr_is_own PATH: whether a resolved path of the new root is among this node's own files.
osr_is_own() {
    local dir
    for dir in "$(osr_get cdslmount)" "$(osr_get initrd.nodedir)"; do
        [ -n "$dir" ] || continue
        case $1 in
            "$dir"/*) return 0 ;;
        esac
    done
    return 1
}

# osr_cover PATH CONTENT: this node sees CONTENT at a file that all nodes share. Nothing is written into the root.
osr_cover() {
    local name=${1##*/}
    mkdir -p "$osr_run/own"
    printf '%s\n' "$2" > "$osr_run/own/$name" && chmod 0444 "$osr_run/own/$name" &&
        mount -o bind "$osr_run/own/$name" "$NEWROOT$1"
}

osr_machine_id() {
    local place now="" id
    place=$(osr_resolve /etc/machine-id) || return 1
    [ ! -f "$NEWROOT$place" ] || IFS= read -r now < "$NEWROOT$place" || :
    id=$(osr_node OSR_MACHINEID) && osr_is_machine_id "$id" || id=""
    if osr_is_machine_id "$now"; then
        osr_is_own "$place" || [ -z "$id" ] || [ "$id" = "$now" ] || {
            osr_warn "/etc/machine-id is shared by all nodes; node $(osr_get nodeid) boots with its own"
            osr_cover_id "$place" "$id"
        }
        return
    fi
    if [ -z "$id" ]; then
        IFS= read -r id < /proc/sys/kernel/random/uuid
        id=$(printf '%s\n' "$id" | sed 's/-//g')
    fi
    if osr_is_own "$place" && osr_writable; then
        # Written aside and renamed: half an id is worse than none.
        rm -f "$NEWROOT$place.osr"
        (umask 0222 && set -C && printf '%s\n' "$id" > "$NEWROOT$place.osr") && mv -f "$NEWROOT$place.osr" "$NEWROOT$place" && {
            osr_info "this node's machine id is $id now"
            return 0
        }
    fi
    [ -f "$NEWROOT$place" ] && osr_cover_id "$place" "$id" && {
        osr_warn "/etc/machine-id has no id of this node's own; it boots with $id, until the next boot"
        return 0
    }
    osr_warn "this node has no machine id: make /etc/machine-id host-dependent (osrctl root prepare)"
}

# systemd would write an id that is mounted over the file into the file, which all nodes share.
osr_cover_id() {
    osr_cover "$1" "$2" || return 1
    mkdir -p /run/systemd/system
    ln -sfn /dev/null /run/systemd/system/systemd-machine-id-commit.service
    osr_keep_mounted "$1" "Machine id of node $(osr_get nodeid)"
}

osr_hostname() {
    local place name now=""
    name=$(osr_node OSR_HOSTNAME || osr_node OSR_NODENAME || osr_get nodename) || return 0
    printf '%s\n' "$name" > /proc/sys/kernel/hostname
    place=$(osr_resolve /etc/hostname) && [ -f "$NEWROOT$place" ] || return 0 # PID 1 keeps the kernel's name then
    IFS= read -r now < "$NEWROOT$place" || :
    if osr_is_own "$place"; then
        [ -n "$now" ] || ! osr_writable || printf '%s\n' "$name" > "$NEWROOT$place"
    elif [ "$now" != "$name" ]; then
        osr_warn "/etc/hostname is shared by all nodes and says ${now:-nothing}; node $(osr_get nodeid) is $name"
        osr_cover "$place" "$name" && osr_keep_mounted "$place" "Host name of node $(osr_get nodeid)"
    fi
}

if osr_active && getargbool 1 osr.provision; then
    osr_machine_id
    osr_hostname
fi
