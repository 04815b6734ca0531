#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes a checkout runnable: `bootstrap.sh demo` or `bootstrap.sh test`. As root it installs the distribution's
# packages that are missing; as anybody else it says which command would, and goes on only if none is needed.
# Servers that would start by themselves on this machine (ISC dhcpd, Kea) are installed in CI only.
set -eu
purpose=${1:-demo}
cd "$(dirname "$0")/.."

# One line a thing: what proves that it is there | Debian package | Fedora package. A proof is a command, a file
# (with a slash) or a pkg-config module (pc:NAME).
needed() {
    cat <<'LIST'
gcc|gcc|gcc
pkg-config|pkg-config|pkgconf-pkg-config
pc:libsystemd|libsystemd-dev|systemd-devel
dbus-daemon|dbus|dbus-daemon
dnsmasq|dnsmasq-base|dnsmasq
py:ensurepip|python3-venv|python3-libs
py-header|python3-dev|python3-devel
LIST
    [ "$purpose" = test ] || [ "$purpose" = demo ] && cat <<'LIST'
/usr/lib/PXELINUX/pxelinux.0:/usr/share/syslinux/pxelinux.0:/tftpboot/pxelinux.0|pxelinux|syslinux-tftpboot
/usr/lib/syslinux/modules/bios/ldlinux.c32:/usr/share/syslinux/ldlinux.c32:/tftpboot/ldlinux.c32|syslinux-common|syslinux-nonlinux
grub-mkimage:grub2-mkimage|grub-common|grub2-tools-minimal
/usr/lib/grub/x86_64-efi/normal.mod|grub-efi-amd64-bin|grub2-efi-x64-modules
LIST
    [ "$purpose" = test ] && cat <<'LIST'
pc:dbus-1|libdbus-1-dev|dbus-devel
pc:glib-2.0|libglib2.0-dev|glib2-devel
gdbus|libglib2.0-bin|glib2
busctl|systemd|systemd
strace|strace|strace
ip|iproute2|iproute
setpriv|util-linux|util-linux
dhclient|isc-dhcp-client|dhcp-client
tftp|tftp-hpa|tftp
grub-script-check:grub2-script-check|grub-common|grub2-tools
/usr/lib/ipxe/undionly.kpxe:/usr/share/ipxe/undionly.kpxe|ipxe|ipxe-bootimgs-x86
/usr/lib/polkit-1/polkitd|polkitd|polkit
man|man-db|man-db
LIST
    [ "$purpose" = test ] && [ "${CI:-}" = true ] && cat <<'LIST'
dhcpd|isc-dhcp-server|dhcp-server
kea-dhcp4|kea-dhcp4-server|kea
/usr/lib/shim/shimx64.efi.signed:/boot/efi/EFI/fedora/shimx64.efi|shim-signed|shim-x64
/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed:/boot/efi/EFI/fedora/grubx64.efi|grub-efi-amd64-signed|grub2-efi-x64
LIST
    return 0
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
}

present() { # one proof
    case $1 in
        pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
        py:*) [ -n "$python" ] && "$python" -c "import ${1#py:}" 2>/dev/null ;;
        py-header) [ -n "$python" ] && "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' 2>/dev/null ;;
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing() { # field of the package name for this distribution
    needed | while IFS='|' read -r proofs debian fedora; do
        found=
        for proof in $(echo "$proofs" | sed 's/\(pc\|py\):/\1=/g' | tr ':' ' ' | sed 's/\(pc\|py\)=/\1:/g'); do
            if present "$proof"; then found=yes; fi
        done
        if [ -z "$found" ]; then
            if [ "$1" = debian ]; then echo "$debian"; else echo "$fedora"; fi
        fi
    done | sort -u | tr '\n' ' '
}

python=$(python)
if command -v apt-get >/dev/null 2>&1; then
    family=debian install="apt-get install -y --no-install-recommends"
elif command -v dnf >/dev/null 2>&1; then
    family=fedora install="dnf install -y"
else
    family=other install=
fi

if [ -z "$python" ]; then
    [ "$family" = debian ] && packages="python3 python3-venv python3-dev" || packages="python3 python3-devel"
else
    packages=
fi
packages="$packages$(missing $family)"
if [ -n "$packages" ]; then
    if [ "$family" = other ]; then
        echo "This is neither a Debian nor a Fedora system. Install what these Debian packages hold: $packages" >&2
        exit 1
    elif [ "$(id -u)" != 0 ]; then
        echo "Some packages are missing. Ask an administrator for this command, then try again:" >&2
        echo "    sudo $install $packages" >&2
        exit 1
    fi
    echo "Installing: $packages"
    log=$(mktemp)
    if [ "$family" = debian ]; then
        apt-get update >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    fi
    # The package names are ours, never input: they may be split into words.
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $install $packages >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
    rm -f "$log"
    python=$(python)
fi

extra=
[ "$purpose" = test ] && extra='[test]'
stamp=.venv/.osrd-$purpose
if [ ! -e "$stamp" ] || [ setup.cfg -nt "$stamp" ]; then
    echo "Preparing .venv"
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    log=$(mktemp)
    .venv/bin/pip install --disable-pip-version-check -e ".$extra" >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
    rm -f "$log"
    touch "$stamp"
fi
