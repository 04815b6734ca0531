# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on the way up ends in words that somebody can act on: on the console, and on the bus."""

from pathlib import Path

import pytest

from tests.boot.cluster import PATIENCE, configuration, switched_on
from tests.boot.lab import BRIDGE, Lab
from tests.boot.machine import Machine
from tests.boot.serving import DNSMASQ
from tests.dhcp.servers import Program
from tests.end_to_end.sandbox import SEED
from tests.end_to_end.serving import MAC1
from tests.eventually import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.matrix,
    pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "nsenter", "ip"),
]

UNKNOWN = "00:0c:29:00:00:99"
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
