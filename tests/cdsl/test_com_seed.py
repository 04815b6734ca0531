# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed's page word by word: from outside the root and inside it, with the layout of spec/cdsl.md 2.8."""

import os
import subprocess
from pathlib import Path

import pytest

from osrd.observe.mounts import read_mounts
from tests.cdsl.commands import FILES, Commands, bind, furnish, make_system, tree
from tests.mounts.namespace import private_mounts

pytestmark = pytest.mark.root

NODES = ("1", "2", "default")


def expected() -> dict[str, str]:
    """The root after the seed's three commands."""
    wanted = {
        "cdsl.local": "-> cluster/cdsl/local",
        "var": "-> cdsl.local/var",
        "etc/sysconfig/network": "-> ../../cdsl.local/etc/sysconfig/network",
        "cluster/shared/var/lib/dhclient/leases": FILES["var/lib/dhclient/leases"],
        "cluster/shared/var/lib/rpm/Packages": FILES["var/lib/rpm/Packages"],
    }
    for node in NODES:
        own = f"cluster/cdsl/{node}"
        wanted |= {
            f"{own}/var/lib": "-> ../../../../cluster/shared/var/lib",
            f"{own}/var/log/messages": FILES["var/log/messages"],
            f"{own}/etc/sysconfig/network": FILES["etc/sysconfig/network"],
        }
    return wanted


def seed(run: Commands) -> None:
    """The page's commands. The mount is the administrator's, exactly as written there."""
    root = run.root
    if not run.inside:
        run.do("com-mkcdslinfrastructure", "-r", str(root))
    subprocess.run(["mount", "--bind", f"{root}/cluster/cdsl/1/", f"{root}/cdsl.local/"], check=True)
    assert run.on_root("com-mkcdsl", "-a", "/var") == ""
    assert run.on_root("com-mkcdsl", "-s", "/var/lib") == ""
    assert run.on_root("com-mkcdsl", "-a", "/etc/sysconfig/network") == ""


def check_views(root: Path) -> None:
    """Programs on a node open public paths; from this host they lead to the same files through the mount."""
    for path, text in FILES.items():
        assert (root / path).read_text() == text
    (root / "etc/sysconfig/network").write_text("node 1's")
    assert (root / "cluster/cdsl/1/etc/sysconfig/network").read_text() == "node 1's"
    assert (root / "cluster/cdsl/2/etc/sysconfig/network").read_text() == FILES["etc/sysconfig/network"]
    # Through node 2's tree while node 1 is at the link (spec/cdsl.md 2.6).
    assert (root / "cluster/cdsl/2/var/lib/rpm/Packages").read_text() == FILES["var/lib/rpm/Packages"]
    (root / "var/lib/rpm/Packages").write_text("more")
    assert (root / "cluster/cdsl/2/var/lib/rpm/Packages").read_text() == "more"


@private_mounts
def test_from_outside(tmp_path: Path) -> None:
    root = make_system(tmp_path)
    run = Commands(root)
    seed(run)
    subprocess.run(["umount", f"{root}/cdsl.local"], check=True)
    assert tree(root) == expected()
    bind(root / "cluster/cdsl/1", root / "cluster/cdsl/local")
    check_views(root)
    assert run.on_root("com-cdslinvadm", "listcdsls").splitlines() == [
        f"root: {root}",
        "/:",
        "\tvar",
        "\tvar/lib",
        "\tetc/sysconfig/network",
    ]


@private_mounts
def test_in_a_chroot(tmp_path: Path) -> None:
    bind(tmp_path, tmp_path)
    subprocess.run(["mount", "--make-rshared", str(tmp_path)], check=True)  # systemd's default for everything
    root = make_system(tmp_path)
    Commands(root).do("com-mkcdslinfrastructure", "-r", str(root))
    furnish(root)
    run = Commands(root, inside=True)
    mounts = len(read_mounts())
    seed(run)
    assert len(read_mounts()) == mounts + 1, "what was mounted for the copies is seen outside"
    assert run.do("com-cdslinvadm", "getcdsl", "/var/lib/rpm") == "var/lib/rpm var/lib\n"
    assert run.do("com-cdslinvadm", "get", "tree") == "cluster/cdsl\n"
    check_views(root)
    subprocess.run(["umount", f"{root}/cdsl.local"], check=True)
    (root / "cluster/cdsl/1/etc/sysconfig/network").write_text(FILES["etc/sysconfig/network"])
    (root / "cluster/shared/var/lib/rpm/Packages").write_text(FILES["var/lib/rpm/Packages"])
    assert tree(root) == expected()


@private_mounts
def test_without_the_mount(tmp_path: Path) -> None:
    """Spec/cdsl.md 6.1 no. 17, 28: it is not needed for making, nor for judging."""
    root = make_system(tmp_path)
    run = Commands(root)
    run.on_root("com-mkcdslinfrastructure")
    run.on_root("com-mkcdsl", "-a", "/var", "-s", "/var/lib", "-a", "/etc/sysconfig/network")
    assert tree(root) == expected()


@private_mounts
def test_the_third_level(tmp_path: Path) -> None:
    root = make_system(tmp_path)
    run = Commands(root)
    run.on_root("com-mkcdslinfrastructure")
    run.on_root("com-mkcdsl", "-a", "/var", "-s", "/var/lib", "-a", "/var/lib/dhclient")
    found = tree(root)
    assert found["cluster/shared/var/lib/dhclient"] == "-> ../../../../cdsl.local/var/.cdsl.lib/dhclient"
    for node in NODES:
        assert found[f"cluster/cdsl/{node}/var/.cdsl.lib/dhclient/leases"] == "lease\n"


@private_mounts
def test_a_path_inside_the_machinery_means_the_public_one(tmp_path: Path) -> None:
    """Spec/cdsl.md 2.2, from a current directory as well."""
    root = make_system(tmp_path)
    run = Commands(root)
    run.on_root("com-mkcdslinfrastructure")
    run.on_root("com-mkcdsl", "-a", "/var")
    done = run("com-mkcdsl", "-r", str(root), "-s", "lib", cwd=f"{root}/cluster/cdsl/2/var")
    assert done.returncode == 0, done.stderr
    assert os.readlink(root / "cluster/cdsl/1/var/lib") == "../../../../cluster/shared/var/lib"
