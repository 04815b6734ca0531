# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed's commands, as transactions on a disk in memory, compared with what the original leaves on the disk."""

from osrd.model.cdsl import Inventory, Removal
from osrd.plan.cdsl.infrastructure import infrastructure
from osrd.plan.cdsl.make import make
from osrd.plan.cdsl.remove import remove
from osrd.plan.cdsl.share import share
from tests.unit.cdsl.disk import Directory, Disk, File, Link

NODES = ("1", "2")
WHEN = "1795341958.99"


def seed() -> Disk:
    disk = Disk()
    disk.add("etc/sysconfig/network", File(b"HOSTNAME=x"))
    disk.add("etc/sysconfig", Directory("0700"))
    disk.add("var/lib/dhclient/leases", File(b"lease"))
    disk.add("var/lib/rpm/Packages", File(b"rpm"))
    disk.add("var/log/messages", File(b"log"))
    disk.add("var/run", Directory())
    inventory = Inventory(disk.layout, maxnodeidnum=2)
    disk.apply(infrastructure(inventory, NODES, disk.look, WHEN), inventory)
    return disk


def test_infrastructure_is_complete_and_made_once() -> None:
    disk = seed()
    assert disk.files["cdsl.local"] == Link("cluster/cdsl/local")
    for path in ("cluster/shared", "cluster/cdsl/default", "cluster/cdsl/1", "cluster/cdsl/2", "cluster/cdsl/local"):
        assert disk.files[path] == Directory()
    assert infrastructure(disk.inventory, NODES, disk.look, WHEN) is None


def do_seed(disk: Disk) -> None:
    disk.apply(make(disk.inventory, "var", NODES, disk.look, WHEN), disk.inventory)
    disk.apply(share(disk.inventory, "var/lib", "", (), disk.look, WHEN), disk.inventory)
    disk.apply(make(disk.inventory, "etc/sysconfig/network", NODES, disk.look, WHEN), disk.inventory)


def test_the_seed_scenario() -> None:
    disk = seed()
    before = disk.seen("1", disk.inventory)
    do_seed(disk)
    assert disk.files["var"] == Link("cdsl.local/var")
    assert disk.files["etc/sysconfig/network"] == Link("../../cdsl.local/etc/sysconfig/network")
    for tree in ("1", "2", "default"):
        root = f"cluster/cdsl/{tree}"
        assert disk.files[f"{root}/var/lib"] == Link("../../../../cluster/shared/var/lib")
        assert disk.files[f"{root}/var/log/messages"] == File(b"log")
        assert disk.files[f"{root}/etc/sysconfig/network"] == File(b"HOSTNAME=x")
        assert disk.files[f"{root}/etc/sysconfig"] == Directory("0700")
    assert disk.files["cluster/shared/var/lib/rpm/Packages"] == File(b"rpm")
    assert disk.seen("1", disk.inventory) == disk.seen("2", disk.inventory) == before


def test_the_third_level() -> None:
    disk = seed()
    do_seed(disk)
    disk.apply(make(disk.inventory, "var/lib/dhclient", NODES, disk.look, WHEN), disk.inventory)
    assert disk.files["cluster/shared/var/lib/dhclient"] == Link("../../../../cdsl.local/var/.cdsl.lib/dhclient")
    assert disk.files["cluster/cdsl/2/var/.cdsl.lib/dhclient/leases"] == File(b"lease")


def test_removing_everything_restores_it() -> None:
    disk = seed()
    before = dict(disk.files)
    do_seed(disk)
    for src in ("etc/sysconfig/network", "var/lib", "var"):
        transaction = remove(disk.inventory, src, Removal(), "1", (), disk.look, WHEN, disk.names)
        disk.apply(transaction, disk.inventory)
    assert disk.files == before


def test_removing_everything_at_once_restores_it() -> None:
    disk = seed()
    before = dict(disk.files)
    do_seed(disk)
    disk.apply(make(disk.inventory, "var/lib/dhclient", NODES, disk.look, WHEN), disk.inventory)
    for src in ("var", "etc/sysconfig/network"):
        transaction = remove(disk.inventory, src, Removal(recursive=True), "1", (), disk.look, WHEN, disk.names)
        disk.apply(transaction, disk.inventory)
    assert disk.files == before
