# SPDX-License-Identifier: GPL-3.0-or-later
"""Preparing a root end to end: real files, the real CDSL transactions, and roots that fight back."""

import json
import os
import stat
from pathlib import Path

import pytest

from osrd.apply.rootcare.record import RECORD
from osrd.model.finding import Severity
from osrd.model.rootcare import Permit
from osrd.plan.rootcare.shown import difference, headline
from tests.cdsl.rootcare_world import CLUSTER, SEED_FSTAB, care, fedora_root, nodes, write

pytestmark = [pytest.mark.root, pytest.mark.needs("ssh-keygen")]


def prepared(root: Path, *only: str, keep: bool = False) -> list[str]:
    """Prepare, and what failed."""
    with care(root) as opened:
        done = opened.perform(opened.plan(only, keep_networkmanager=keep))
    return [f"{entry.text}: {entry.error}" for entry in done.failed]


def codes(root: Path) -> set[str]:
    with care(root) as opened:
        return {finding.code for finding in opened.check()}


def worst(root: Path) -> set[Severity]:
    with care(root) as opened:
        return {finding.severity for finding in opened.check()}


def seen_by(root: Path, node: str, path: str) -> Path:
    return root / "cluster/cdsl" / node / path


def test_a_copied_system_becomes_a_shared_root(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    before = {"root-fstab-root", "root-mtab", "root-selinux", "root-ifcfg", "root-networkmanager", "root-directory"}
    assert before < codes(root)
    assert prepared(root) == []
    assert codes(root) == set()

    assert (root / "etc/mtab").readlink() == Path("../proc/self/mounts")
    fstab = (root / "etc/fstab").read_text().splitlines()
    assert fstab == [f"# {line}" if line[:1] in "/U" else line for line in SEED_FSTAB.splitlines()]
    assert stat.S_IMODE((root / "etc/fstab").stat().st_mode) == 0o664
    assert "SELINUX=disabled" in (root / "etc/selinux/config").read_text()
    assert not (root / "etc/sysconfig/network-scripts/ifcfg-eth0").exists()
    assert not os.path.lexists(root / "etc/systemd/system/multi-user.target.wants/NetworkManager.service")
    assert (root / "etc/cluster/cluster.conf").read_bytes() == CLUSTER
    for name in ("proc", "sys"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o555


def test_each_node_is_somebody(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    prepared(root)
    ids, keys = set(), set()
    for node, name in (("1", "alpha"), ("2", "beta")):
        assert seen_by(root, node, "etc/hostname").read_text() == f"{name}\n"
        network = seen_by(root, node, "etc/sysconfig/network").read_text()
        assert network == f"NETWORKING=yes\nHOSTNAME={name}\n"
        machine_id = seen_by(root, node, "etc/machine-id")
        assert stat.S_IMODE(machine_id.stat().st_mode) == 0o444
        ids.add(machine_id.read_text())
        key = seen_by(root, node, "etc/ssh/ssh_host_ed25519_key")
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert key.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
        assert seen_by(root, node, "etc/ssh/ssh_host_ed25519_key.pub").read_text().endswith(f" root@{name}\n")
        keys.add(key.read_text())
        # shared /var/lib, and in it one directory per node
        assert seen_by(root, node, "var/lib").readlink().parts[-4:] == ("cluster", "shared", "var", "lib")
        assert list(seen_by(root, node, "var/.cdsl.lib/systemd").iterdir()) == []
    assert len(ids) == len(keys) == 2
    assert "0123456789abcdef0123456789abcdef\n" not in ids
    for path in ("etc/machine-id", "etc/hostname", "etc/ssh/ssh_host_ed25519_key"):
        assert seen_by(root, "default", path).read_bytes() == b"", "new nodes are nobody yet"
    assert (root / "cluster/shared/var/lib/dbus/machine-id").readlink() == Path("/etc/machine-id")
    assert (root / "etc/machine-id").readlink() == Path("../cdsl.local/etc/machine-id")


def test_twice_is_once(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    prepared(root)
    with care(root) as opened:
        assert opened.plan().changes == ()
        record = (root / RECORD).stat()
        assert opened.perform(opened.plan()).entries == []
    assert (root / RECORD).stat().st_mtime_ns == record.st_mtime_ns


def test_what_was_there_can_be_put_back_by_hand(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    os.setxattr(root / "etc/fstab", "user.note", b"mine")
    os.chown(root / "etc/fstab", 12, 34)
    old = (root / "etc/fstab").stat()
    with care(root) as opened:
        done = opened.perform(opened.plan())
    new = (root / "etc/fstab").stat()
    assert (new.st_uid, new.st_gid) == (12, 34)
    assert os.getxattr(root / "etc/fstab", "user.note") == b"mine"

    record = json.loads((root / RECORD).read_text())
    assert [run["state"] for run in record["runs"]] == ["done"]
    changes = {change["path"]: change for change in record["runs"][0]["changes"] if not change.get("node")}
    kept = root / changes["etc/fstab"]["backup"]
    assert kept.read_text() == SEED_FSTAB
    assert kept.stat().st_ino == old.st_ino, "the very file"
    assert (root / changes["etc/mtab"]["backup"]).read_text().startswith("/dev/mapper")
    assert (root / changes["etc/sysconfig/network-scripts/ifcfg-eth0"]["backup"]).exists()
    assert changes["var/lib"]["action"] == "make-shared"
    assert stat.S_IMODE((root / ".osrd").stat().st_mode) == 0o700
    assert done.backup.startswith(".osrd/backup/prepare-")


def test_only_one_code(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    assert prepared(root, "root-mtab") == []
    assert (root / "etc/mtab").is_symlink()
    assert (root / "etc/fstab").read_text() == SEED_FSTAB
    assert not (root / "cluster").exists()


def test_network_manager_can_stay(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    assert prepared(root, keep=True) == []
    assert os.path.lexists(root / "etc/systemd/system/multi-user.target.wants/NetworkManager.service")
    kept = (root / "etc/NetworkManager/conf.d/10-osrd-shared-root.conf").read_text()
    assert "mac:00:0c:29:c9:c6:f5;mac:00:0c:29:c9:c6:f6" in kept
    assert codes(root) == set()


def test_a_new_node_is_told_until_it_is_somebody(tmp_path: Path) -> None:
    """As osrd adds a node: its tree is a copy of the template."""
    root = fedora_root(tmp_path)
    prepared(root)
    for node, damage in (("2", b""), ("1", None)):
        seen_by(root, node, "etc/machine-id").unlink()
        if damage is not None:
            seen_by(root, node, "etc/machine-id").write_bytes(damage)
    seen_by(root, "2", "etc/ssh/ssh_host_ed25519_key").write_bytes(b"")
    seen_by(root, "2", "etc/hostname").write_bytes(b"")
    assert codes(root) == {"root-machine-id", "root-ssh-key", "root-hostname"}
    (root / "etc/mtab").unlink()
    with care(root) as opened:
        assert opened.provision().failed == []
    assert codes(root) == {"root-mtab"}, "that is not about a node"
    assert prepared(root) == []
    assert codes(root) == set()
    assert seen_by(root, "2", "etc/hostname").read_text() == "beta\n"


def test_without_ssh_keygen_the_rest_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from osrd.apply import runner

    monkeypatch.setitem(runner._ENVIRONMENT, "PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    root = fedora_root(tmp_path)
    failed = prepared(root, "root-ssh-key", "root-mtab", "root-no-inventory")
    assert len(failed) == 2
    assert all("ssh-keygen is not installed" in each for each in failed)
    assert (root / "etc/mtab").is_symlink()
    runs = json.loads((root / RECORD).read_text())["runs"]
    assert runs[0]["state"] == "failed"


# -- roots that fight back


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return write(tmp_path, "victim/secret", "untouched\n", 0o600)


def untouched(victim: Path) -> bool:
    return victim.read_text() == "untouched\n" and os.listdir(victim.parent) == ["secret"]


def test_a_symlinked_etc_is_refused_by_name(tmp_path: Path, victim: Path) -> None:
    root = fedora_root(tmp_path)
    (root / "etc").rename(tmp_path / "etc")
    (root / "etc").symlink_to(victim.parent)
    with care(root) as opened:
        (finding,) = opened.check()
        assert opened.plan().changes == ()
    assert finding.code == "root-unreadable"
    assert str(root / "etc") in finding.message
    assert untouched(victim)


@pytest.mark.parametrize("kind", ["fifo", "huge", "directory", "hard link", "symlink"])
def test_an_fstab_that_is_none(tmp_path: Path, victim: Path, kind: str) -> None:
    root = fedora_root(tmp_path)
    fstab = root / "etc/fstab"
    fstab.unlink()
    match kind:
        case "fifo":
            os.mkfifo(fstab)
        case "huge":
            with fstab.open("wb") as file:
                file.truncate(1 << 40)
        case "directory":
            fstab.mkdir()
        case "symlink":
            fstab.symlink_to(victim)
        case _:
            victim.write_text(SEED_FSTAB)
            os.link(victim, fstab)
    failed = prepared(root)
    with care(root) as opened:
        messages = [finding.message for finding in opened.check()] + failed
    assert any("etc/fstab" in message for message in messages)
    assert {"root-unreadable"} == codes(root) if kind != "hard link" else "hard links" in failed[0]
    if kind == "hard link":
        assert victim.read_text() == SEED_FSTAB
        assert victim.stat().st_nlink == 2
    else:
        assert untouched(victim)


def test_a_file_that_changes_between_the_look_and_the_edit(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    with care(root) as opened:
        preparation = opened.plan(["root-fstab-root"])
        write(root, "etc/fstab", "a node wrote this\n")
        done = opened.perform(preparation)
    assert "not any more what it was" in done.failed[0].error
    assert (root / "etc/fstab").read_text() == "a node wrote this\n"


def test_a_directory_that_becomes_a_symlink_between_the_look_and_the_edit(tmp_path: Path, victim: Path) -> None:
    root = fedora_root(tmp_path)
    write(victim.parent, "config", (root / "etc/selinux/config").read_bytes())
    with care(root) as opened:
        preparation = opened.plan(["root-selinux"])
        (root / "etc/selinux").rename(root / "etc/selinux.old")
        (root / "etc/selinux").symlink_to(victim.parent)
        done = opened.perform(preparation)
    assert "symlink is in the way" in done.failed[0].error
    assert "enforcing" in (victim.parent / "config").read_text()


def test_a_planted_record_is_not_thrown_away(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    write(root, RECORD, "my notes")
    (root / ".osrd").chmod(0o700)
    with care(root) as opened, pytest.raises(Exception, match="is no record"):
        opened.perform(opened.plan(["root-mtab"]))
    assert (root / RECORD).read_text() == "my notes"
    assert not (root / "etc/mtab").is_symlink(), "nothing is done that cannot be recorded"


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    with care(root) as opened:
        changes = opened.plan().changes
    shown = "".join(difference(change.repair) + headline(change.repair) for change in changes)
    assert "geheim" not in shown
    assert "golden key" not in shown
    assert "SELINUX=disabled" in shown


def test_passwords_of_fence_devices(tmp_path: Path) -> None:
    root = fedora_root(tmp_path)
    write(root, "etc/cluster/cluster.conf", CLUSTER, 0o644)
    with care(root) as opened:
        (change,) = opened.plan(["root-secrets"]).changes
        assert isinstance(change.repair, Permit)
    prepared(root, "root-secrets")
    assert stat.S_IMODE((root / "etc/cluster/cluster.conf").stat().st_mode) == 0o640


def test_nodes_come_from_maxnodeidnum_where_there_is_no_cluster(tmp_path: Path) -> None:
    from dataclasses import replace

    from osrd.engine.rootcare import Nodes

    root = fedora_root(tmp_path)
    few = replace(Nodes(), maxnodeidnum=3)
    with care(root, few) as opened:
        failed = opened.perform(opened.plan()).failed
        assert failed == []
        left = {finding.code for finding in opened.check()}
    assert left <= {"root-hostname"}
    ids = {seen_by(root, node, "etc/machine-id").read_text() for node in "123"}
    assert len(ids) == 3
    assert nodes().maxnodeidnum == 0
