# SPDX-License-Identifier: GPL-3.0-or-later
"""README's "Your first real host", word by word."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.debian import copy
from tests.end_to_end.miniroot import add_kernel, make_root
from tests.end_to_end.serving import MAC1, MAC2, cluster_xml
from tests.host import readme
from tests.host.boothost import CLUSTER, NODE1, NODE2, SETTINGS, TOOLS, BootHost, soon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs(*TOOLS)]

#: what README's /srv/root stands for
ROOT = "/srv/root"
#: exit statuses beside 0: check remarks on the fencing that is not there, doctor has something to say of a container
_MAY = {"check": (0, 1), "doctor": (1, 2)}
_EDITOR = f"""#!/bin/sh
set -e
[ "$*" = "{SETTINGS} {CLUSTER}" ]
sed -i 's,^path = /srv/osr/root$,path = {ROOT},; /^kernel = /d; /^initrd = /d; s/^quiet = 20s/quiet = 1s/' "$1"
cp /root/typed "$2"
"""


@pytest.fixture
def prepared(fresh_host: BootHost, debian_minbase: Path) -> Iterator[BootHost]:
    """osrd has just been installed and runs; a Debian is in /srv/root, which no machine shares yet."""
    fresh_host.run("systemctl", "enable", "--now", "osrd")
    root = fresh_host.path(ROOT)
    root.mkdir()
    copy(debian_minbase, root)
    make_root(root)
    add_kernel(root, "6.1.0-1")
    yield fresh_host
    fresh_host.run("systemctl", "stop", "osrd")
    fresh_host.run("umount", "--recursive", "--all-targets", f"{ROOT}/cluster/cdsl/local", check=False)
    fresh_host.run("rm", "-rf", "--one-file-system", ROOT)


def test_the_commands_of_the_readme(prepared: BootHost) -> None:
    host = prepared
    host.write("/root/typed", cluster_xml([NODE1, NODE2], 1))
    host.write("/root/editor", _EDITOR)
    host.path("/root/editor").chmod(0o755)
    said = {}
    for command in readme.HOST[len(readme.INSTALLATION) :]:
        done = host.run("sh", "-c", f"export EDITOR=/root/editor\n{command}", check=False)
        said[command] = done.stdout
        assert done.returncode in _MAY.get(command.split()[1], (0,)), done.stdout + done.stderr
    assert "the kernel's NFS server does not run" in said["osrctl doctor"], "no container has one"
    assert said["osrctl status"].startswith("State:")
    # A person types more slowly.
    soon(lambda: "Nodes:      2\n" in host.says("osrctl", "status"), "the cluster is there")
    assert "2 nodes" in host.show("StatusText")
    entries = {host.entry(mac).name for mac in (MAC1, MAC2)}
    soon(lambda: host.entries().keys() == entries, "both nodes have an entry")

    prepare, make, shell, check = readme.ROOT
    assert f"{ROOT}: no findings" in host.typed(prepare, "y\n")
    host.run("sh", "-c", make)
    assert "this is node2" in host.typed(shell, "hostname -F /etc/hostname; echo this is $(cat /etc/hostname)\nexit\n")
    host.run("sh", "-c", check)
    assert host.path(f"{ROOT}/cdsl.local").is_symlink()
    assert host.path(f"{ROOT}/cluster/cdsl/1/var").is_dir()
    host.wait_true("everything is true")
