# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a packet gets through a packet filter. Where a rule cannot be judged beforehand, both ways are followed."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from osrd.model.firewall import Chain, Key, Match, Packet, Ruleset, Verdict

#: of jumps in jumps; nftables allows 16
_DEPTH = 20
_FALLS = "falls through"
_ACCEPTED = "accepted"
_NUMBERS = {"tcp": "6", "udp": "17"}


@dataclass(frozen=True, slots=True)
class Fate:
    """``dropped_by`` are the chains that drop it; it may be ``accepted`` as well when that cannot be told."""

    accepted: bool
    dropped_by: tuple[str, ...] = ()

    @property
    def blocked(self) -> bool:
        return not self.accepted

    @property
    def unclear(self) -> bool:
        return self.accepted and bool(self.dropped_by)


def fate(packet: Packet, rulesets: Iterable[Ruleset]) -> Fate:
    """What happens to ``packet``. Every base chain of every ruleset must let it pass."""
    accepted, dropped = True, []
    for ruleset in rulesets:
        base = [chain for chain in ruleset.chains.values() if chain.priority is not None]
        for chain in sorted(base, key=lambda chain: (chain.priority or 0, chain.name)):
            outcomes = _walk(packet, chain, ruleset, 0)
            if _FALLS in outcomes:
                outcomes = (outcomes - {_FALLS}) | {
                    _ACCEPTED if chain.policy is Verdict.ACCEPT else f"the policy of {chain.name}"
                }
            dropped += sorted(outcomes - {_ACCEPTED})
            accepted = accepted and _ACCEPTED in outcomes
    return Fate(accepted, tuple(dict.fromkeys(dropped)))


def _walk(packet: Packet, chain: Chain, ruleset: Ruleset, depth: int) -> frozenset[str]:
    """What can become of the packet in ``chain``: _ACCEPTED, _FALLS, or the name of the chain that drops it."""
    outcomes: frozenset[str] = frozenset()
    for rule in chain.rules:
        holds = _all(_holds(match, packet) for match in rule.matches)
        if holds is False or rule.verdict is None:
            continue
        goes_on = holds is None
        match rule.verdict:
            case Verdict.ACCEPT:
                outcomes |= {_ACCEPTED}
            case Verdict.DROP:
                outcomes |= {chain.name}
            case Verdict.RETURN:
                outcomes |= {_FALLS}
            case Verdict.JUMP | Verdict.GOTO:
                target = ruleset.chains.get(rule.target)
                if target is None or depth > _DEPTH:
                    # A target that is no chain (an extension of iptables): nobody knows.
                    outcomes |= {_ACCEPTED}
                    goes_on = True
                else:
                    inner = _walk(packet, target, ruleset, depth + 1)
                    returns = _FALLS in inner
                    outcomes |= inner if rule.verdict is Verdict.GOTO else inner - {_FALLS}
                    goes_on = goes_on or (returns and rule.verdict is Verdict.JUMP)
        if not goes_on:
            return outcomes
    return outcomes | {_FALLS}


def _all(held: Iterable[bool | None]) -> bool | None:
    """Whether all hold; None when that depends on what is unknown."""
    result: bool | None = True
    for each in held:
        if each is False:
            return False
        if each is None:
            result = None
    return result


def _holds(match: Match, packet: Packet) -> bool | None:
    found = _found(match, packet)
    return found if found is None or not match.negated else not found


def _found(match: Match, packet: Packet) -> bool | None:
    result: bool | None = None
    match match.key:
        case Key.PROTOCOL:
            result = packet.protocol in match.values or _NUMBERS[packet.protocol] in match.values
        case Key.PORT:
            result = any(_is_port(packet.port, value) for value in match.values)
        case Key.INTERFACE:
            result = _any(_is_interface(packet.interface, value) for value in match.values)
        case Key.SOURCE:
            result = _any(_is_source(packet.source, value) for value in match.values)
        case Key.STATE:
            result = "new" in match.values
        case Key.FAMILY:
            result = "ipv4" in match.values
        case Key.SOURCE_PORT | Key.UNKNOWN:
            pass
    return result


def _any(held: Iterable[bool | None]) -> bool | None:
    known = list(held)
    return True if True in known else None if None in known else False


def _is_port(port: int, value: str) -> bool:
    first, _, last = value.partition("-")
    return first.isdigit() and int(first) <= port <= int(last if last.isdigit() else first)


def _is_interface(interface: str, value: str) -> bool | None:
    if not interface:
        return False if value == "lo" else None
    return interface.startswith(value[:-1]) if value.endswith("*") else interface == value


def _is_source(source: str, value: str) -> bool | None:
    if not source:
        return None
    try:
        if "-" in value:
            first, _, last = value.partition("-")
            return IPv4Address(first) <= IPv4Address(source) <= IPv4Address(last)
        return IPv4Address(source) in IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None
