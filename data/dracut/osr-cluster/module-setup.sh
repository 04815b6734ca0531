#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # variables of dracut
# dracut module osr-cluster: the cluster's data, for an initrd that serves all nodes without parameters (osr.dracut(7)).

# Only when asked for: the data has no place in a rescue image. It must be there before osr looks into it (depends).
check() {
    local wanted=" ${dracutmodules-} ${add_dracutmodules-} ${force_add_dracutmodules-} "
    [[ $wanted != *" osr-cluster "* ]] || refresh_data
    return 255
}

depends() {
    echo osr
}

# The data comes from osrd. By hand, in a root: osrctl writes it when it is missing or older than cluster.conf.
refresh_data() {
    local data="${dracutsysrootdir-}/etc/osr/initrd" conf="${dracutsysrootdir-}/etc/cluster/cluster.conf"
    if [[ ! -f $data/nodeids || ($conf -nt $data/nodeids && ! -f $data/build) ]]; then
        [[ -f $conf ]] && command -v osrctl > /dev/null && osrctl initrd data --root "${dracutsysrootdir:-/}"
    fi
    [[ -f $data/nodeids && -d $data/nodes.d ]]
}

# What fails here ends the build; in install() dracut 059 only mentions it, and half an image would be used.
installkernel() {
    if ! refresh_data; then
        dfatal "osr-cluster: /etc/osr/initrd has no data of the cluster; run osrctl initrd data in the root."
        return 1
    fi
    return 0
}

install() {
    local data="${dracutsysrootdir-}/etc/osr/initrd" name
    refresh_data || return 1
    mkdir -p "$initdir/etc/osr"
    for name in nodeids nodenames nodeuuids nodes.d network; do
        [[ ! -e $data/$name ]] || cp -rLT "$data/$name" "$initdir/etc/osr/$name"
    done
    install_network "$data/network"
    inst_simple "$moddir/osr-net-lib.sh" /lib/osr/osr-net-lib.sh
    inst_script "$moddir/osr-nic.sh" /sbin/osr-nic
    chmod 0755 "$initdir/sbin/osr-nic"
    inst_hook pre-udev 59 "$moddir/osr-net-rules.sh"
    # dracut links equal files of equal age: a second more or less must not make another image.
    find "$initdir/etc/osr" -exec touch -h -d @0 {} +
}

# Each provider finds its files where it looks for them; they match by hardware address, so all nodes' files may be there.
install_network() {
    if dracut_module_included systemd-networkd; then
        copy_all "$1/systemd" "$initdir/etc/systemd/network" 0644
    elif dracut_module_included network-manager; then
        mkdir -p "$initdir/etc/NetworkManager" # by which osr-net-lib knows it, also when no file is for all nodes
        copy_all "$1/nm" "$initdir/etc/NetworkManager/system-connections" 0600
    else
        : > "$initdir/etc/osr/network-legacy"
    fi
}

copy_all() {
    local file
    for file in "$1"/*; do
        [[ -f $file ]] || continue
        command install -D -m "$3" "$file" "$2/${file##*/}"
        touch -d @0 "$2/${file##*/}"
    done
    return 0
}
