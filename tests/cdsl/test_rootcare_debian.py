# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Debian, as debootstrap makes it, copied, prepared, and looked at from inside as each of its nodes."""

import subprocess
from pathlib import Path

import pytest

from osrd.engine.rootcreate import create_root
from osrd.model.rootcare import Family
from tests.cdsl.rootcare_world import care
from tests.debian import copy, install

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.needs("debootstrap", "ssh-keygen", "rsync", "unshare", "chroot"),
]

#: what a node sees, with its tree at the link and the file systems of a running system
_ENTER = """set -e
mount --bind "$1" "$1"
mount --bind "$1/cluster/cdsl/$2" "$1/cluster/cdsl/local"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
exec chroot "$1" sh -c "$3"
"""


@pytest.fixture(scope="module")
def debian(debian_minbase: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("debian") / "minbase"
    made.mkdir()
    copy(debian_minbase, made)
    install(made, ["systemd-sysv", "dbus", "openssh-server"])
    return made


@pytest.fixture(scope="module")
def root(debian: Path) -> Path:
    new = debian.parent / "root"
    create_root(str(debian), str(new))
    with care(new) as opened:
        assert opened.root().family is Family.DEBIAN
        done = opened.perform(opened.plan())
        assert [entry.error for entry in done.failed] == []
        assert {finding.code for finding in opened.check()} <= {"root-no-kernel"}
        assert opened.plan().changes == ()
    return new


def as_node(root: Path, node: str, command: str) -> list[str]:
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh", str(root), node, command]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_nodes_are_two_machines_with_one_system(root: Path) -> None:
    look = "cat /etc/machine-id /var/lib/dbus/machine-id /etc/hostname; ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key"
    one, two = as_node(root, "1", look), as_node(root, "2", look)
    assert one[0] == one[1]
    assert two[0] == two[1]
    assert one[0] != two[0]
    assert (one[2], two[2]) == ("alpha", "beta")
    assert one[3] != two[3]
    packages = (
        "dpkg --get-selections; debconf-show openssh-server | sort; ls /var/lib/systemd/deb-systemd-helper-enabled"
    )
    assert as_node(root, "1", packages) == as_node(root, "2", packages)


def test_programs_of_the_root_take_it_as_it_is(root: Path) -> None:
    check = "mkdir -p /run/sshd && sshd -t && dpkg --audit && ls -d /var/run/. && systemd-machine-id-setup --print"
    assert as_node(root, "2", check)[-1] == (root / "cluster/cdsl/2/etc/machine-id").read_text().strip()


def test_what_one_node_writes_the_other_does_not_see(root: Path) -> None:
    as_node(root, "1", "echo one > /var/lib/systemd/random-seed; echo one > /var/log/who; touch /var/lib/dpkg/shared")
    assert as_node(root, "2", "ls /var/log/who /var/lib/systemd/random-seed 2>/dev/null; true") == []
    assert as_node(root, "2", "ls /var/lib/dpkg/shared") == ["/var/lib/dpkg/shared"]


def test_why_a_host_key_must_be_there_before_the_node(root: Path) -> None:
    """The scenario that forced the rule: ssh-keygen -A puts a key that it misses in place of the link, for all."""
    key = root / "etc/ssh/ssh_host_ed25519_key"
    as_node(root, "1", "ssh-keygen -A")
    assert key.is_symlink(), "nothing is missing: nothing is made"
    (root / "cluster/cdsl/1/etc/ssh/ssh_host_ed25519_key").write_bytes(b"")
    with care(root) as opened:
        assert [finding.node for finding in opened.check() if finding.code == "root-ssh-key"] == ["1"]
    as_node(root, "1", "ssh-keygen -A")
    assert not key.is_symlink()
