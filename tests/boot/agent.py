# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests put into a shared root so that a booted node can be asked: a service that obeys its second serial line
and answers on the console."""

from pathlib import Path

_AGENT = """#!/bin/sh
# NUMBER COMMAND: runs it, and prints what it said between two marks.
exec </dev/ttyS1 >/dev/ttyS0 2>&1
stty -echo
printf '\nOSR-UP %s\n' "$(hostname)"
while read -r number command; do
    echo "OSR-BEGIN $number"
    output=$(sh -c "$command" 2>&1)
    status=$?
    printf '%s\\n' "$output" | sed 's/^/| /'
    echo "OSR-END $number $status"
done
"""
_UNIT = """[Unit]
Description=Obey the second serial line
After=local-fs.target network.target ssh.service
[Service]
ExecStart=/usr/local/sbin/osr-agent
StandardInput=null
[Install]
WantedBy=multi-user.target
"""
#: what takes time under emulation and tells nothing about the boot, or needs a configuration first
_MASKED = (
    "corosync.service",
    "dlm.service",
    "serial-getty@ttyS0.service",
    "getty@tty1.service",
    "getty-static.service",
    "systemd-logind.service",
    "e2scrub_reap.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "rpcbind.service",
    "rpcbind.socket",
    "rpc-statd-notify.service",
    "systemd-pstore.service",
    "systemd-update-utmp.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
)

#: drivers of the emulated machines alone: unpacking all of them costs each boot a minute
_DRACUT = """omit_dracutmodules+=" kernel-modules kernel-modules-extra qemu qemu-net lvm dm "
omit_dracutmodules+=" btrfs mdraid i18n ifcfg lunmask modsign nvdimm overlay-root resume terminfo virtiofs "
add_drivers+=" virtio_net virtio_pci virtio_blk virtio_rng ext4 "
compress="zstd"
"""


def install(root: Path) -> None:
    """Put the agent into ``root`` and take away what only costs time."""
    program = root / "usr/local/sbin/osr-agent"
    program.write_text(_AGENT)
    program.chmod(0o755)
    units = root / "etc/systemd/system"
    (units / "osr-agent.service").write_text(_UNIT)
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "osr-agent.service").symlink_to("/etc/systemd/system/osr-agent.service")
    (root / "etc/dracut.conf.d").mkdir(exist_ok=True)
    (root / "etc/dracut.conf.d/emulated.conf").write_text(_DRACUT)
    (root / "etc/sysconfig").mkdir(exist_ok=True)
    (root / "etc/sysconfig/network").write_text("HOSTNAME=localhost\n")
    for name in _MASKED:
        link = units / name
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
