# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests put into a shared root so that a booted node can be asked: a service that obeys its serial console."""

from pathlib import Path

_AGENT = """#!/bin/sh
# NUMBER COMMAND on the console: runs it, and prints what it said between two marks.
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -icrnl
echo "OSR-UP $(hostname)"
while read -r number command; do
    echo "OSR-BEGIN $number"
    output=$(sh -c "$command" 2>&1)
    status=$?
    printf '%s\\n' "$output" | sed 's/^/| /'
    echo "OSR-END $number $status"
done
"""
_UNIT = """[Unit]
Description=Obey the serial console
After=local-fs.target network.target ssh.service
[Service]
ExecStart=/usr/local/sbin/osr-agent
StandardInput=null
[Install]
WantedBy=multi-user.target
"""
#: start-up time under emulation that tells nothing about the boot
_MASKED = (
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
)


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
    for name in _MASKED:
        link = units / name
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
