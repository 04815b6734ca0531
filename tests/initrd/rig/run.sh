#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# run.sh DIRECTORY BASE SOURCES SHELL MODULES: runs DIRECTORY/stages in an initrd of its own: its own mounts, network,
# processes and host name; the rest of the machine does not notice. Everything that is written stays below DIRECTORY.
# Without MODULES, BASE is a whole initrd as dracut made it.
set -e
place=$1 base=$2 root=$1/root
mount --make-rprivate /
mkdir -p "$place/upper" "$place/work"
if [ -n "$5" ]; then
    mount --bind "$root" "$root" # else a program that asks for mounts of its own is refused
    mount -t overlay -o "lowerdir=$base/usr:/usr,upperdir=$place/upper,workdir=$place/work" overlay "$root/usr"
    part=ours
else
    mkdir "$place/image"
    mount -t overlay -o "lowerdir=$base,upperdir=$root,workdir=$place/work" overlay "$place/image"
    root=$place/image part=machine
fi
ip link set lo up
while read -r name mac; do
    # Kernels of small virtual machines may have one kind of interface and not the other.
    ip link add "$name" address "$mac" type dummy 2> /dev/null ||
        { ip tuntap add "$name" mode tap && ip link set "$name" address "$mac"; }
done < "$place/nics"
# shellcheck disable=SC2086 # the modules are words
bash "$(dirname "$0")/build.sh" "$part" "$root" "$3" "$4" $5
mount -t proc proc "$root/proc"
mount --bind "$place/cmdline" "$root/proc/cmdline"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/module"
mkdir -p "$root/sys/module/nfs/parameters"
: > "$root/sys/module/nfs/parameters/nfs4_unique_id"
mkdir "$root/net"
mount --bind "$root/sys/class/net" "$root/net"
mount -t tmpfs tmpfs "$root/sys/class"
mkdir -p "$root/sys/class/net" "$root/sys/class/dmi/id"
mount --bind "$root/net" "$root/sys/class/net"
[ ! -e "$place/uuid" ] || cp "$place/uuid" "$root/sys/class/dmi/id/product_uuid"
hostname localhost
mount --bind "$root/shared" "$root/shared"
cp "$(dirname "$0")/stages.sh" "$root/stages.sh"
exec chroot "$root" /bin/sh /stages.sh
