# SPDX-License-Identifier: GPL-3.0-or-later
"""What only programs can tell of a host: the rules of its packet filter. They are asked to print, nothing else."""

from osrd.apply.runner import NOT_FOUND, Runner
from osrd.model.errors import InvalidConfigError
from osrd.model.firewall import Ruleset
from osrd.model.host import PacketFilter
from osrd.observe.hostsockets import processes, text_of
from osrd.parse.ruleset import has_foreign, parse_iptables, parse_nft

_TABLES = "/proc/net/ip_tables_names"


def packet_filter(runner: Runner, *, privileged: bool) -> PacketFilter:
    """The rules as they are in force, of nftables and of the older iptables."""
    firewalld = "firewalld" in processes()
    if not privileged:
        return PacketFilter((), "only root may see the rules", firewalld)
    rulesets: list[Ruleset] = []
    problems: list[str] = []
    ufw = False
    listed = runner.run(("nft", "--json", "list", "ruleset"), timeout=20)
    try:
        if listed.ok:
            # Rules of iptables' own kinds are in there without their meaning.
            if has_foreign(listed.stdout):
                saved = runner.run(("iptables-nft-save", "-t", "filter"), timeout=20)
                if saved.ok:
                    ufw = ":ufw-" in saved.stdout
                    rulesets += [parse_nft(listed.stdout, tables_of_iptables=False), parse_iptables(saved.stdout)]
            if not rulesets:
                rulesets.append(parse_nft(listed.stdout))
        elif listed.returncode != NOT_FOUND:
            problems.append(f"nft failed: {listed.stderr.strip()[:200]}")
        elif "nf_tables " in text_of("/proc/modules"):
            problems.append("nft is not installed")
        if "filter" in text_of(_TABLES).split():
            saved = runner.run(("iptables-legacy-save", "-t", "filter"), timeout=20)
            if saved.ok:
                ufw = ufw or ":ufw-" in saved.stdout
                rulesets.append(parse_iptables(saved.stdout, "iptables-legacy"))
            else:
                problems.append(f"iptables-legacy-save failed: {saved.stderr.strip()[:200]}")
    except InvalidConfigError as error:
        problems.append(error.message)
    return PacketFilter(tuple(rulesets), "; ".join(problems), firewalld, ufw)
