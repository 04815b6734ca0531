# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packet filters in a network namespace: what is said of a packet is what happens to it."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from osrd.apply.hostprobe import packet_filter
from osrd.model.firewall import Packet
from osrd.model.host import Host
from osrd.model.settings import DhcpBackend
from osrd.plan.doctor.needs import Client, Needs
from osrd.plan.doctor.packet import fate
from osrd.plan.doctor.protection import firewall
from tests.dhcp.network import NIC, SERVER, InNetwork, Network

pytestmark = [pytest.mark.root, pytest.mark.needs("ip", "nft", "iptables-nft", "iptables-legacy")]

CLIENT = "192.168.122.50"
ASKED = (("udp", 67), ("udp", 69), ("tcp", 111), ("tcp", 2049), ("tcp", 20048))

NFT = {
    "nothing": "",
    "policy": "add table inet f\nadd chain inet f in { type filter hook input priority 0; policy drop; }",
    "an open policy": "add table inet f\nadd chain inet f in { type filter hook input priority 0; policy accept; }",
    "as many a host has it": """
        table inet filter {
            set open { type inet_service; flags interval; elements = { 2049, 20000-20100 } }
            chain boot { udp dport { 67, 69 } counter accept; return; }
            chain input {
                type filter hook input priority filter; policy drop;
                ct state vmap { established : accept, related : accept, invalid : drop }
                iifname "lo" accept
                meta l4proto { icmp, ipv6-icmp } accept
                iifname "osr0" jump boot
                ip saddr 192.168.122.0/24 tcp dport @open accept
                log prefix "dropped " counter reject with icmpx admin-prohibited
            }
        }""",
    "another interface": """
        table ip f {
            chain in {
                type filter hook input priority 0; policy drop;
                iifname "eth*" accept
                iifname != "osr*" accept
                tcp dport != 111 ip saddr 192.168.0.0/16 accept
            }
        }""",
    "one before the other": """
        table ip first {
            chain in {
                type filter hook input priority -10; policy accept;
                udp dport 69 drop
            }
        }
        table ip second {
            chain in {
                type filter hook input priority 10; policy accept;
                tcp dport 2000-2100 drop
            }
        }
        table ip third {
            chain in {
                type filter hook prerouting priority -300; policy accept;
                tcp dport 111 drop
            }
        }""",
    "a map of ports": """
        table inet f {
            map verdicts {
                type inet_service : verdict
                elements = { 69 : accept, 2049 : goto more, 20048 : goto silent }
            }
            chain silent {
                counter
            }
            chain more {
                ip saddr 192.168.122.50 accept
                drop
            }
            chain in {
                type filter hook input priority 0; policy drop;
                udp dport vmap @verdicts
                tcp dport vmap @verdicts
                th dport { 111, 20048 } accept
            }
        }""",
}
IPTABLES = {
    "usual": ("-P INPUT DROP", "-A INPUT -i lo -j ACCEPT", "-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT",
              "-A INPUT -p udp -m multiport --dports 67,69 -j ACCEPT",
              "-A INPUT -p tcp -s 192.168.122.0/24 --dport 2049 -m conntrack --ctstate NEW -j ACCEPT"),
    "chains": ("-N nodes", "-A nodes -p tcp --dport 2000:2100 -j RETURN", "-A nodes -p tcp ! --dport 111 -j REJECT",
               "-A nodes -i eth+ -j ACCEPT", "-A INPUT -i osr+ -j nodes", "-A INPUT -p udp --dport 69 -j LOG",
               "-A INPUT -p udp --dport 67 -m comment --comment 'no, never' -j DROP"),
}  # fmt: skip


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    built = Network(tmp_path_factory.mktemp("firewall"))
    try:
        built.build()
        yield built
    finally:
        built.remove()


def inside(network: Network, *argv: str, text: str = "") -> None:
    subprocess.run(
        ["ip", "netns", "exec", network.server, *argv], input=text.encode(), check=True, capture_output=True
    )


@pytest.fixture
def empty(network: Network) -> Network:
    inside(network, "nft", "flush", "ruleset")
    for words in ("-P INPUT ACCEPT", "-F", "-X"):
        inside(network, "iptables-legacy", *words.split())
    return network


#: Answers what comes to it, in the server's namespace; then asks from the client's, and waits a second.
SERVE = """
import socket, selectors
with selectors.DefaultSelector() as ready:
    for kind, port in {asked}:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("0.0.0.0", port))
        if kind == "tcp": s.listen()
        ready.register(s, selectors.EVENT_READ, kind)
    print("ready", flush=True)
    while True:
        for key, _ in ready.select():
            if key.data == "udp":
                data, peer = key.fileobj.recvfrom(99)
                key.fileobj.sendto(data, peer)
            else:
                key.fileobj.accept()[0].close()
"""
ASK = """
import json, select, socket, time
asked, answered = {asked}, []
pending = {{}}
for kind, port in asked:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.setblocking(False)
    s.connect_ex(("{server}", port))
    if kind == "udp": s.send(b"x")
    pending[s] = (kind, port)
deadline = time.monotonic() + 1
while pending:
    left = deadline - time.monotonic()
    reading = [s for s, (kind, _) in pending.items() if kind == "udp"]
    writing = [s for s, (kind, _) in pending.items() if kind == "tcp"]
    heard = sum(select.select(reading, writing, [], max(left, 0))[:2], [])
    # Who was kept from the processor for that second looks once more at what has come meanwhile.
    if left <= 0 and not heard: break
    for s in heard:
        kind, port = pending.pop(s)
        try:
            if kind == "udp": s.recv(9)
            elif s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR): continue
        except OSError: continue
        answered.append((kind, port))
print(json.dumps(answered))
"""


def answered(network: Network) -> set[tuple[str, int]]:
    """What really gets through."""
    where = ["ip", "netns", "exec"]
    with subprocess.Popen(
        [*where, network.server, sys.executable, "-c", SERVE.format(asked=ASKED)], stdout=subprocess.PIPE
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            asking = [*where, network.client, sys.executable, "-c", ASK.format(asked=ASKED, server=SERVER)]
            done = subprocess.run(asking, capture_output=True, check=True)
        finally:
            server.kill()
    return {(kind, port) for kind, port in json.loads(done.stdout)}


def said(network: Network) -> set[tuple[str, int]]:
    """What the doctor says."""
    known = packet_filter(InNetwork(network), privileged=True)
    assert known.problem == ""
    fates = {(kind, port): fate(Packet(kind, port, NIC, CLIENT), known.rulesets) for kind, port in ASKED}
    assert not any(each.unclear for each in fates.values()), fates
    return {asked for asked, each in fates.items() if each.accepted}


@pytest.mark.parametrize("rules", NFT)
def test_rules_of_nftables(empty: Network, rules: str) -> None:
    inside(empty, "nft", "-f", "-", text=NFT[rules])
    assert said(empty) == answered(empty)


@pytest.mark.parametrize("rules", IPTABLES)
@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_rules_of_iptables(empty: Network, program: str, rules: str) -> None:
    for words in IPTABLES[rules]:
        inside(empty, program, *shlex.split(words))
    # The table of names is that of the whole host's modules: it is asked in the namespace.
    known = said_in(empty) if program == "iptables-legacy" else said(empty)
    assert known == answered(empty)


def said_in(network: Network) -> set[tuple[str, int]]:
    """The same for what /proc must tell of the namespace: in a process that is in it."""
    program = (
        "import json; from osrd.apply.hostprobe import packet_filter; from osrd.apply.runner import SubprocessRunner\n"
        "from osrd.plan.doctor.packet import fate; from osrd.model.firewall import Packet\n"
        "known = packet_filter(SubprocessRunner(), privileged=True); assert not known.problem, known.problem\n"
        f"gets_in = lambda each: fate(Packet(*each, {NIC!r}, {CLIENT!r}), known.rulesets).accepted\n"
        f"print(json.dumps([each for each in {ASKED} if gets_in(each)]))"
    )
    argv = ["ip", "netns", "exec", network.server, sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    return {(kind, port) for kind, port in json.loads(done.stdout)}


def test_what_depends_on_a_rate_is_unclear(empty: Network) -> None:
    inside(
        empty,
        "nft",
        "-f",
        "-",
        text="""
        table ip f {
            chain in {
                type filter hook input priority 0; policy drop;
                udp dport 69 limit rate 1/second accept
            }
        }""",
    )
    known = packet_filter(InNetwork(empty), privileged=True)
    result = fate(Packet("udp", 69, NIC, CLIENT), known.rulesets)
    assert result.unclear
    assert result.dropped_by == ("the policy of ip f in",)
    assert fate(Packet("udp", 67, NIC, CLIENT), known.rulesets).blocked


def test_the_finding_names_chain_ports_and_fix(empty: Network) -> None:
    inside(empty, "nft", "-f", "-", text=NFT["policy"])
    known = packet_filter(InNetwork(empty), privileged=True)
    needs = Needs(DhcpBackend.DNSMASQ, frozenset({4}), ("/srv/root",), (Client(NIC, CLIENT),), ())
    host = Host(filter=known)
    (finding,) = firewall(needs, host).findings
    assert finding.code == "firewall-blocks"
    assert finding.message == f"the policy of inet f in drops UDP port 67, UDP port 69, TCP port 2049 on {NIC}"
    assert finding.fix.endswith("tcp dport { 2049 } accept and udp dport { 67, 69 } accept")
    (finding,) = firewall(needs, replace(host, filter=replace(known, firewalld=True))).findings
    assert "--add-service=nfs --add-service=dhcp --add-service=tftp && firewall-cmd --reload" in finding.fix
    (finding,) = firewall(needs, replace(host, filter=replace(known, ufw=True))).findings
    assert finding.fix == "ufw allow 2049/tcp && ufw allow 67/udp && ufw allow 69/udp"


def test_only_root_may_see_the_rules() -> None:
    assert packet_filter(InNetwork(Network(Path())), privileged=False).problem == "only root may see the rules"
