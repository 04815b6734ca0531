#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC2154 # variables of dracut
# dracut module osr-network, only for dracut up to 107 and numbered below its module network: that one takes
# systemd-networkd wherever the program is installed, and this pair never calls /sbin/netroot in these versions, so that
# no network root is ever mounted. Whoever comes first decides the provider; this module comes first.

# Included by itself exactly where osr is.
check() {
    local wanted=" ${dracutmodules-} ${add_dracutmodules-} ${force_add_dracutmodules-} "
    [[ $wanted == *" osr "* || $wanted == *" osr-"* ]] || return 255
    if ! require_binaries dhclient || ! require_any_binary arping arping2; then
        dfatal "osr needs dhclient and arping in the root for its network (Debian: isc-dhcp-client, iputils-arping)."
        return 1
    fi
    return 0
}

depends() {
    echo network-legacy
}

install() {
    return 0
}
