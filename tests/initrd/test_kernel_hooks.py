# SPDX-License-Identifier: GPL-3.0-or-later
"""The hooks that kernel packages of a root call, in real Debian roots: what they say, what they start, and that a
package's installation is never stopped by them."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from osrd.engine.initrdinstall import InitrdInstall
from osrd.model.settings import BootWay, Settings
from tests.conftest import REPOSITORY
from tests.debian import entered, overlaid

CONF = REPOSITORY / "tests/fixtures/full.conf"
HOOK = "/usr/lib/osr/kernel-hook"
SCRIPTS = [
    *sorted((REPOSITORY / "data/kernel-hooks").iterdir()),
    *sorted((REPOSITORY / "data/kernel-install").iterdir()),
]

pytestmark = [pytest.mark.root, pytest.mark.needs("debootstrap", "unshare")]


@pytest.fixture
def root(debian_minbase: Path, tmp_path: Path) -> Iterator[Path]:
    """A small root with only the hooks in it: kernel-install's plugin too."""
    with overlaid(debian_minbase, tmp_path / "overlay") as made:
        for source, name in (
            ("kernel-hooks/kernel-hook", HOOK[1:]),
            ("kernel-hooks/postinst", "etc/kernel/postinst.d/00osr"),
            ("kernel-hooks/prerm", "etc/kernel/prerm.d/00osr"),
            ("kernel-hooks/postrm", "etc/kernel/postrm.d/00osr"),
            ("kernel-install/49-osr.install", "usr/lib/kernel/install.d/49-osr.install"),
        ):
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / "data" / source, made / name)
        yield made


def report(root: Path, node: str, kernel: str, tree: str = "cluster/cdsl") -> Path:
    file = root / tree / node / ".osr/report"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"step=up\ntime=1795341958\nkernel={kernel}\nbuild=x\n")
    return file


def parts(root: Path, directory: str, kernel: str) -> str:
    """As Debian's kernel packages run the hooks; what they say on standard error."""
    argv = (
        "run-parts",
        "--exit-on-error",
        f"--arg={kernel}",
        f"--arg=/boot/vmlinuz-{kernel}",
        f"/etc/kernel/{directory}",
    )
    return entered(root, *argv).stderr


def test_removing_a_kernel_that_nodes_run(root: Path) -> None:
    report(root, "1", "6.1.0-9-amd64")
    report(root, "10", "6.1.0-9-amd64")
    report(root, "2", "6.1.0-10-amd64")
    said = parts(root, "prerm.d", "6.1.0-9-amd64")
    assert said == (
        "osr: kernel 6.1.0-9-amd64 is being removed, and is what these nodes last booted: 1, 10. "
        "They run on without its modules.\n"
    )
    said = parts(root, "postrm.d", "6.1.0-9-amd64")
    assert said == "osr: kernel 6.1.0-9-amd64 is gone; reboot the nodes that still run it: 1, 10\n"
    assert parts(root, "prerm.d", "6.1.0") == ""
    plugin = entered(root, "/usr/lib/kernel/install.d/49-osr.install", "remove", "6.1.0-10-amd64", "/boot/x")
    assert ": 2. " in plugin.stderr


def test_the_tree_has_the_name_that_the_data_says(root: Path) -> None:
    (root / "etc/osr/initrd").mkdir(parents=True)
    (root / "etc/osr/initrd/osr.conf").write_text("OSR_CLUSTER='x'\nOSR_CDSLTREE='/.cluster/cdsl'\n")
    report(root, "7", "6.1", ".cluster/cdsl")
    report(root, "8", "6.1")
    assert ": 7. " in parts(root, "prerm.d", "6.1")


def test_reports_are_data(root: Path) -> None:
    """Whatever nodes write there: no command is run, nothing waits, and no terminal is fooled."""
    report(root, "1", "$(touch /pwned)`touch /pwned`'; touch /pwned; '\x1b[2J")
    report(root, "2", "6.1", tree="cluster/cdsl/odd name;touch pwned")
    report(root, "$(touch pwned)", "6.1")
    report(root, "3", "x").write_bytes(b"kernel=" + b"a" * 50_000_000)
    fifo = report(root, "4", "6.1")
    fifo.unlink()
    subprocess.run(["mkfifo", fifo], check=True)
    link = report(root, "5", "6.1")
    link.rename(root / "elsewhere")
    link.symlink_to("/elsewhere")
    before = sorted(path.name for path in root.iterdir())
    assert parts(root, "prerm.d", "6.1") == ""
    assert sorted(path.name for path in root.iterdir()) == before
    assert entered(root, HOOK, "removing", "../../etc").stderr == ""
    assert entered(root, HOOK).stderr == ""


def test_a_new_kernel_brings_the_data_up_to_date(root: Path) -> None:
    osrctl = root / "usr/bin/osrctl"
    osrctl.write_text('#!/bin/sh\necho "$@" >> /called\nexit "$(cat /status)"\n')
    osrctl.chmod(0o755)
    (root / "status").write_text("0")
    assert parts(root, "postinst.d", "6.1") == ""
    assert not (root / "called").exists()  # no cluster.conf, no cluster
    (root / "etc/cluster").mkdir()
    (root / "etc/cluster/cluster.conf").write_text("<cluster/>")
    assert parts(root, "postinst.d", "6.1") == ""
    assert (root / "called").read_text() == "initrd data\n"
    (root / "status").write_text("7")
    assert "may be older than /etc/cluster/cluster.conf" in parts(root, "postinst.d", "6.1")
    plugin = entered(root, "/usr/lib/kernel/install.d/49-osr.install", "add", "6.1", "/boot/x")
    assert "may be older" in plugin.stderr


def test_hooks_that_are_left_alone_do_no_harm(root: Path) -> None:
    (root / HOOK[1:]).unlink()
    for directory in ("postinst.d", "prerm.d", "postrm.d"):
        assert parts(root, directory, "6.1") == ""
    assert entered(root, "/usr/lib/kernel/install.d/49-osr.install", "add", "6.1").stderr == ""


@pytest.mark.needs("shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(script: Path) -> None:
    done = subprocess.run(["shellcheck", "--shell=sh", script], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert script.stat().st_mode & 0o111


@pytest.mark.slow
@pytest.mark.parametrize("way", list(BootWay))
def test_the_distributions_own_update_builds_an_initrd_for_all_nodes(
    debian_root: Path, debian_kernel: str, way: BootWay
) -> None:
    """A kernel package's hooks in a root that `osrctl initrd install` prepared: dracut's own one builds."""
    (debian_root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (debian_root / "etc/dracut.conf.d/fast.conf").write_text('compress="gzip -1"\n')
    before = sorted((debian_root / "usr/lib/dracut").rglob("*"))
    with InitrdInstall(str(debian_root), Settings(), str(CONF)) as here:
        here.perform(here.plan(way, here.data(BootWay.FULL)))
    image = debian_root / f"boot/initrd.img-{debian_kernel}"
    image.unlink(missing_ok=True)
    parts(debian_root, "postinst.d", debian_kernel)
    listed = entered(debian_root, "lsinitrd", f"/boot/{image.name}").stdout
    names = {line.split()[-1] for line in listed.splitlines() if line.startswith(("-", "d", "l"))}
    modules = listed.split("dracut modules:\n")[1].split("====")[0].split()
    assert "osr" in modules
    assert ("osr-cluster" in modules) is (way is BootWay.FULL)
    assert ("etc/osr/nodes.d/7.conf" in names) is (way is BootWay.FULL)
    assert any(name.endswith("sbin/osrroot") for name in names)
    # A host-only image has the drivers of this machine, and its machine id; this one has every NIC's of the root.
    ethernet = f"lib/modules/{debian_kernel}/kernel/drivers/net/ethernet"
    drivers = {path.name for path in (debian_root / ethernet).rglob("*.ko")}
    assert "e1000e.ko" in drivers
    assert {name.rpartition("/")[2] for name in names if f"/{ethernet}/" in name and name.endswith(".ko")} == drivers
    content = entered(debian_root, "lsinitrd", "-f", "etc/machine-id", f"/boot/{image.name}").stdout
    assert "0123456789abcdef" not in content
    with InitrdInstall(str(debian_root), Settings(), str(CONF)) as here:
        here.perform(here.plan_removal())
    assert not (debian_root / "usr/lib/osr").exists()
    assert sorted((debian_root / "usr/lib/dracut").rglob("*")) == before
