# SPDX-License-Identifier: GPL-3.0-or-later
"""Which DHCP and TFTP servers a lab has. They run on what osrd wrote and on nothing else, and log into one file, where
osrd reads how far nodes are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.boot.lab import Lab
from tests.dhcp import servers
from tests.dhcp.servers import Program

#: A /dev of their own for servers that know no other log than /dev/log: the machine may have none, or listen there.
_DEV = """set -e
mount -t tmpfs -o mode=755 none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 444 /dev/random c 1 8
mknod -m 444 /dev/urandom c 1 9
ln -s "$0" /dev/log
exec "$@"
"""
_PRIVATE = ("unshare", "--mount", "--propagation", "private", "--")


@dataclass(frozen=True)
class Servers:
    """``settings`` are lines of [dhcp] in osrd.conf; ``programs`` what is started once osrd has written its files."""

    settings: str
    programs: Callable[[Lab], Sequence[Program]]

    def start(self, lab: Lab) -> None:
        for program in self.programs(lab):
            lab.start_server(program)


def _dnsmasq(lab: Lab) -> list[Program]:
    return [servers.dnsmasq(lab.directory, _configuration(lab), lab.server_log)]


def _isc(lab: Lab) -> list[Program]:
    dhcpd = _with_syslog(lab, servers.dhcpd(lab.directory, _configuration(lab)))
    return [_syslogd(lab), dhcpd, _tftpd(lab)]


def _kea(lab: Lab) -> list[Program]:
    kea = servers.kea(lab.directory, _configuration(lab))
    # Its places hide /run, which is everybody's in the lab.
    return [_syslogd(lab), replace(kea, argv=(*_PRIVATE, *kea.argv)), _tftpd(lab)]


def _configuration(lab: Lab) -> str:
    return str(lab.directory / "dnsmasq/osrd.conf")


def _tftpd(lab: Lab) -> Program:
    return _with_syslog(lab, servers.tftpd(lab.directory, str(lab.directory / "tftp")))


def _syslogd(lab: Lab) -> Program:
    argv = ("busybox", "syslogd", "-n", "-O", str(lab.server_log))
    place = lab.directory / "syslog"
    return _with_syslog(lab, Program(argv, lambda: None, place.exists))


def _with_syslog(lab: Lab, program: Program) -> Program:
    argv = (*_PRIVATE, "sh", "-c", _DEV, str(lab.directory / "syslog"), *program.argv)
    return replace(program, argv=argv)


DNSMASQ = Servers("reload = none", _dnsmasq)
ISC = Servers("backend = isc\nreload = none", _isc)
#: Kea's control socket is also how one sees that it serves.
KEA = Servers("backend = kea\nreload = socket:{directory}/kea.socket", _kea)
