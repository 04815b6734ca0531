# SPDX-License-Identifier: GPL-3.0-or-later
"""The seed's cluster with node2's address corrected, planned for a back end and written below a directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from osrd.model.cluster import Cluster, Node
from osrd.model.netboot import BootFiles
from osrd.model.settings import (
    Architecture,
    BootSettings,
    DhcpBackend,
    DhcpSettings,
    Paths,
    Reload,
    Settings,
    SubnetSettings,
    TftpSettings,
)
from osrd.parse.clusterconf import parse_cluster
from osrd.plan.dhcp import DhcpPlanner
from osrd.plan.loaders import boot_files
from tests.dhcp.network import NIC, SERVER

MACS = ("00:0c:29:c9:c6:f5", "00:0c:29:c9:c6:f6")
UNKNOWN = "00:0c:29:00:00:99"
SCRIPT = "osr/ipxe/boot.ipxe"
LOADERS = {
    Architecture.BIOS: "osr/pxelinux.0",
    Architecture.X86_64: "osr/grubx64.efi",
    Architecture.ARM64: "osr/grubaa64.efi",
}
SEED = Path(__file__).parent.parent / "fixtures" / "seed.conf"
RANGE = SubnetSettings(
    IPv4Network("192.168.122.0/24"), range=(IPv4Address("192.168.122.100"), IPv4Address("192.168.122.110"))
)


def seed(*more: str, text: str | None = None) -> Cluster:
    """The corrected seed with further ``<clusternode>`` elements."""
    whole = text or SEED.read_text()
    first = whole.replace("F5", "F6").replace("F6", "F5", 1)
    return parse_cluster(first.replace("</clusternodes>", "".join(more) + "</clusternodes>").encode(), "cluster.conf")


def node(name: str, nodeid: int, mac: str, ip: str) -> str:
    """A further node of the seed's network."""
    eth = f'<eth name="eth0" ip="{ip}" mac="{mac}" mask="255.255.255.0" gateway="{SERVER}"/>'
    return f'<clusternode name="{name}" nodeid="{nodeid}"><com_info>{eth}</com_info></clusternode>'


@dataclass
class Host:
    """A boot host whose files are below ``directory``."""

    directory: Path
    settings: Settings
    boot: BootFiles

    @property
    def config(self) -> str:
        return self.settings.dhcp.config

    @property
    def hosts(self) -> str:
        return self.settings.dhcp.hosts

    def candidates(self, cluster: Cluster, nodes: Sequence[Node] | None = None) -> dict[str, str]:
        """Final path to a new file with what osrd plans."""
        result = DhcpPlanner().plan(cluster.nodes if nodes is None else nodes, self.settings, self.boot, cluster)
        assert not result.findings
        made = {}
        for number, file in enumerate(result.files):
            path = self.directory / f"candidate{number}"
            path.write_bytes(file.content)
            made[file.path] = str(path)
        return made

    def publish(self, cluster: Cluster, nodes: Sequence[Node] | None = None) -> dict[str, str]:
        """Put the files in their places, without asking anybody."""
        made = self.candidates(cluster, nodes)
        for path, candidate in made.items():
            Path(path).write_bytes(Path(candidate).read_bytes())
        return made


def host(directory: Path, backend: DhcpBackend, reload: Reload | None = None, *, http: bool = False) -> Host:
    """A boot host at SERVER with one [subnet] with a range."""
    root = directory / 'tftp, "root" #1'  # hard to write down in a configuration
    (root / "osr" / "ipxe").mkdir(parents=True)
    for name in (*LOADERS.values(), SCRIPT):
        (root / name).write_bytes(f"this is {name}\n".encode() * 100)
    settings = Settings(
        paths=Paths(state=str(directory)),
        tftp=TftpSettings(root=str(root)),
        boot=BootSettings(http=f"http://{SERVER}/osr" if http else ""),
        dhcp=DhcpSettings(
            backend=backend,
            config=str(directory / "dhcp.conf"),
            hosts=str(directory / "dhcp.hosts"),
            reload=reload,
            interfaces=(NIC,),
        ),
        subnets=(RANGE,),
    )
    return Host(directory, settings, boot_files(settings, SERVER, LOADERS))
