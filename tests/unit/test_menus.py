# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot menus as the boot loaders read them."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from osrd.model.cluster import Nic
from osrd.model.finding import Severity
from osrd.model.output import Desired, Kind, Stage
from osrd.model.settings import BootWay, RootSettings, UefiLoader
from osrd.plan.desired import Desirer, Inputs
from tests.unit.planning import DIRECTORY, VOLUME, cluster, eth, facts, inputs, mac, node, settings

K, I = f"kernels/vmlinuz-{'a' * 16}", f"kernels/initrd-{'b' * 16}.img"  # noqa: E741
NAME = "01-00-0c-29-00-00-01"
ARGS = "nodeid=1 nfs.nfs4_unique_id=osr:web:1 rd.neednet=1"


def text(desired: Desired, name: str) -> str:
    content = desired.contents[desired.outputs[f"{DIRECTORY}/{name}"].recipe]
    assert isinstance(content, bytes)
    return content.decode()


def menus(desired: Desired) -> dict[str, str]:
    kinds = (Kind.PXELINUX, Kind.GRUB, Kind.IPXE)
    paths = [path for path, output in desired.outputs.items() if output.kind in kinds]
    return {path.removeprefix(DIRECTORY + "/"): text(desired, path.removeprefix(DIRECTORY + "/")) for path in paths}


def test_pxelinux() -> None:
    assert text(Desirer().desire(inputs(node(1))), f"pxelinux.cfg/{NAME}") == (
        "# Made by osrd from /etc/cluster/cluster.conf for node1 (nodeid 1), eth0 00:0c:29:00:00:01; "
        "edits are undone.\n"
        "DEFAULT osr\n"
        "SAY node1: osr boots in 5 s; type previous and Enter for the kernel before.\n"
        "PROMPT 1\n"
        "TIMEOUT 50\n"
        "LABEL osr\n"
        "  MENU LABEL node1 - shared root\n"
        f"  KERNEL {K}\n"
        f"  INITRD {I}\n"
        f"  APPEND {ARGS}\n"
        "  IPAPPEND 2\n"
        "LABEL previous\n"
        "  MENU LABEL node1 - shared root, previous kernel\n"
        f"  KERNEL {K}\n"
        f"  INITRD {I}\n"
        f"  APPEND {ARGS}\n"
        "  IPAPPEND 2\n"
    )


def test_grub() -> None:
    grub = text(Desirer().desire(inputs(node(1))), f"grub/grub.cfg-{NAME}")
    assert grub.splitlines()[1:7] == [
        "set default=osr",
        "set timeout=5",
        "menuentry 'node1 - shared root' --id osr {",
        f"  linux /osr/{K} {ARGS} BOOTIF={NAME}",
        f"  initrd /osr/{I}",
        "}",
    ]
    assert "--id previous {" in grub


def test_ipxe() -> None:
    script = text(Desirer().desire(inputs(node(1))), f"ipxe/{NAME}.ipxe").splitlines()
    assert script[0] == "#!ipxe"
    assert "choose --default osr --timeout 5000 entry && goto ${entry} || goto osr" in script
    start = script.index(":osr")
    initrd = I.rpartition("/")[2]
    assert script[start + 1 : start + 4] == [
        f"kernel ../{K} initrd={initrd} {ARGS} BOOTIF={NAME} || goto failed",
        f"initrd --name {initrd} ../{I} || goto failed",
        "boot || goto failed",
    ]
    assert ":previous" in script


def test_every_goto_of_a_script_has_its_label() -> None:
    for name, script in menus(Desirer().desire(inputs(node(1)))).items():
        labels = set(re.findall(r"^:(\w+)$", script, re.MULTILINE)) | {"${entry}"}
        assert set(re.findall(r"goto (\S+)", script)) <= labels, name


def test_static_menus_have_everything_on_the_command_line() -> None:
    made = inputs(node(1), settings=settings(BootWay.STATIC))
    for name in (f"pxelinux.cfg/{NAME}", f"grub/grub.cfg-{NAME}", f"ipxe/{NAME}.ipxe"):
        for part in (
            "nodeid=1",
            "root=nfs4:192.168.122.1:/srv/root:rw,vers=4.2 rw",
            "cdsltree=/cluster/cdsl",
            "cdsllink=/cdsl.local",
            "ip=10.0.0.1::10.0.0.1:255.255.0.0:node1::none",
        ):
            assert text(Desirer().desire(made), name).count(part) == 2, (name, part)


def test_the_way_of_the_root_section_wins() -> None:
    root = RootSettings("web", kernel="/boot/vmlinuz", way=BootWay.STATIC, append="quiet")
    made = inputs(node(1), settings=replace(settings(append="console=ttyS0"), roots=(root,)))
    grub = text(Desirer().desire(made), f"grub/grub.cfg-{NAME}")
    assert "root=nfs4:" in grub
    assert "console=ttyS0 quiet BOOTIF" in grub
    assert "initrd" not in grub


def test_no_timeout_boots_at_once() -> None:
    desired = Desirer().desire(inputs(node(1), settings=settings(timeout=0)))
    assert "PROMPT 0" in text(desired, f"pxelinux.cfg/{NAME}")
    assert "\ngoto osr\n" in text(desired, f"ipxe/{NAME}.ipxe")
    assert "set timeout=0" in text(desired, f"grub/grub.cfg-{NAME}")


def test_http_serves_kernels_to_loaders_that_can() -> None:
    desired = Desirer().desire(inputs(node(1), settings=settings(http="http://192.168.122.1/osr/")))
    assert f"linux (http,192.168.122.1)/osr/{K} " in text(desired, f"grub/grub.cfg-{NAME}")
    assert f"kernel http://192.168.122.1/osr/{K} " in text(desired, f"ipxe/{NAME}.ipxe")
    assert f"KERNEL {K}\n" in text(desired, f"pxelinux.cfg/{NAME}")


@pytest.mark.parametrize("http", ["http://10.0.0.1:8080/osr", "https://10.0.0.1/osr"])
def test_grub_uses_tftp_where_its_http_cannot(http: str) -> None:
    desired = Desirer().desire(inputs(node(1), settings=settings(http=http)))
    assert f"linux /osr/{K} " in text(desired, f"grub/grub.cfg-{NAME}")


def test_a_signed_grub_uses_tftp() -> None:
    boot = settings(http="http://10.0.0.1/osr", secure_boot=True, uefi_loader=UefiLoader.GRUB)
    assert f"linux /osr/{K} " in text(Desirer().desire(inputs(node(1), settings=boot)), f"grub/grub.cfg-{NAME}")


def test_unknown_machines_get_a_message_and_leave_the_network_boot() -> None:
    desired = Desirer().desire(inputs(node(1)))
    assert "LOCALBOOT 0" in text(desired, "pxelinux.cfg/default")
    assert "SAY This machine is no node that cluster web serves" in text(desired, "pxelinux.cfg/default")
    assert text(desired, "ipxe/default.ipxe").endswith("exit 1\n")
    assert "chain --autofree 01-${netX/mac:hexhyp}.ipxe || chain --autofree default.ipxe\n" in text(
        desired, "ipxe/boot.ipxe"
    )
    dispatcher = text(desired, "grub/grub.cfg")
    assert 'configfile "$prefix/grub.cfg-01-$a-$b-$c-$d-$e-$f"' in dispatcher
    assert "set default=local" in dispatcher


def test_every_nic_with_an_address_of_hardware_gets_its_files() -> None:
    machine = node(1, nics=(eth(1), eth(2, "eth1", master="bond0", ip=""), Nic("bond0", mac=mac(1))))
    desired = Desirer().desire(inputs(machine))
    found = {path for path, output in desired.outputs.items() if output.node == "node1"}
    assert found == {
        f"{DIRECTORY}/{name}"
        for end in ("01", "02")
        for name in (
            f"pxelinux.cfg/01-00-0c-29-00-00-{end}",
            f"grub/grub.cfg-01-00-0c-29-00-00-{end}",
            f"ipxe/01-00-0c-29-00-00-{end}.ipxe",
        )
    }
    assert {desired.outputs[path].stage for path in found} == {Stage.MENU}


def test_files_name_their_inputs_but_neither_version_nor_generation() -> None:
    made = inputs(node(1))
    first = Desirer().desire(made)
    second = Desirer().desire(replace(made, cluster=replace(made.cluster, config_version=99)))
    assert first.outputs == second.outputs
    output = first.outputs[f"{DIRECTORY}/grub/grub.cfg-{NAME}"]
    assert output.made_from[0] == "/etc/cluster/cluster.conf"
    assert output.made_from[1].endswith("grub.j2")


@pytest.mark.needs("grub-script-check")
@pytest.mark.parametrize("way", BootWay)
def test_grub_reads_its_files(way: BootWay, tmp_path: Path) -> None:
    append = 'quiet dyndbg="file drivers/* +p; x" a={b} c=$d e=#f'
    machine = node(1, nics=(eth(1), eth(2, "eth1", ip="dhcp")))
    desired = Desirer().desire(inputs(machine, settings=settings(way, append=append)))
    scripts = {name: script for name, script in menus(desired).items() if name.startswith("grub/")}
    assert len(scripts) == 3
    for name, script in scripts.items():
        path = tmp_path / Path(name).name
        path.write_text(script)
        subprocess.run(["grub-script-check", path], check=True)
    assert "'dyndbg=file drivers/* +p; x' 'a={b}' 'c=$d' 'e=#f'" in scripts[f"grub/grub.cfg-{NAME}"]


@pytest.mark.needs("grub-script-check")
def test_the_check_would_notice(tmp_path: Path) -> None:
    path = tmp_path / "grub.cfg"
    path.write_text("menuentry 'it's' {\n}\n")
    assert subprocess.run(["grub-script-check", path], check=False, capture_output=True).returncode != 0


def test_an_unsafe_node_is_refused_and_frozen_and_the_others_go_on() -> None:
    bad = node(2, name="n2\n  KERNEL evil")
    desired = Desirer().desire(inputs(node(1), bad, node(3)))
    assert desired.frozen_nodes == {bad.name}
    assert {output.node for output in desired.outputs.values()} == {"", "node1", "node3"}
    (finding,) = [each for each in desired.findings if each.code == "not-bootable"]
    assert (finding.severity, finding.node, str(finding.place)) == (
        Severity.ERROR,
        bad.name,
        "/etc/cluster/cluster.conf:4",
    )
    assert Kind.KERNEL in desired.frozen_kinds


def test_unsafe_settings_are_one_finding_and_freeze_the_nodes() -> None:
    desired = Desirer().desire(inputs(node(1), node(2), settings=settings(append="a\nb")))
    assert [finding.code for finding in desired.findings] == ["menus-impossible"]
    assert desired.frozen_nodes == {"node1", "node2"}


_any = st.text(max_size=20)


@st.composite
def hostile(draw: st.DrawFn) -> Inputs:
    """One node with any text in everything that could reach a menu."""
    volume = replace(VOLUME, path=draw(_any), mountopts=draw(_any))
    nic = eth(1, draw(_any), gateway=draw(_any))
    machine = node(1, name=draw(_any), root=volume, nics=(nic,))
    described = replace(cluster(machine, name=draw(_any)), file=draw(_any))
    return inputs(machine, settings=settings(draw(st.sampled_from(BootWay))), cluster=described)


_desirer = Desirer()
_plain: dict[BootWay, dict[str, str]] = {}


@given(hostile())
@hypothesis_settings(max_examples=100, deadline=None)
def test_nothing_in_cluster_conf_breaks_out_of_a_menu(made: Inputs) -> None:
    """Hostile or odd text changes words inside the lines of a menu, never the lines or the commands they are."""
    way = made.settings.boot.way
    plain = menus(Desirer().desire(inputs(node(1), settings=made.settings))) if way not in _plain else _plain[way]
    _plain[way] = plain
    # Contents are handed out once, so a node that was rendered before is rendered again for this test.
    _desirer.desire(inputs())
    desired = _desirer.desire(made)
    found = menus(desired)
    assert "grub/grub.cfg" in found
    for path, script in found.items():
        commands = [line.split()[:1] for line in script.split("\n")]
        assert commands == [line.split()[:1] for line in plain[path].split("\n")]
        assert not re.search(r"[^ -~\n]", script)
    owned = [path for path, output in desired.outputs.items() if output.stage in (Stage.LOADER, Stage.MENU)]
    assert all(path.startswith(DIRECTORY + "/") and "/../" not in path for path in owned)


def test_facts_of_the_planner_are_enough_for_menus() -> None:
    assert Desirer().desire(inputs(node(1), facts=facts())).findings == ()
