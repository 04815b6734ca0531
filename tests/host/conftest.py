# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine for all tests: a Debian with systemd, bus, polkit and journal, booted once, in which osrd is a service.

Each test finds it as ``host`` leaves it: two nodes, everything published, nothing overridden.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.debian import BOOKWORM, copy, entered, install, kept, overlaid
from tests.end_to_end.miniroot import add_kernel, make_root
from tests.end_to_end.serving import MAC1, MAC2
from tests.host import readme
from tests.host.boothost import CLUSTER, DROP_INS, OSRD_CONF, SETTINGS, SHARED, BootHost, soon

PACKAGES = (
    *readme.PACKAGES,
    *("systemd-sysv", "dbus", "polkitd", "libpam-systemd", "iproute2", "procps", "libglib2.0-bin"),
    *("nfs-kernel-server", "pxelinux", "syslinux-common", "grub-common", "grub-efi-amd64-bin"),
    *("python3-click", "python3-dbus-next", "python3-jinja2", "python3-lxml", "python3-pyinotify", "python3-pyudev"),
    *("python3-rich", "python3-systemd"),
)
#: an operator, who is in osr-admins, and somebody else
OPERATOR, SOMEBODY = "olga", "sam"

#: a clone of the repository, and what is in this one besides
_CHECKOUT = "/root/osrd"
_LEFT_OUT = (".git", ".venv", ".hypothesis", "*_cache", "__pycache__", "build")

_NETWORK = """[Unit]
Description=The network of the nodes
DefaultDependencies=no
Before=network-pre.target
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip link add osr0 type bridge
ExecStart=ip address add 192.168.122.1/24 dev osr0
ExecStart=ip link set osr0 up
[Install]
WantedBy=multi-user.target
"""
#: what cannot start in a container, or has no business in a test
_MASKED = ("nfs-server.service", "proc-fs-nfsd.mount", "run-rpc_pipefs.mount", "rpc-statd-notify.service")
_MASKED += ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer")


@pytest.fixture(scope="session")
def host_debian(debian_minbase: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian with what osrd and a boot host need, without osrd: not to be written in."""

    def make(root: Path) -> None:
        copy(debian_minbase, root)
        install(root, PACKAGES)

    return kept("host", [BOOKWORM, *PACKAGES], make, tmp_path_factory.mktemp("debian-host"))


@pytest.fixture(scope="package")
def machine(host_debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootHost]:
    """The machine, booted; osrd is installed as README tells it: packaged there, from a copy of this checkout.

    Not for the whole session: to systemd two containers that one program starts are one, since they share a cgroup.
    """
    work = tmp_path_factory.mktemp("host")
    with overlaid(host_debian, work / "overlay") as root:
        _prepare(root)
        machine = BootHost(root, work / "console")
        try:
            machine.start()
            for command in readme.INSTALLATION:
                machine.run("sh", "-ec", f"cd {_CHECKOUT}\n{command}", timeout=600)
            yield machine
        finally:
            machine.stop()


def _prepare(root: Path) -> None:
    (root / "etc/dpkg/dpkg.cfg.d/small").unlink()  # osrd's own documentation is wanted
    shutil.copytree(REPOSITORY, root / _CHECKOUT.lstrip("/"), ignore=shutil.ignore_patterns(*_LEFT_OUT))
    for user in (OPERATOR, SOMEBODY):
        entered(root, "useradd", "--user-group", user)
    units = root / "etc/systemd/system"
    for name in _MASKED:
        (units / name).symlink_to("/dev/null")
    (units / "nodes-network.service").write_text(_NETWORK)
    (units / "multi-user.target.wants/nodes-network.service").symlink_to("../nodes-network.service")
    make_root(root / SHARED.lstrip("/"))
    add_kernel(root / SHARED.lstrip("/"), "6.1.0-1")


@pytest.fixture
def host(machine: BootHost) -> Iterator[BootHost]:
    """The machine, with two nodes whose boot files are published. What ``journal()`` has begins now."""
    machine.write(SETTINGS, OSRD_CONF)
    machine.nodes()
    machine.run("systemctl", "enable", "osrd")
    machine.run("systemctl", "reset-failed", "osrd", check=False)
    machine.run("systemctl", "start", "osrd")
    machine.run("systemctl", "reload", "osrd")
    names = {machine.entry(mac).name for mac in (MAC1, MAC2)}
    soon(lambda: machine.entries().keys() == names, "an initrd is built, and both nodes boot it")
    machine.wait_true("everything is as cluster.conf says")
    machine.turn_page()
    yield machine
    print(machine.page())  # shown of tests that fail
    if machine.path(DROP_INS).exists():
        shutil.rmtree(machine.path(DROP_INS))
        machine.run("systemctl", "daemon-reload")
        machine.restart()


@pytest.fixture
def shared(host: BootHost) -> BootHost:
    """The shared root has host-dependent files, and the tree of node 1 is mounted."""
    if not host.path(f"{SHARED}/cdsl.local").is_symlink():
        host.run("osrctl", "cdsl", "init", "fc11")
        host.run("osrctl", "cdsl", "make", "fc11", "/etc/motd")
    soon(host.mounted, "the tree of node 1 is mounted")
    return host


@pytest.fixture
def fresh_host(machine: BootHost) -> BootHost:
    """The machine as osrd's package leaves it: no configuration, nothing published, not running."""
    machine.run("systemctl", "disable", "--now", "osrd")
    machine.run("systemctl", "reset-failed", "osrd", check=False)
    for name in (CLUSTER, SETTINGS):
        shutil.rmtree(machine.path(name).parent, ignore_errors=True)
    for name in ("/srv/tftp/osr", "/var/lib/osrd", "/var/cache/osrd", "/etc/exports.d"):
        shutil.rmtree(machine.path(name), ignore_errors=True)
    machine.path("/etc/dnsmasq.d/osrd.conf").unlink(missing_ok=True)
    machine.run("systemd-tmpfiles", "--create", "osrd.conf")
    machine.turn_page()
    return machine
