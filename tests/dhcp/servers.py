# SPDX-License-Identifier: GPL-3.0-or-later
"""How the real servers are started on osrd's files, and how one sees that they serve. Nothing but osrd's own file
configures them; what is added here are their private places, below one directory that the test removes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.dhcp.network import NIC, SERVER


@dataclass(frozen=True)
class Program:
    """A server in the foreground. ``prepare`` comes before the start, ``ready`` is true once it serves, ``log`` is
    where it complains."""

    argv: tuple[str, ...]
    prepare: Callable[[], object]
    ready: Callable[[], object]
    log: Path | None = None


def dnsmasq(directory: Path, config: str, log: Path | None = None) -> Program:
    log = log or directory / "dnsmasq.log"
    argv = ["dnsmasq", "-k", "-C", config, "--user=root", f"--pid-file={directory}/pid"]
    argv += [f"--dhcp-leasefile={directory}/leases", f"--log-facility={log}"]
    return Program(tuple(argv), lambda: log.write_text(""), lambda: "read " in log.read_text(), log)


def dhcpd(directory: Path, config: str) -> Program:
    leases, pid = directory / "leases", directory / "pid"
    argv = ("dhcpd", "-4", "-f", "-cf", config, "-lf", str(leases), "-pf", str(pid), NIC)
    return Program(argv, leases.touch, pid.exists)


def kea(directory: Path, config: str) -> Program:
    # ip netns exec gives a private mount namespace too: Kea's fixed directories are replaced there.
    places = "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mkdir -p /run/kea /run/lock/kea /var/lib/kea"
    socket = directory / "kea.socket"
    argv = ("sh", "-c", f'{places} && exec kea-dhcp4 -c "$0"', config)
    return Program(argv, lambda: socket.unlink(missing_ok=True), socket.exists)


def tftpd(directory: Path, root: str) -> Program:
    """tftpd-hpa; it logs to syslog only."""
    pid = directory / "tftpd.pid"
    argv = (
        "in.tftpd",
        "--foreground",
        "--secure",
        "--verbose",
        "--pidfile",
        str(pid),
        "--address",
        f"{SERVER}:69",
        root,
    )
    return Program(argv, lambda: pid.unlink(missing_ok=True), pid.exists)
