#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# The network of the node from the baked data, sourced by osr-cmdline and osr-nic. The providers networkd and
# NetworkManager find ready files by hardware address; dracut's older one (network-legacy) reads words like ip= when an
# interface appears, so the words of this node are written as soon as the node and the names of its NICs are known.

# osr_net_baked: whether the baked network is to be used. Decided at the start: later there is an ip= of our own.
osr_net_baked() {
    [ ! -e "$osr_work/netgiven" ]
}

# osr_net_given: whether the administrator gives the network. ip=cluster says that it is the baked one.
osr_net_given() {
    local value
    for value in $(getargs ip=); do
        [ "$value" = cluster ] || return 0
    done
    return 1
}

# osr_net_hide: dracut's own scripts do not know ip=cluster; network-legacy would halt the machine. They see the kernel
# command line without it, until osr-publish.
osr_net_hide() {
    local value
    for value in $(getargs ip=); do
        [ "$value" = cluster ] || continue
        sed 's/^/ /; s/$/ /; :a; s/ ip=cluster / /; ta' /proc/cmdline > "$osr_work/cmdline" &&
            mount -o bind "$osr_work/cmdline" /proc/cmdline
        return 0
    done
}

# osr_net_nic MAC: the interface that has this address.
osr_net_nic() {
    local nic mac
    for nic in $(osr_nics); do
        # What is built on NICs has the address of one of them.
        [ ! -d "/sys/class/net/$nic/bonding" ] && [ ! -d "/sys/class/net/$nic/bridge" ] || continue
        case $nic in
            *.*) continue ;;
        esac
        for mac in $(osr_macs "$nic"); do
            [ "$mac" != "$1" ] || { printf '%s\n' "$nic"; return 0; }
        done
    done
    return 1
}

# osr_net_words FILE: its words, one a line, with @IF:<mac>@ replaced by the interface's name. A NIC that has not
# appeared yet gets a name that no interface has: network-legacy then waits with the bond instead of using one slave
# of it by itself.
osr_net_words() {
    local word words out mac nic
    while read -r words || [ -n "$words" ]; do
        for word in $words; do
            case $word in
                "#"*) break ;;
            esac
            out=
            while [ "${word#*@IF:}" != "$word" ]; do
                out="$out${word%%@IF:*}"
                word=${word#*@IF:}
                mac=${word%%@*}
                word=${word#*@}
                nic=$(osr_net_nic "$mac") || nic=osr$(printf '%s' "$mac" | sed 's/://g')
                out="$out$nic"
            done
            printf '%s\n' "$out$word"
        done
    done < "$1"
}

# osr_net_file: the words of this node; fails where another provider has them in files of its own.
osr_net_file() {
    local file
    file="$osr_etc/network/legacy/$(osr_get nodeid)"
    [ -e "$osr_etc/network-legacy" ] && [ -f "$file" ] && osr_net_baked && printf '%s\n' "$file"
}

# osr_net_write FILE: where dracut's scripts read words. BOOTIF= would make them wait for an address on a NIC that may
# be a bond's; the words name what has addresses.
osr_net_write() {
    mkdir -p /etc/cmdline.d
    { osr_net_words "$1" && echo rd.bootif=0; } > "$osr_work/words" && mv -f "$osr_work/words" /etc/cmdline.d/21-osr.conf
}

# osr_net_early: at the start, when the node is known already and its words name interfaces by ifname=: dracut's own
# scripts do the rest. Words with the kernel's names have to wait for the interfaces.
osr_net_early() {
    local file
    file=$(osr_net_file) && ! grep -q '@IF:' "$file" || return 1
    osr_net_write "$file"
    : > "$osr_work/netearly"
}

# osr_net_late: when an interface has appeared: what dracut's scripts did at the start without these words.
osr_net_late() {
    local file hook device
    [ ! -e "$osr_work/netearly" ] && file=$(osr_net_file) || return 0
    osr_net_rename "$file"
    osr_net_write "$file"
    if device=$(osr_word bootdev); then printf '%s\n' "$device" > /tmp/net.bootdev; fi
    for hook in "$hookdir"/cmdline/*parse-vlan.sh "$hookdir"/cmdline/*parse-bond.sh "$hookdir"/cmdline/*parse-bridge.sh; do
        # shellcheck source=/dev/null
        [ ! -e "$hook" ] || (. "$hook")
    done
    return 0
}

# osr_net_rename FILE: what ifname= is too late for: udev has named these interfaces. The job that brings one up under
# its old name finds nothing and ends.
osr_net_rename() {
    local words word name mac nic
    while read -r words || [ -n "$words" ]; do
        for word in $words; do
            case $word in
                ifname=*) ;;
                *) continue ;;
            esac
            word=${word#ifname=}
            name=${word%%:*}
            mac=${word#*:}
            nic=$(osr_net_nic "$mac") && [ "$nic" != "$name" ] || continue
            ip link set dev "$nic" down
            ip addr flush dev "$nic"
            ip link set dev "$nic" name "$name" || continue
            /sbin/initqueue --name "ifup-$name" --unique --onetime /sbin/ifup "$name"
        done
    done < "$1"
}

# osr_net_cmdline: at the start, from osr-cmdline.
osr_net_cmdline() {
    local file
    if osr_net_given; then
        : > "$osr_work/netgiven"
        for file in "$osr_etc"/network/systemd/* "$osr_etc"/network/nm/*; do
            rm -f "/etc/systemd/network/${file##*/}" "/etc/NetworkManager/system-connections/${file##*/}"
        done
        osr_net_hide
        return 0
    fi
    osr_net_hide
    # NetworkManager's own hook of this stage (99) empties the directory; osr-net-rules comes after it.
    if osr_get nodeid > /dev/null && [ ! -d /etc/NetworkManager ]; then osr_net_own; fi
    if [ -e "$osr_etc/network-legacy" ]; then osr_net_early || osr_tell rd.bootif=0; fi
}

# osr_net_own: files for this node alone, once: bonds, VLANs and bridges have no hardware address to match.
osr_net_own() {
    local dir units place
    [ ! -e "$osr_work/netown" ] && [ ! -e "$osr_etc/network-legacy" ] && osr_net_baked || return 0
    : > "$osr_work/netown"
    if [ -d /etc/NetworkManager ]; then
        dir=$osr_etc/network/nm place=/run/NetworkManager/system-connections
        units="nm-initrd.service NetworkManager-initrd.service" # dracut's, and from 1.54 on NetworkManager's own
    else
        dir=$osr_etc/network/systemd place=/run/systemd/network units=systemd-networkd.service
    fi
    dir="$dir/$(osr_get nodeid)"
    [ -d "$dir" ] || return 0
    mkdir -p "$place"
    cp "$dir"/* "$place"
    [ "$units" = systemd-networkd.service ] || chmod 0600 "$place"/*
    # Whoever runs already reads them anew; networkd's reload needs networkctl, which older initrds lack.
    # shellcheck disable=SC2086 # words
    systemctl --no-block try-restart $units 2> /dev/null
    return 0
}
