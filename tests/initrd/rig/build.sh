#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# build.sh base|ours|machine INITDIR SOURCES SHELL MODULE...: what is in an initrd, without drivers and without packing
# it: machine are programs of one that is not there, base these and dracut's own scripts of this machine; ours are our
# modules by their own install(), with the data of INITDIR/build. The stand-ins below are dracut's documented functions.
set -eu
part=$1 initdir=$2 sources=$3 shell=$4
shift 4
modules=" $* "
dracut=/usr/lib/dracut
dracutsysrootdir=$initdir/build
export initdir dracutsysrootdir

copy() {
    mkdir -p "$(dirname "$initdir$2")"
    cp "$1" "$initdir$2"
}
inst_simple() { copy "$1" "$2"; }
inst_script() { copy "$1" "$2" && chmod 0755 "$initdir$2"; }
inst_hook() { copy "$3" "/usr/lib/dracut/hooks/$1/$2-$(basename "$3")"; }
inst_multiple() { :; }
inst_rules() { :; }
find_binary() { :; }
daemons() { mkdir -p "$initdir/usr/lib/osr/cluster/usr/sbin"; } # the test has programs in their place
dracut_need_initqueue() { :; }
dracut_module_included() { [[ $modules == *" $1 "* ]]; }
dfatal() { echo "$*" >&2; }

module() { # the directory of one of dracut's own modules, whatever its number
    local found
    found=$(compgen -G "$dracut/modules.d/[0-9][0-9]$1")
    echo "$found"
}

if [ "$part" = ours ]; then
    export DRACUT_INSTALL=daemons
    for name in osr osr-cluster osr-gfs2 osr-ocfs2; do
        dracut_module_included "$name" || continue
        moddir=$sources/$name
        # shellcheck source=/dev/null
        . "$moddir/module-setup.sh"
        install
    done
    exit
fi

if [ "$part" = base ]; then
    base=$(module base) network=$(module network) nfs=$(module nfs) systemd=$(module dracut-systemd)
    inst_simple "$base/dracut-lib.sh" /usr/lib/dracut-lib.sh
    inst_simple "$base/dracut-dev-lib.sh" /usr/lib/dracut-dev-lib.sh
    inst_simple "$base/parse-root-opts.sh" /usr/lib/without-systemd/parse-root-opts.sh
    inst_script "$dracut/dracut-util" /usr/bin/dracut-util
    ln -sf dracut-util "$initdir/usr/bin/dracut-getarg"
    ln -sf dracut-util "$initdir/usr/bin/dracut-getargs"
    for stage in cmdline initqueue pre-pivot emergency; do
        inst_script "$systemd/dracut-$stage.sh" "/usr/bin/dracut-$stage"
    done
    inst_script "$base/initqueue.sh" /usr/sbin/initqueue
    inst_simple "$network/net-lib.sh" /usr/lib/net-lib.sh
    inst_script "$network/netroot.sh" /usr/sbin/netroot
    inst_hook cmdline 90 "$nfs/parse-nfsroot.sh"
    inst_script "$nfs/nfsroot.sh" /usr/sbin/nfsroot
    inst_simple "$nfs/nfs-lib.sh" /usr/lib/nfs-lib.sh
    if dracut_module_included network-legacy; then
        legacy=$(module network-legacy)
        inst_hook cmdline 95 "$legacy/parse-vlan.sh"
        inst_hook cmdline 96 "$legacy/parse-bond.sh"
        inst_hook cmdline 97 "$legacy/parse-bridge.sh"
        inst_hook cmdline 98 "$legacy/parse-ip-opts.sh"
    fi
    if dracut_module_included network-manager; then
        manager=$(module network-manager)
        inst_simple "$manager/nm-lib.sh" /usr/lib/nm-lib.sh
        inst_hook cmdline 99 "$manager/nm-config.sh"
    fi
    mkdir -p "$initdir"/usr/{bin,sbin} "$initdir"/usr/lib/dracut/hooks/{initqueue/{finished,settled,timeout,online},emergency,netroot,shutdown-emergency}

    case $shell in
        busybox) ln -sf busybox "$initdir/usr/bin/sh" ;;
        *) ln -sf "$shell" "$initdir/usr/bin/sh" ;;
    esac
fi

# Programs of a machine that is not there. In a real image some are links to what is there.
cd "$initdir/usr/sbin"
rm -f sulogin mount.nfs mount.nfs4 udevadm rdsosreport modprobe rpcbind halt poweroff ifup reboot NetworkManager
rm -f ../bin/{systemctl,setsid,udevadm}
cat > "$initdir/usr/bin/systemctl" <<'SH'
#!/bin/sh
echo "systemctl $*" >> /log/calls
case "$*" in
    "start dracut-emergency.service") exec /usr/bin/dracut-emergency ;;
esac
SH
# The administrator of this test, or nobody: then everything is over.
cat > "$initdir/usr/sbin/sulogin" <<'SH'
#!/bin/sh
echo shell >> /log/emergency
if [ -s /log/admin ]; then
    sh -c "$(sed -n 1p /log/admin)"
    sed -i 1d /log/admin
else
    kill -9 -1
fi
SH
cat > "$initdir/usr/bin/setsid" <<'SH'
#!/bin/sh
[ "$1" = --help ] || exec sulogin
SH
cat > "$initdir/usr/sbin/mount.nfs" <<'SH'
#!/bin/sh
# mount.nfs SOURCE DIRECTORY -o OPTIONS: a server that is down as long as /log/down has lines.
identity=$(cat /sys/module/nfs/parameters/nfs4_unique_id 2> /dev/null)
echo "${0##*mount.} $1 $4 as ${identity:-nobody} on $(cat /proc/sys/kernel/hostname)" >> /log/mounts
if [ -s /log/down ]; then
    sed -i 1d /log/down
    echo "mount.nfs: Connection refused" >&2
    exit 32
fi
exec mount --bind /shared "$2"
SH
ln -sf mount.nfs "$initdir/usr/sbin/mount.nfs4"
# /usr/sbin comes first in an initrd's PATH.
for name in udevadm rdsosreport modprobe rpcbind halt poweroff ifup NetworkManager; do
    printf '#!/bin/sh\necho "%s $*" >> /log/calls\n' "$name" > "$initdir/usr/sbin/$name"
done
printf '#!/bin/sh\necho "reboot $*" >> /log/calls\nkill -9 -1\n' > "$initdir/usr/sbin/reboot"
chmod 0755 "$initdir"/usr/bin/{systemctl,setsid} "$initdir"/usr/sbin/{sulogin,mount.nfs,udevadm,rdsosreport,modprobe,rpcbind,halt,poweroff,ifup,reboot,NetworkManager}
