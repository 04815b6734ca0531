# SPDX-License-Identifier: GPL-3.0-or-later
"""How far nodes are with their boots: what servers log, what it means, and what is shown of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from osrd.engine.bootstates import BootStates, Overlay
from osrd.model.bootevent import BootEvent, Leased, Refused, Sent
from osrd.model.cluster import Cluster
from osrd.model.finding import Finding
from osrd.model.image import NodeReport
from osrd.model.settings import BootWay, RootSettings, Settings, TftpSettings, WatchSettings
from osrd.model.view import BootProgress, BootState, NodeView
from osrd.observe.serverlog import LogFile, open_server_log
from osrd.parse.clusterconf import parse_cluster
from osrd.parse.serverlog import boot_event
from osrd.plan.bootstates import after_event, after_report, directory_of, stage_of
from tests.conftest import REPOSITORY
from tests.eventually import eventually_async

MAC, IP = "00:0c:29:c9:c6:f5", "192.168.122.171"
TFTP = TftpSettings()
STRANGE = "00:0c:29:00:00:99"
SETTINGS = Settings(roots=(RootSettings("fc11", path="/srv/root"),), watch=WatchSettings(boot_limit=0.05))


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (f"dnsmasq-dhcp[12]: DHCPACK(osr0) {IP} {MAC} node1", Leased(MAC, IP)),
        (f"DHCPACK(osr0) {IP} {MAC.upper()}", Leased(MAC, IP)),
        (f"DHCPACK on {IP} to {MAC} (node1) via osr0", Leased(MAC, IP)),
        (
            f"INFO  DHCP4_LEASE_ALLOC [hwtype=1 {MAC}], cid=[01:00], tid=0x1: lease {IP} has been allocated for 600 s",
            Leased(MAC, IP),
        ),
        (f"sent /srv/tftp/osr/pxelinux.0 to {IP}", Sent(IP, "/srv/tftp/osr/pxelinux.0")),
        (f"Nov 27 dnsmasq-tftp[1]: sent /srv/tftp/osr/a b to {IP}", Sent(IP, "/srv/tftp/osr/a b")),
        (f"RRQ from {IP} filename osr/pxelinux.0", Sent(IP, "osr/pxelinux.0")),
        (f"RRQ from ::ffff:{IP} filename /osr/ldlinux.c32 remapped to x", Sent(IP, "/osr/ldlinux.c32 remapped to x")),
        (f"dnsmasq-dhcp[1]: DHCPDISCOVER(osr0) {STRANGE.upper()} ignored", Refused(STRANGE)),
        (f"DHCPDISCOVER(osr0) 192.168.122.9 {STRANGE} no address available", Refused(STRANGE)),
        (f"DHCPDISCOVER from {STRANGE} via osr0: network 192.168.122.0/24: no free leases", Refused(STRANGE)),
        (f"DHCPDISCOVER from {STRANGE} via osr0", None),
        (f"DHCPDISCOVER(osr0) {MAC}", None),
        (f"file /srv/tftp/osr/pxelinux.cfg/01 not found for {IP}", None),
        (f"failed sending /srv/tftp/osr/pxelinux.0 to {IP}", None),
        ("", None),
        ("x" * 2000 + f"sent /srv/tftp/osr/pxelinux.0 to {IP}", None),
    ],
)
def test_lines_of_servers(line: str, event: BootEvent | None) -> None:
    assert boot_event(line) == event


@pytest.mark.parametrize(
    ("path", "state"),
    [
        ("/srv/tftp/osr/pxelinux.0", BootState.LOADER),
        ("osr/grubx64.efi", BootState.LOADER),
        ("/osr/undionly.kpxe", BootState.LOADER),
        ("osr/ipxe/boot.ipxe", BootState.LOADER),
        ("osr/ipxe/01-00-0c-29-c9-c6-f5.ipxe", None),
        ("/srv/tftp/osr/kernels/vmlinuz-0123", BootState.KERNEL),
        ("osr/kernels/initrd-0123.img", BootState.INITRD),
        ("/srv/tftp/osr/pxelinux.cfg/01-00-0c-29-c9-c6-f5", None),
        ("/srv/tftp/other/pxelinux.0", None),
        ("kernels/vmlinuz-0123", None),
    ],
)
def test_what_is_started_next(path: str, state: BootState | None) -> None:
    assert stage_of(path, TFTP) is state


def states(*events: BootEvent | NodeReport) -> list[str]:
    """What one node goes through."""
    now, seen = BootProgress(), []
    for when, event in enumerate(events, 100):
        match event:
            case NodeReport():
                now = after_report(now, event)
            case Leased() | Sent():
                now = after_event(now, event, TFTP, float(when))
        seen.append(str(now.state))
    return seen


LEASE, KERNEL, INITRD = Leased(MAC, IP), Sent(IP, "osr/kernels/vmlinuz-1"), Sent(IP, "osr/kernels/initrd-1.img")
LOADER = Sent(IP, "osr/pxelinux.0")


def report(step: str, time: float) -> NodeReport:
    return NodeReport("node1", step, time)


def test_a_boot_from_end_to_end() -> None:
    events = (LEASE, LOADER, LEASE, KERNEL, INITRD, report("root", 200), report("up", 300), LEASE, LOADER, KERNEL)
    assert states(*events) == ["dhcp", "loader", "loader", "kernel", "initrd", "root", "up", "up", "loader", "kernel"]


def test_a_kernel_after_the_initrd_is_no_step_back() -> None:
    assert states(LOADER, INITRD, KERNEL) == ["loader", "initrd", "initrd"]


def test_an_old_report_does_not_end_a_new_boot() -> None:
    """osrd reads what the node said before it was switched off again."""
    assert states(LOADER, KERNEL, report("root", 50)) == ["loader", "kernel", "root"]
    assert after_report(BootProgress(BootState.UP, 100.0), report("root", 50)) == BootProgress(BootState.UP, 100.0)


def cluster(name: str) -> Cluster:
    return parse_cluster((REPOSITORY / f"tests/fixtures/{name}.conf").read_bytes(), "cluster.conf")


def test_an_address_of_two_nodes_is_nobodys() -> None:
    assert directory_of(cluster("seed"), SETTINGS).by_mac == {MAC: ""}
    assert directory_of(cluster("seed-fixed"), SETTINGS).by_address == {IP: "node1", "192.168.122.172": "node2"}


class Shown:
    """What BootStates told, and a log that says what it is told to."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, BootProgress]] = []
        self.strangers: list[tuple[str, ...]] = []
        self.events: tuple[BootEvent, ...] = ()

    def fileno(self) -> None:
        return None

    def read(self) -> tuple[BootEvent, ...]:
        return self.events

    def close(self) -> None:
        """Nothing to close."""

    def tell(self, findings: tuple[Finding, ...]) -> None:
        assert {finding.code for finding in findings} <= {"unknown-machine"}
        self.strangers.append(tuple(finding.value for finding in findings))

    def state(self) -> str:
        return str(self.told[-1]["node1"].state)

    def late(self) -> str:
        """What is said of node1 because it is not up, "" for nothing."""
        finding = self.told[-1]["node1"].late
        return "" if finding is None else finding.message


def test_only_what_changes_is_told() -> None:
    shown = Shown()

    async def play() -> None:
        loop = asyncio.get_running_loop()
        boots = BootStates(loop, shown.told.append, shown.tell, open_log=lambda _: shown, clock=lambda: 7.0)
        boots.follow(directory_of(cluster("seed-fixed"), SETTINGS), Settings())
        shown.events = (LEASE, Leased("00:00:00:00:00:01", "192.168.122.9"), Sent("192.168.122.9", "osr/pxelinux.0"))
        boots.look()
        boots.look()
        boots.reported([report("up", 50)])
        boots.reported([report("up", 50)])
        boots.close()

    asyncio.run(play())
    assert shown.told == [{"node1": BootProgress(BootState.DHCP, 7.0)}, {"node1": BootProgress(BootState.UP, 50.0)}]


def test_each_step_is_told_although_they_are_heard_of_at_once() -> None:
    shown = Shown()

    async def play() -> None:
        boots = BootStates(asyncio.get_running_loop(), shown.told.append, shown.tell, open_log=lambda _: shown)
        boots.follow(directory_of(cluster("seed-fixed"), SETTINGS), SETTINGS)
        boots.heard([LEASE, LOADER, LOADER])
        boots.heard([KERNEL, INITRD])
        await eventually_async(lambda: shown.state() == "initrd", "its initrd")
        boots.close()

    asyncio.run(play())
    states = [told["node1"].state for told in shown.told]
    assert list(dict.fromkeys(states)) == ["dhcp", "loader", "kernel", "initrd"]


def test_a_transfer_that_is_told_late_is_no_new_boot() -> None:
    """dnsmasq says "sent" half a minute later when PXELINUX did not confirm the end of a file."""
    shown = Shown()

    async def play() -> None:
        boots = BootStates(asyncio.get_running_loop(), shown.told.append, shown.tell, open_log=lambda _: shown)
        boots.follow(directory_of(cluster("seed-fixed"), SETTINGS), SETTINGS)
        for event in (LEASE, LOADER, KERNEL, INITRD, LOADER, KERNEL):
            boots.heard([event])
        assert shown.state() == "initrd"
        for event in (LEASE, LOADER):
            boots.heard([event])
        assert shown.state() == "loader"
        boots.close()

    asyncio.run(play())


def test_what_another_node_says_does_not_repeat_what_this_one_said() -> None:
    shown = Shown()

    async def play() -> None:
        boots = BootStates(asyncio.get_running_loop(), shown.told.append, shown.tell, open_log=lambda _: shown)
        boots.follow(directory_of(cluster("seed-fixed"), SETTINGS), SETTINGS)
        up = report("up", 2e9)
        boots.reported([up])
        boots.heard([LEASE, LOADER])
        boots.reported([up, replace(up, node="node2")])
        assert shown.state() == "loader"
        boots.close()

    asyncio.run(play())


def test_a_flood_is_not_drawn_out() -> None:
    shown = Shown()

    async def play() -> None:
        boots = BootStates(asyncio.get_running_loop(), shown.told.append, shown.tell, open_log=lambda _: shown)
        boots.follow(directory_of(cluster("seed-fixed"), SETTINGS), SETTINGS)
        boots.heard([LEASE, LOADER, KERNEL] * 1500)
        boots.close()

    asyncio.run(play())
    assert len(shown.told) == 1


def test_a_node_without_an_address_of_its_own_is_known_by_its_lease() -> None:
    shown = Shown()

    async def play() -> None:
        boots = BootStates(asyncio.get_running_loop(), shown.told.append, shown.tell, open_log=lambda _: shown)
        boots.follow(replace(directory_of(cluster("seed-fixed"), SETTINGS), by_address={}), Settings())
        boots.heard([Leased(MAC, "192.168.122.50"), Sent("192.168.122.50", "osr/pxelinux.0")])
        await eventually_async(lambda: shown.state() == "loader", "it has a loader")
        boots.close()

    asyncio.run(play())


def test_what_a_stranger_fetches_with_the_address_that_a_node_had_is_no_boot_of_it() -> None:
    """It would not be up in time, and somebody would be called."""
    shown = Shown()

    async def play() -> None:
        boots = BootStates(asyncio.get_running_loop(), shown.told.append, shown.tell, open_log=lambda _: shown)
        boots.follow(replace(directory_of(cluster("seed-fixed"), SETTINGS), by_address={}), Settings())
        boots.heard([Leased(MAC, "192.168.122.50")])
        boots.heard([Leased(STRANGE, "192.168.122.50"), Sent("192.168.122.50", "osr/pxelinux.0")])
        boots.close()

    asyncio.run(play())
    assert shown.state() == "dhcp"


def test_a_boot_that_takes_too_long_is_told_until_it_ends() -> None:
    shown, says = Shown(), []

    async def play() -> None:
        boots = BootStates(asyncio.get_running_loop(), shown.told.append, shown.tell, open_log=lambda _: shown)
        boots.follow(directory_of(cluster("seed-fixed"), SETTINGS), SETTINGS)
        boots.heard([LOADER])
        assert shown.late() == ""
        boots.heard([KERNEL, INITRD])
        await eventually_async(lambda: shown.state() == "initrd", "its initrd")
        await eventually_async(shown.late, "it is late")
        says.append(shown.late())
        boots.reported([report("root", 2e9)])
        says.append(shown.late())
        boots.reported([report("up", 2e9)])
        says.append(shown.late())
        boots.close()

    asyncio.run(play())
    assert "has not mounted its root 192.168.122.1:/mnt/virtual/nfsosr/fc11" in says[0]
    assert "does not come up" in says[1]
    assert says[2] == ""


@pytest.mark.parametrize(
    "root",
    [RootSettings("fc11"), RootSettings("fc11", path="/srv/root", kernel="/boot/vmlinuz")],
    ids=["elsewhere", "no-report"],
)
def test_who_cannot_say_that_it_is_up_is_not_late(root: RootSettings) -> None:
    settings = replace(SETTINGS, roots=(root,))
    assert directory_of(cluster("seed-fixed"), SETTINGS).volumes.keys() == {"node1", "node2"}
    assert directory_of(cluster("seed-fixed"), settings).volumes == {}


def test_a_disk_of_its_own_hides_what_a_node_says() -> None:
    text = (REPOSITORY / "tests/fixtures/seed-fixed.conf").read_bytes().replace(b'fstype="nfs"', b'fstype="ext4"')
    assert directory_of(parse_cluster(text, "cluster.conf"), SETTINGS).volumes == {}


@pytest.mark.parametrize(("options", "telling"), [("ro", False), ("nolock,ro", False), ("rw,nolock", True)])
def test_who_cannot_write_says_nothing(options: str, telling: bool) -> None:
    known = cluster("seed-fixed")
    assert known.nodes[0].root is not None
    root = replace(known.nodes[0].root, mountopts=options)
    nodes = tuple(replace(node, root=root) for node in known.nodes)
    assert bool(directory_of(replace(known, nodes=nodes), SETTINGS).volumes) == telling


def test_the_latest_machines_that_are_no_nodes_are_told() -> None:
    shown = Shown()
    many = [f"00:0c:29:00:00:{number:02}" for number in range(10, 20)]

    async def play() -> None:
        boots = BootStates(asyncio.get_running_loop(), shown.told.append, shown.tell, open_log=lambda _: shown)
        known = directory_of(cluster("seed-fixed"), SETTINGS)
        boots.follow(known, SETTINGS)
        boots.heard([Refused(MAC), Refused(STRANGE)])
        boots.heard([Refused(STRANGE)])
        boots.follow(replace(known, by_mac={**known.by_mac, STRANGE: "node3"}), SETTINGS)
        boots.heard([Refused(mac) for mac in many])
        boots.close()

    asyncio.run(play())
    assert shown.strangers == [(STRANGE,), (), tuple(many[-8:])]


def test_views_that_say_the_same_stay_the_same_objects() -> None:
    nodes = cluster("seed-fixed").nodes
    below: Mapping[str, NodeView] = MappingProxyType(
        {str(node.nodeid): NodeView(str(node.nodeid), node, quarantined=False, way=BootWay.FULL) for node in nodes}
    )
    overlay = Overlay()
    assert overlay.over(below, {}) is below
    up = MappingProxyType({"node1": BootProgress(BootState.UP, 1.0)})
    first = overlay.over(below, up)
    assert first["1"].boot.state is BootState.UP
    assert first["2"] is below["2"]
    assert overlay.over(below, up) is first
    edited = MappingProxyType({**below, "2": replace(below["2"], quarantined=True)})
    second = overlay.over(edited, up)
    assert second["1"] is first["1"]
    assert second["2"] is edited["2"]
    assert overlay.over(edited, MappingProxyType({"node1": BootProgress()}))["1"].boot.state is BootState.UNKNOWN


def test_a_log_file_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "dnsmasq.log"
    path.write_text(f"DHCPACK(osr0) {IP} {MAC}\n")
    log = LogFile(str(path))
    assert log.read() == ()  # what was there before
    with path.open("a") as file:
        file.write(f"sent /srv/tftp/osr/pxelinux.0 to {IP}\nsent /srv/tftp/osr/ker")
    assert log.read() == (Sent(IP, "/srv/tftp/osr/pxelinux.0"),)
    with path.open("a") as file:
        file.write(f"nels/vmlinuz-1 to {IP}\n")
    assert log.read() == (Sent(IP, "/srv/tftp/osr/kernels/vmlinuz-1"),)
    path.rename(tmp_path / "rotated")
    assert log.read() == ()
    path.write_text(f"DHCPACK(osr0) {IP} {MAC}\n")
    assert log.read() == (Leased(MAC, IP),)


def test_a_flood_in_a_log_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogFile(str(path))
    path.write_text("x" * (3 << 20) + f"\nDHCPACK(osr0) {IP} {MAC}\n")
    assert log.read() == (Leased(MAC, IP),)


def test_no_log_is_no_trouble(tmp_path: Path) -> None:
    assert open_server_log("") is None
    log = open_server_log(str(tmp_path / "missing"))
    assert log is not None
    assert log.read() == ()
    assert WatchSettings().server_log == "journal"
