# SPDX-License-Identifier: GPL-3.0-or-later
"""What a root must hold, fstab, and which rule a broken file stops."""

import pytest

from osrd.model.finding import Severity
from osrd.model.rootcare import CommentOut, Family, Infrastructure, Link, MakeDirectory, SetAside
from osrd.plan.rootcare import fstab, structure
from osrd.plan.rootcare.distribution import family, family_of
from osrd.plan.rootcare.preparation import prepare
from osrd.plan.rootcare.survey import survey
from tests.unit.rootcare.trees import DictReader, Odd, To, codes, found, root

SYSTEMD = {"usr/lib/systemd/systemd": b""}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n', Family.DEBIAN),
        (b'ID="ubuntu"\nID_LIKE=debian\n', Family.DEBIAN),
        (b"ID=linuxmint\nID_LIKE='ubuntu debian'\n", Family.DEBIAN),
        (b"ID=fedora\n", Family.REDHAT),
        (b'ID="rocky"\nID_LIKE="rhel centos fedora"\n', Family.REDHAT),
        (b"ID=arch\nPRETTY_NAME=fedora\n", Family.OTHER),
        (b"\xff\xfe", Family.OTHER),
    ],
)
def test_family(data: bytes, expected: Family) -> None:
    assert family_of(data) is expected


def test_the_family_of_a_root_is_told_without_following_links() -> None:
    real = {"usr/lib/os-release": b"ID=debian\n", "etc/os-release": To("../usr/lib/os-release")}
    assert family(DictReader(real)) is Family.DEBIAN
    assert (
        family(DictReader({"etc/os-release": To("/etc/passwd"), "etc/redhat-release": b"Fedora 14"})) is Family.REDHAT
    )
    assert family(DictReader({"etc/debian_version": b"5.0"})) is Family.DEBIAN
    assert family(DictReader({})) is Family.OTHER


def test_missing_directories_are_made_with_the_modes_of_a_system() -> None:
    remarks = found(structure.directories, {"dev": None, "run": None, "proc": b"a file"})
    made = {
        repair.path: repair.mode for each in remarks for repair in each.repairs if isinstance(repair, MakeDirectory)
    }
    assert made == {"sys": 0o555, "tmp": 0o1777}
    assert {each.finding.value: each.finding.severity for each in remarks} == {
        "proc": Severity.ERROR,
        "sys": Severity.ERROR,
        "tmp": Severity.WARNING,
    }
    assert next(each for each in remarks if each.finding.value == "proc").repairs == ()


@pytest.mark.parametrize("text", ["../proc/self/mounts", "/proc/self/mounts", "/proc/mounts", "../proc/mounts"])
def test_the_links_that_mtab_may_be(text: str) -> None:
    assert found(structure.mtab, {"etc/mtab": To(text)}) == []


@pytest.mark.parametrize("wrong", [{"etc": None}, {"etc/mtab": b"/dev/sda1 / ext4"}, {"etc/mtab": To("/var/mtab")}])
def test_mtab_becomes_a_link(wrong: dict[str, bytes | To | None]) -> None:
    (remark,) = found(structure.mtab, wrong)
    assert remark.repairs == (Link("etc/mtab", "../proc/self/mounts"),)


def test_mtab_of_a_node() -> None:
    """Where /etc is host-dependent a relative link begins in the node's tree, and is right when it reaches the top."""
    mine, other = "cluster/cdsl/1/etc/mtab", "cluster/cdsl/2/etc/mtab"
    tree = {mine: To("../../../../proc/self/mounts"), "cluster/cdsl/default/etc/mtab": To("/proc/mounts")}
    assert found(structure.mtab, {**tree, other: To("/proc/self/mounts")}, "etc") == []
    (remark,) = found(structure.mtab, {**tree, other: To("../proc/self/mounts")}, "etc")
    assert remark.repairs == (Link("etc/mtab", "/proc/self/mounts", "2"),)
    assert remark.finding.fix == f"ln -sfn /proc/self/mounts /root/{other}"


def test_run_and_lock_below_var() -> None:
    tree = {"var/run/x.pid": b"", "var/lock": To("/run/lock")}
    assert found(structure.volatile, tree) == [], "no /run before systemd"
    (remark,) = found(structure.volatile, {**SYSTEMD, **tree})
    assert remark.repairs == (Link("var/run", "/run"),)
    split = {**SYSTEMD, "cluster/cdsl/1/var/run": None, "cluster/cdsl/2/var/run": To("/run")}
    (remark,) = found(structure.volatile, split, "var")
    assert remark.repairs == (Link("var/run", "/run", "1"),)
    assert "/root/cluster/cdsl/1/var/run" in remark.finding.fix


def test_relabelling() -> None:
    (remark,) = found(structure.leftovers, {".autorelabel": b""})
    assert remark.repairs == (SetAside(".autorelabel"),)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"boot/vmlinuz-6.1": b"", "usr/lib/modules/6.1": None}, []),
        ({"boot": None, "usr/lib/modules/6.1/vmlinuz": b""}, []),
        ({"boot/vmlinuz-2.6": b"", "lib/modules/2.6": None}, []),
        ({"boot/vmlinuz-6.1": b"", "usr/lib": None}, ["root-no-modules"]),
        ({"boot/grub": None}, ["root-no-kernel"]),
        ({}, ["root-no-kernel"]),
        ({"lib": To("usr/lib"), "usr/lib/modules/6.1/vmlinuz": b""}, []),
    ],
)
def test_a_kernel(tree: dict[str, bytes | To | None], expected: list[str]) -> None:
    assert codes(found(structure.kernel, tree)) == expected


def test_no_inventory_and_no_nodes() -> None:
    (remark,) = found(structure.inventory, {})
    assert remark.repairs == (Infrastructure(),)
    assert found(structure.inventory, {}, "") == []
    assert codes(found(structure.nodes, {}, hosts={})) == ["root-no-nodes"]
    assert found(structure.nodes, {}) == []


FSTAB = b"""# /etc/fstab
/dev/mapper/vg-root /           ext4    defaults   1 1
UUID=aa-bb  /boot       ext4    defaults   1 2
UUID=cc-dd\tswap\tswap defaults 0 0
/swapfile none swap sw 0 0
LABEL=data /data xfs nofail 0 0
/dev/shared /srv gfs2 defaults 0 0
server:/home /home nfs4 rw 0 0
tmpfs /dev/shm tmpfs defaults 0 0
proc /proc proc defaults 0 0
/cluster/cdsl/1 /cdsl.local none bind 0 0
# /dev/sda9 / ext2 defaults 0 0
/dev/sdc /srv/x"""


def test_every_line_of_fstab_is_judged() -> None:
    remarks = found(fstab.fstab, {"etc/fstab": FSTAB}, "")
    told = [(each.finding.code, each.finding.place.line) for each in remarks if each.finding.place]
    assert told == [
        ("root-fstab-root", 2),
        ("root-fstab-disk", 3),
        ("root-fstab-swap", 4),
        ("root-fstab-swap", 5),
        ("root-fstab-link", 11),
    ]
    assert remarks[0].finding.severity is Severity.ERROR
    assert remarks[1].finding.severity is Severity.WARNING
    assert remarks[0].finding.place is not None
    assert remarks[0].finding.place.file == "/root/etc/fstab"


def test_fstab_is_edited_once_and_keeps_every_other_byte() -> None:
    here = root({"etc/fstab": FSTAB}, "")
    (change,) = prepare(here, list(fstab.fstab(here))).edits
    assert change.codes == ("root-fstab-root", "root-fstab-disk", "root-fstab-swap", "root-fstab-link")
    after = FSTAB.split(b"\n")
    for line in (2, 3, 4, 5, 11):
        after[line - 1] = b"# " + after[line - 1]
    assert change.repair.data == b"\n".join(after)  # type: ignore[union-attr]
    assert list(fstab.fstab(root({"etc/fstab": b"\n".join(after)}, ""))) == []


def test_only_some_codes_of_a_file() -> None:
    here = root({"etc/fstab": FSTAB}, "")
    (change,) = prepare(here, list(fstab.fstab(here)), {"root-fstab-root"}).edits
    assert change.repair.data.count(b"\n# ") == FSTAB.count(b"\n# ") + 1  # type: ignore[union-attr]


def test_a_host_dependent_fstab_is_judged_per_node() -> None:
    tree = {"cluster/cdsl/1/etc/fstab": b"/dev/sda / ext4\n", "cluster/cdsl/2/etc/fstab": b""}
    (remark,) = found(fstab.fstab, tree, "etc/fstab")
    assert remark.finding.node == "1"
    assert remark.repairs == (CommentOut("etc/fstab", b"/dev/sda / ext4\n", (1,), "1"),)


def test_a_broken_file_stops_one_rule() -> None:
    tree = {"etc/fstab": Odd(), "var": None, "etc/hostname": b"x\n"}
    remarks = survey(root(tree, ""))
    broken = [each.finding for each in remarks if each.finding.code == "root-unreadable"]
    assert [each.message for each in broken] == ["/root/etc/fstab is no regular file"]
    assert broken[0].severity is Severity.ERROR
    assert "root-hostname" in {each.finding.code for each in remarks}


@pytest.mark.parametrize("tree", [{}, {"etc": To("/etc")}, {"etc": b""}, {"etc": None, "var": To("/var")}])
def test_a_root_without_its_directories_is_not_judged(tree: dict[str, bytes | To | None]) -> None:
    assert {each.finding.code for each in survey(root(tree))} == {"root-unreadable"}


def test_a_host_dependent_etc_is_no_such_thing() -> None:
    tree = {"etc": To("cdsl.local/etc"), "var": None, "cluster/cdsl/1/etc": None}
    assert "root-unreadable" not in {each.finding.code for each in survey(root(tree, "etc"))}
