# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts that the service makes are the host's own, and outlive it."""

import signal

import pytest

from tests.eventually import eventually
from tests.host.boothost import SHARED, TOOLS, BootHost

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*TOOLS)]

POINT = f"{SHARED}/cluster/cdsl/local"


@pytest.fixture
def shared(host: BootHost) -> BootHost:
    """The shared root has host-dependent files."""
    if not host.path(f"{SHARED}/cdsl.local").is_symlink():
        host.run("osrctl", "cdsl", "init", "fc11")
        host.run("osrctl", "cdsl", "make", "fc11", "/etc/motd")
    eventually(lambda: mounted(host), "the tree of node 1 is mounted")
    return host


def mounted(host: BootHost) -> list[str]:
    """The mounts at the link as PID 1 has them: its namespace is what every other program sees."""
    lines = host.path("/proc/1/mountinfo").read_text().splitlines()
    return [line for line in lines if line.split()[4] == POINT]


def test_the_hosts_other_programs_see_the_mount(shared: BootHost) -> None:
    own, tree = f"{SHARED}/cdsl.local/etc/motd", shared.path(f"{SHARED}/cluster/cdsl/1/etc/motd")
    tree.write_text("I am node 1\n")
    assert shared.says("cat", own) == "I am node 1"
    assert shared.says("systemd-run", "--quiet", "--wait", "--pipe", "cat", own) == "I am node 1"


def test_it_stays_when_osrd_is_restarted_or_killed(shared: BootHost) -> None:
    (before,) = mounted(shared)
    shared.restart()
    assert mounted(shared) == [before]
    pid = shared.main_pid()
    shared.run("systemctl", "kill", f"--signal={signal.SIGKILL.name}", "osrd")
    eventually(lambda: shared.main_pid() not in (0, pid), "systemd starts it again")
    shared.wait_true("everything is true again")
    assert mounted(shared) == [before]


def test_it_comes_back_when_somebody_unmounts_it(shared: BootHost) -> None:
    (before,) = mounted(shared)
    shared.run("umount", POINT)
    eventually(lambda: mounted(shared) not in ([], [before]), "it is mounted again")
    assert shared.says("cat", f"{SHARED}/cdsl.local/etc/motd")
