#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# The network of the node from the baked data, sourced by osr-cmdline and osr-nic. The providers networkd and
# NetworkManager find ready files by hardware address; dracut's older one (network-legacy) reads words like ip= when an
# interface appears, so the words of this node are written as soon as the node and the names of its NICs are known.

# osr_net_baked: whether the baked network is to be used: not with an ip= of the administrator's, except ip=cluster.
osr_net_baked() {
    local value
    for value in $(getargs ip=); do
        [ "$value" = cluster ] || return 1
    done
    return 0
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

# osr_net_apply: writes the words of this node and has dracut's scripts read what they read only once.
osr_net_apply() {
    local file hook
    file="$osr_etc/network/legacy/$(osr_get nodeid)"
    [ -e "$osr_etc/network-legacy" ] && [ -r "$file" ] && osr_net_baked || return 0
    mkdir -p /etc/cmdline.d
    osr_net_words "$file" > "$osr_work/words"
    # BOOTIF= would make dracut wait for an address on a NIC that may be a bond's; the words name what has addresses.
    echo rd.bootif=0 >> "$osr_work/words"
    mv -f "$osr_work/words" /etc/cmdline.d/21-osr-network.conf
    for hook in "$hookdir"/cmdline/*parse-vlan.sh "$hookdir"/cmdline/*parse-bond.sh "$hookdir"/cmdline/*parse-bridge.sh; do
        # shellcheck source=/dev/null
        [ ! -e "$hook" ] || (. "$hook")
    done
    return 0
}

# osr_net_cmdline: at the start, when no interface has to be there yet.
osr_net_cmdline() {
    local file
    if ! osr_net_baked; then
        for file in "$osr_etc"/network/systemd/* "$osr_etc"/network/nm/*; do
            rm -f "/etc/systemd/network/${file##*/}" "/etc/NetworkManager/system-connections/${file##*/}"
        done
        return 0
    fi
    if osr_get nodeid > /dev/null; then osr_net_node; fi
    if [ -e "$osr_etc/network-legacy" ]; then osr_tell rd.bootif=0; fi
}

# osr_net_node: files for this node alone (bonds, VLANs and bridges have no hardware address to match): once.
osr_net_node() {
    local dir
    [ ! -e "$osr_work/netnode" ] && osr_net_baked || return 0
    dir="$osr_etc/network/systemd/$(osr_get nodeid)"
    : > "$osr_work/netnode"
    [ -d "$dir" ] && [ ! -e "$osr_etc/network-legacy" ] || return 0
    mkdir -p /run/systemd/network
    cp "$dir"/* /run/systemd/network/
    # networkd's reload needs networkctl, which is in no initrd.
    systemctl --no-block try-restart systemd-networkd.service
}
