#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes a checkout runnable: `bootstrap.sh demo`, `test`, or `boot` (tests in which machines boot). As root it
# installs the distribution's packages that are missing; as anybody else it says which command would, and goes on only
# if none is needed. Servers that would start by themselves on this machine are installed in CI only, and for boot, where
# none is started, nor enabled.
set -eu
purpose=${1:-demo}
cd "$(dirname "$0")/.."
# Two of us in one checkout would install into the same .venv. The lock ends with this process: what packages start
# on their installation must not inherit it.
[ -n "${OSRD_BOOTSTRAP_LOCKED:-}" ] || exec env OSRD_BOOTSTRAP_LOCKED=1 flock --close . packaging/bootstrap.sh "$purpose"

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# One line a thing: proofs that it is there, one of them is enough | Debian package | Fedora package. A proof is a
# command, a file (with a slash), a pkg-config module (pc:NAME) or something of Python's (py:EXPRESSION).
needed() {
    cat <<'LIST'
py:version_info>=(3,11)|python3|python3
py:find_spec("ensurepip")|python3-venv|python3-libs
py:exists(get_path("include")+"/Python.h")|python3-dev|python3-devel
gcc|gcc|gcc
pkg-config|pkg-config|pkgconf-pkg-config
pc:libsystemd|libsystemd-dev|systemd-devel
dbus-daemon|dbus|dbus-daemon
dnsmasq|dnsmasq-base|dnsmasq
/usr/lib/PXELINUX/pxelinux.0 /usr/share/syslinux/pxelinux.0|pxelinux|syslinux-nonlinux
/usr/lib/syslinux/modules/bios/ldlinux.c32 /usr/share/syslinux/ldlinux.c32|syslinux-common|syslinux-nonlinux
grub-mkimage grub2-mkimage|grub-common|grub2-tools
LIST
    # Debian has it on the machines only that boot with it; osrd says so where nodes need it.
    [ "$(uname -m)" != x86_64 ] || cat <<'LIST'
/usr/lib/grub/x86_64-efi/normal.mod|grub-efi-amd64-bin|grub2-efi-x64-modules
LIST
    [ "$purpose" = demo ] || cat <<'LIST'
pc:dbus-1|libdbus-1-dev|dbus-devel
pc:glib-2.0|libglib2.0-dev|glib2-devel
dbus-send|dbus-bin|dbus-tools
gdbus|libglib2.0-bin|glib2
busctl|systemd|systemd
systemd-nspawn|systemd-container|systemd-container
busybox|busybox|busybox
strace|strace|strace
ip|iproute2|iproute
nft|nftables|nftables
iptables-legacy iptables-nft|iptables|iptables-legacy
setpriv|util-linux|util-linux
dhclient|isc-dhcp-client|dhcp-client
tftp|tftp-hpa|tftp
patch|patch|patch
zstd|zstd|zstd
lz4|lz4|lz4
lzop|lzop|lzop
rsync|rsync|rsync
ssh-keygen|openssh-client|openssh
debootstrap|debootstrap|debootstrap
dash|dash|dash
busybox|busybox|busybox
shellcheck|shellcheck|ShellCheck
/usr/lib/dracut/dracut-util|dracut-core|dracut
/usr/lib/dracut/modules.d/40network/netroot.sh /usr/lib/dracut/modules.d/45net-lib/netroot.sh|dracut-network|dracut-network
/usr/lib/dracut/modules.d/95nfs/nfsroot.sh /usr/lib/dracut/modules.d/74nfs/nfsroot.sh|dracut-network|dracut-network
/usr/lib/systemd/systemd-networkd /lib/systemd/systemd-networkd|systemd|systemd-networkd
groff|groff-base|groff-base
man|man-db|man-db
/usr/lib/ipxe/undionly.kpxe /usr/share/ipxe/undionly.kpxe|ipxe|ipxe-bootimgs-x86
/usr/lib/polkit-1/polkitd|polkitd|polkit
LIST
    # What is installed and packaged runs with the distribution's own libraries.
    [ "$purpose" = demo ] || for library in click:click dbus_next:dbus-next jinja2:jinja2 lxml:lxml \
        pyinotify.py:pyinotify pyudev:pyudev rich:rich systemd:systemd; do
        echo "/usr/lib*/python3*/*-packages/${library%:*}|python3-${library#*:}|python3-${library#*:}"
    done
    # Debian's packages are built on Debian.
    [ "$purpose,$family" != test,debian ] || cat <<'LIST'
dpkg-buildpackage|dpkg-dev|
dh|debhelper|
dh_python3|dh-python|
lintian|lintian|
LIST
    [ "$purpose" != test ] || cat <<'LIST'
rpmbuild|rpm|rpm-build
rpmlint|rpmlint|rpmlint
LIST
    [ "$purpose,${CI:-}" != test,true ] && [ "$purpose" != boot ] || cat <<'LIST'
qemu-system-x86_64|qemu-system-x86|qemu-system-x86-core
/usr/lib/ipxe/qemu/efi-virtio.rom /usr/share/ipxe/qemu/efi-virtio.rom|ipxe-qemu|ipxe-roms-qemu
/usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2|ovmf|edk2-ovmf
ganesha.nfsd|nfs-ganesha|nfs-ganesha
/usr/lib/ganesha/libfsalvfs.so /usr/lib/x86_64-linux-gnu/ganesha/libfsalvfs.so /usr/lib64/ganesha/libfsalvfs.so|nfs-ganesha-vfs|nfs-ganesha-vfs
rpcbind|rpcbind|rpcbind
mkfs.ext4|e2fsprogs|e2fsprogs
nsenter|util-linux|util-linux
dhcpd|isc-dhcp-server|dhcp-server
kea-dhcp4|kea-dhcp4-server|kea
in.tftpd|tftpd-hpa|tftp-server
LIST
    [ "$purpose,${CI:-}" != test,true ] || cat <<'LIST'
mkfs.btrfs|btrfs-progs|btrfs-progs
LIST
}

find_python() { # the first that is new enough
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return; fi
    done
    python=
}

present() { # one proof
    case $1 in
        pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
        py:*) [ -n "$python" ] && "$python" -c "from importlib.util import find_spec
from os.path import exists
from sys import exit, version_info
from sysconfig import get_path
exit(not (${1#py:}))" 2>/dev/null ;;
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

missing() { # the packages, on one line
    needed | while IFS='|' read -r proofs debian fedora; do
        found=
        for proof in $proofs; do
            if present "$proof"; then found=yes; fi
        done
        [ -n "$found" ] || if [ "$family" = fedora ]; then echo "$fedora"; else echo "$debian"; fi
    done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

fail() {
    [ ! -s "$log" ] || tail -n 20 "$log" >&2
    printf '%s\n' "$@" >&2
    exit 1
}

# The package names are ours, never input: they may be split into words.
# shellcheck disable=SC2086
install_packages() {
    if [ "$family" = fedora ]; then
        dnf install -y $packages >"$log" 2>&1
        return
    fi
    export DEBIAN_FRONTEND=noninteractive
    if [ "$purpose" = boot ] && [ ! -e "$policy" ]; then
        # Debian asks it whether a service may start on its installation: a DHCP server must not answer this network.
        trap 'rm -f "$log" "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # Somebody else may hold dpkg's lock, and a mirror that is being updated contradicts itself for a moment.
    again="-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300"
    for try in 1 2 3; do
        [ "$try" = 1 ] || sleep 10
        if apt-get $again update >"$log" 2>&1 &&
            apt-get $again install -y --no-install-recommends $packages >>"$log" 2>&1; then
            [ "$purpose" != boot ] || disable_servers
            return
        fi
    done
    return 1
}

# They are for tests, which start them by themselves: the next boot of this machine shall not, either. Those that were
# here before are not among the packages.
# shellcheck disable=SC2086
disable_servers() {
    for package in $packages; do
        case $package in
            isc-dhcp-server | kea-dhcp4-server | nfs-ganesha | tftpd-hpa) units=$package ;;
            rpcbind) units="rpcbind.service rpcbind.socket" ;;
            *) continue ;;
        esac
        systemctl disable $units >>"$log" 2>&1 || echo "$package starts with this machine; to prevent it: systemctl disable $units"
    done
}

if command -v apt-get >/dev/null 2>&1; then
    family=debian
elif command -v dnf >/dev/null 2>&1; then
    family=fedora
else
    family=other
fi
find_python
packages=$(missing)
if [ -n "$packages" ]; then
    sudo=$(command -v sudo >/dev/null 2>&1 && echo "sudo " || :)
    case $family in
        debian) command="${sudo}apt-get update && ${sudo}apt-get install --no-install-recommends $packages" ;;
        fedora) command="${sudo}dnf install $packages" ;;
        *) fail "This is neither a Debian nor a Fedora system. Install what these Debian packages hold: $packages" ;;
    esac
    [ "$(id -u)" = 0 ] || fail "Some packages are missing. Run this command as root, then try again:" "    $command"
    echo "Installing: $packages"
    install_packages || fail "The packages could not be installed. Try by hand: $command"
    find_python
    packages=$(missing)
    [ -z "$packages" ] || fail "Still missing after their installation: $packages. osrd needs Debian 12 or Fedora 39, or newer."
fi

# What was installed for the tests is enough for the demo; the path, because a checkout may have been moved.
prepared() {
    for stamp in .venv/.osrd-test .venv/.osrd-boot ".venv/.osrd-$purpose"; do
        if [ "$(cat "$stamp" 2>/dev/null)" = "$PWD" ] && [ ! setup.cfg -nt "$stamp" ] &&
            .venv/bin/python -c 'import click' 2>/dev/null; then return 0; fi
    done
    return 1
}

if ! prepared; then
    echo "Preparing .venv"
    if [ ! -w . ] || { [ -e .venv ] && [ ! -w .venv ]; }; then
        fail "$PWD or .venv in it is not $(id -un)'s to write: remove .venv, or clone into a directory of your own."
    fi
    # After an upgrade of the distribution .venv points to a Python that is gone, or holds another one's modules.
    .venv/bin/python -c 'import pip' 2>/dev/null || "$python" -m venv --clear .venv >"$log" 2>&1 || fail
    extra=
    [ "$purpose" = demo ] || extra='[test]'
    .venv/bin/python -m pip install --disable-pip-version-check -e ".$extra" >"$log" 2>&1 ||
        fail "Python packages could not be installed into .venv: is the network there?"
    echo "$PWD" >".venv/.osrd-$purpose"
fi
