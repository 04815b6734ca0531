# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what, asked of the real polkit; and signals, through the programs that everybody has."""

from pathlib import Path

import pytest

from tests.end_to_end.serving import MAC3, node_xml
from tests.host.boothost import CLUSTER, NAME, NODE1, NODE2, ROOT, TOOLS, BootHost, soon
from tests.host.conftest import OPERATOR, SOMEBODY

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*TOOLS)]

NODE3 = node_xml("node3", 3, "192.168.122.173", MAC3)
_RULE = "/etc/polkit-1/rules.d/50-osr-admins.rules"


@pytest.fixture
def admins(host: BootHost) -> BootHost:
    """With the example rule, where README tells to put it."""
    host.run("usermod", "--append", "--groups", "osr-admins", OPERATOR)
    host.run("cp", "/usr/share/doc/osrd/examples/50-osr-admins.rules", "/etc/polkit-1/rules.d")
    return host


def test_an_operator_rebuilds_an_initrd_without_root(admins: BootHost) -> None:
    soon(lambda: admins.bus("call", "Manager", "ListImages", "a{sv}", "0") != [[]], "there is an image")
    said = admins.says("osrctl", "initrd", "build", "fc11", "--force", user=OPERATOR)
    assert "built" in said
    images = admins.says("osrctl", "initrd", "list", "fc11", user=OPERATOR)
    assert "6.1.0-1" in images
    assert "Started osrd-build@" in admins.page(), "the root's dracut ran in a unit of its own"


def test_an_operator_edits_the_cluster_without_root(admins: BootHost) -> None:
    admins.run("osrctl", "node", "add", "node3", "ip=192.168.122.173", f"mac={MAC3}", user=OPERATOR)
    assert admins.entry(MAC3).exists()
    uid = admins.says("id", "-u", OPERATOR)
    (edit,) = admins.journal(OSRD_UID=uid)
    assert "node3" in edit["MESSAGE"]
    admins.run("osrctl", "node", "remove", "--yes", "node3", user=OPERATOR)


@pytest.mark.parametrize("user", [SOMEBODY, "nobody"])
def test_an_ordinary_user_may_look_and_not_touch(admins: BootHost, user: str) -> None:
    assert "node1" in admins.says("osrctl", "nodes", user=user)
    assert "ready" in admins.says("osrctl", "status", user=user)
    assert f"{ROOT}/nodes/1" in admins.says("busctl", "--list", "tree", NAME, user=user)
    before, published = admins.path(CLUSTER).read_bytes(), admins.entries().keys()
    for command in (
        ("verify",),
        ("node", "add", "node3", "ip=192.168.122.173", f"mac={MAC3}"),
        ("rollback", "1"),
        ("initrd", "build", "fc11", "--force"),
        ("cdsl", "init", "fc11"),
    ):
        done = admins.run("osrctl", *command, user=user, check=False)
        assert done.returncode != 0, command
        assert "polkit does not allow you" in done.stderr, (command, done.stderr)
    assert admins.path(CLUSTER).read_bytes() == before
    assert admins.entries().keys() == published
    assert admins.get("NodeCount") == 2
    uid = admins.says("id", "-u", user)
    assert admins.journal(OSRD_UID=uid) == [], "nothing was done in this user's name"


def test_root_is_not_asked(host: BootHost) -> None:
    host.path(_RULE).unlink(missing_ok=True)
    host.run("osrctl", "apply", "--yes")


def test_nobody_else_takes_the_name(host: BootHost) -> None:
    host.run("systemctl", "stop", "osrd")
    bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    done = host.run("busctl", "call", *bus, "RequestName", "su", NAME, "4", user=SOMEBODY, check=False)
    assert done.returncode != 0
    assert "denied" in done.stderr


def test_gdbus_sees_signals_while_cluster_conf_is_edited(host: BootHost, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    monitor = host.spawn("gdbus", "monitor", "--system", "--dest", NAME, user="nobody", output=heard)
    soon(lambda: "is owned by" in heard.read_text(), "gdbus listens")
    host.nodes((NODE1, NODE2, NODE3), version=2)
    for word in ("Manager.Reconciled", f"{ROOT}/nodes/3", "ObjectManager.InterfacesAdded"):
        soon(lambda word=word: word in heard.read_text(), f"a signal about {word}")  # type: ignore[misc]
    host.nodes((NODE1, NODE2), version=3)
    soon(lambda: "ObjectManager.InterfacesRemoved" in heard.read_text(), "the node is gone")
    monitor.kill()


def test_the_bus_is_restarted(host: BootHost) -> None:
    """systemd does not support it; osrd goes on, and is there again with the bus."""
    pid = host.main_pid()
    host.run("systemctl", "restart", "dbus")
    host.nodes((NODE1, NODE2, NODE3), version=2)
    soon(host.entry(MAC3).exists, "what is edited is published")
    soon(lambda: f"{ROOT}/nodes/3" in host.says("busctl", "--list", "tree", NAME), "osrd is on the new bus")
    host.wait_true("everything is true")
    assert host.main_pid() == pid
    host.run("systemctl", "restart", "systemd-logind", "polkit", check=False)
