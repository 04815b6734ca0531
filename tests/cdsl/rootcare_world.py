# SPDX-License-Identifier: GPL-3.0-or-later
"""Scratch roots to prepare, and a CDSL engine of planners and transactions only."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from osrd.apply.cdsl.lock import locked
from osrd.apply.cdsl.transaction import Transactions
from osrd.engine.rootcare import Nodes, RootCare, nodes_of
from osrd.model.cdsl import INVENTORY, Changed, Inventory, Layout, Members
from osrd.model.transaction import Transaction
from osrd.observe.inside import Inside
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.inventory import parse_inventory
from osrd.plan.cdsl import infrastructure, make, share
from osrd.plan.cdsl.nodes import identities
from osrd.plan.cdsl.paths import rebased
from osrd.plan.members import members_of

CLUSTER = b"""<?xml version="1.0"?>
<cluster config_version="3" name="c" type="gfs">
 <clusternodes>
  <clusternode name="alpha" nodeid="1"><com_info>
    <rootvolume fstype="nfs" name="192.168.122.1:/root"/>
    <eth name="eth0" ip="192.168.122.171" mac="00:0C:29:C9:C6:F5" mask="255.255.255.0"/></com_info></clusternode>
  <clusternode name="beta" nodeid="2"><com_info>
    <rootvolume fstype="nfs" name="192.168.122.1:/root"/>
    <eth name="eth0" ip="192.168.122.172" mac="00:0C:29:C9:C6:F6" mask="255.255.255.0"/></com_info></clusternode>
 </clusternodes>
 <fencedevices><fencedevice name="f" agent="fence_ipmi" passwd="geheim"/></fencedevices>
</cluster>
"""
SEED_FSTAB = """# fstab of the installed machine
/dev/mapper/vg-root  /          ext4   defaults        1 1
UUID=1234-abcd       /boot      ext4   defaults        1 2
devpts               /dev/pts   devpts gid=5,mode=620  0 0
UUID=dead-beef       swap       swap   defaults        0 0
"""


def nodes() -> Nodes:
    cluster = parse_cluster(CLUSTER, "/etc/cluster/cluster.conf")
    return nodes_of(cluster, members_of(cluster)[0], CLUSTER)


class Engine:
    """The part of SharedRoot that preparing a root needs."""

    def __init__(self, inside: Inside, members: Members) -> None:
        self._inside = inside
        self._members = members

    def _inventory(self) -> Inventory:
        if self._inside.look(INVENTORY) is None:
            return Inventory()
        return parse_inventory(self._inside.read(INVENTORY, 1 << 20), INVENTORY)

    def _run(self, transaction: Transaction | None) -> Changed:
        if transaction is None:
            return Changed()
        inventory = self._inventory()
        with locked(self._inside, 5):
            return Transactions(self._inside).run(transaction, partial(rebased, inventory))

    def init(self, layout: Layout | None = None, *, maxnodeidnum: int = 0, use_nodeids: bool = True) -> Changed:
        inventory = Inventory(layout or Layout(), maxnodeidnum=maxnodeidnum, use_nodeids=use_nodeids)
        trees = identities(inventory, self._members)
        return self._run(infrastructure.infrastructure(inventory, trees, self._inside.look, "1.00"))

    def make(self, path: str, nodes: Sequence[str] = ()) -> Changed:
        inventory = self._inventory()
        trees = identities(inventory, self._members, nodes)
        return self._run(make.make(inventory, path, trees, self._inside.look, "1.00"))

    def share(self, path: str, winner: str = "") -> Changed:
        inventory = self._inventory()
        # Preparing shares copies only that it has just made of one; the real engine compares them.
        return self._run(share.share(inventory, path, winner, (), self._inside.look, "1.00"))


@contextmanager
def engine_of(path: str, members: Members, _work: object = None) -> Iterator[Engine]:
    """As Session.open_root opens the real one."""
    with Inside.open(path) as inside:
        yield Engine(inside, members)


@contextmanager
def care(root: Path, of: Nodes | None = None) -> Iterator[RootCare]:
    of = of or nodes()

    with RootCare(str(root), of, lambda: engine_of(str(root), of.members)) as opened:
        yield opened


def write(root: Path, path: str, text: str | bytes = "", mode: int = 0o644) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(mode)
    return file


def fedora_root(base: Path) -> Path:
    """A system of the seed's kind, copied with cp -ax, with a modern systemd."""
    root = base / "fedora"
    write(root, "usr/lib/os-release", "ID=fedora\n")
    write(root, "usr/lib/systemd/systemd", "", 0o755)
    write(root, "usr/lib/modules/6.1/vmlinuz")
    write(root, "etc/fstab", SEED_FSTAB, 0o664)
    write(root, "etc/mtab", "/dev/mapper/vg-root / ext4 rw 0 0\n")
    write(root, "etc/selinux/config", "# state\nSELINUX=enforcing\nSELINUXTYPE=targeted\n")
    write(root, "etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=golden\nHWADDR=52:54:00:00:00:01\n")
    write(root, "etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nONBOOT=yes\n")
    write(root, "etc/hostname", "golden\n")
    write(root, "etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444)
    write(root, "etc/cluster/cluster.conf", CLUSTER.replace(b'"3"', b'"2"'), 0o640)
    write(root, "etc/ssh/sshd_config", "Port 22\n")
    write(root, "etc/ssh/ssh_host_ed25519_key", "the golden key\n", 0o600)
    write(root, "etc/ssh/ssh_host_ed25519_key.pub", "its public part\n")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "NetworkManager.service").symlink_to("/usr/lib/systemd/system/NetworkManager.service")
    write(root, "var/log/messages", "one\n")
    write(root, "var/lib/rpm/Packages", os.urandom(2000))
    write(root, "var/lib/systemd/random-seed", os.urandom(512), 0o600)
    write(root, "var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n")
    write(root, "var/lib/NetworkManager/secret_key", os.urandom(32), 0o600)
    write(root, "var/lib/NetworkManager/NetworkManager.state", "[main]\n")
    (root / "var/run").symlink_to("../run")
    for name in ("dev", "run", "tmp"):
        (root / name).mkdir()
    return root
