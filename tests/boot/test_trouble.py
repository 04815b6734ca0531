# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on the way up ends in words that somebody can act on: on the console, and on the bus."""

from pathlib import Path

import pytest

from tests.boot.cluster import APPEND, PATIENCE, configuration, nfs_cluster, switched_on
from tests.boot.lab import BRIDGE, PLACE, SERVER, Lab
from tests.boot.machine import Machine
from tests.boot.serving import DNSMASQ
from tests.dhcp.servers import Program
from tests.end_to_end.sandbox import SEED
from tests.end_to_end.serving import MAC1, MAC2
from tests.eventually import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.matrix,
    pytest.mark.needs("qemu-system-x86_64", "ganesha.nfsd", "rpcbind", "dnsmasq", "debootstrap", "nsenter", "ip"),
]

UNKNOWN = "00:0c:29:00:00:99"
#: Warnings are shown, as they are without APPEND; attempts follow each other quickly.
LOUD = APPEND.replace("loglevel=4", "loglevel=5") + " osr.wait=3 osr.tries=15"
VOLUME, NOWHERE = f"{SERVER}:{PLACE}", f"{SERVER}:/mnt/virtual/nfsosr/nowhere"
#: A DHCP server that osrd knows nothing of, which leads every machine to osrd's loader.
SITE = """port=0
interface={bridge}
bind-dynamic
dhcp-range=192.168.122.50,192.168.122.60
dhcp-boot=osr/pxelinux.0
enable-tftp
tftp-root={tftp}
"""


def told(lab: Lab, code: str) -> list[str]:
    """What is on the bus with that code: the message and what to do."""
    findings = lab.ask("status")["findings"]
    return [f"{finding['message']}; {finding['fix']}" for finding in findings if finding["code"] == code]


def test_no_node_is_told_so(tmp_path: Path) -> None:
    """The wiki page's own cluster.conf, in which two nodes have one address; and a machine that nobody knows."""
    # No node is left that would say which network is served.
    with Lab(SEED.read_bytes(), configuration() + "[subnet 192.168.122.0/24]\nrouter = 192.168.122.1\n") as lab:
        lab.start_bus()
        lab.start()
        assert [node["quarantined"] for node in lab.ask("nodes")["nodes"]] == [True, True]
        of_one, of_other = told(lab, "duplicate-mac")
        for conflict in (of_one, of_other):
            assert f"have the same MAC {MAC1.upper()}; correct the MAC of eth0 of node" in conflict
        (server,) = [lab.start_server(program) for program in DNSMASQ.programs(lab)]
        for name, mac in (("twin", MAC1), ("stranger", UNKNOWN)):
            with switched_on(Machine(lab, name, mac)) as machine:
                machine.wait(f"{mac}(?s:.*)No configuration methods", PATIENCE)
        assert not lab.entry(MAC1).exists()
        (stranger,) = eventually(lambda: told(lab, "unknown-machine"), "the machine is told")
        assert f"osrctl node add NAME ip=ADDRESS mac={UNKNOWN}" in stranger
        server.terminate()
        server.wait()
        config = lab.directory / "site.conf"
        config.write_text(SITE.format(bridge=BRIDGE, tftp=lab.directory / "tftp"))
        argv = (
            "dnsmasq",
            "-k",
            "-C",
            str(config),
            "--user=root",
            f"--pid-file={config}.pid",
            f"--dhcp-leasefile={config}.leases",
        )
        lab.start_server(Program(argv, lambda: None, Path(f"{config}.pid").exists))
        for name, mac in (("twin", MAC1), ("stranger", UNKNOWN)):
            with switched_on(Machine(lab, name, mac)) as machine:
                machine.wait("This machine is no node that cluster axqad109 serves", PATIENCE)
                machine.wait("that node has a mistake there, which osrctl status tells", PATIENCE)


def test_a_root_that_cannot_be_had_is_told(bootable: Path, tmp_path: Path) -> None:
    """A server that is away and comes back, a node without a tree, a root that is nowhere."""
    with nfs_cluster(bootable, tmp_path, append=LOUD, more="[watch]\nboot-limit = 60s\n") as lab:
        lab.stop_nfs()
        one, two = Machine(lab, "node1", MAC1), Machine(lab, "node2", MAC2)
        with switched_on(one):
            one.wait(rf"osr: mounting nfs4:{VOLUME}\S* failed: mount\.nfs4?: ", PATIENCE)
            (away,) = eventually(lambda: told(lab, "node-not-up"), "node1 is told", PATIENCE)
            assert f"node1 is not up 60 s after its loader: it has not mounted its root {VOLUME}" in away
            assert "its console says why" in away
            tree = tmp_path / "root/cluster/cdsl/2"
            tree.rename(tmp_path / "tree of node2")
            tree.write_text("osrd makes trees that are missing; this is in its way")
            lab.gdbus("Manager.Reconcile", "{}")
            (broken,) = eventually(lambda: told(lab, "root-failed"), "the tree is told", PATIENCE)
            assert broken == "[root fc11] /cluster/cdsl/2 is there, but is no directory; move it away"
            lab.start_nfs()
            with switched_on(two):
                one.wait_until_up(PATIENCE)
                eventually(
                    lambda: not any("node1" in line for line in told(lab, "node-not-up")), "node1 is up", PATIENCE
                )
                in_the_emergency_shell(two, "no CDSL directory for node 2 in /cluster/cdsl", "osrctl cdsl repair")
                (lost,) = eventually(lambda: told(lab, "node-not-up"), "node2 is told", PATIENCE)
                assert lost.startswith("node2 is not up")
        tree.unlink()
        lab.command("cdsl", "repair", PLACE)
        assert tree.is_dir()
        lead_node2_astray(lab)
        with switched_on(two):
            in_the_emergency_shell(
                two, "the root could not be mounted in 15 attempts: mount.nfs4: ", "look after the server"
            )
            (nowhere,) = eventually(lambda: told(lab, "node-not-up"), "node2 is told", PATIENCE)
            assert f"node2 is not up 60 s after its loader: it has not mounted its root {NOWHERE}" in nowhere


def in_the_emergency_shell(machine: Machine, why: str, what_to_do: str) -> None:
    """dracut's emergency state, with our own words on the console."""
    machine.wait("Open Sharedroot could not boot this machine", PATIENCE)
    report = machine.wait(r"could not boot this machine\.(?s:(.*?))osr-param list shows", PATIENCE)[1]
    assert why in report
    assert what_to_do in report


def lead_node2_astray(lab: Lab) -> None:
    """Another root volume for node2 in cluster.conf, which is in the initrd, too."""
    before = lab.entry(MAC2).read_bytes()
    text = lab.cluster_conf.read_text()
    head, _, tail = text.rpartition(VOLUME)
    lab.replace(text, head + NOWHERE + tail)
    eventually(lambda: lab.entry(MAC2).read_bytes() != before, "an initrd that leads nowhere", PATIENCE)
