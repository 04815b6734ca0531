# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``nft --json list ruleset`` (libnftables-json(5)) and ``iptables-save`` print, as the chains that packets to
this host pass. What is not understood becomes a match of which nobody knows whether it holds."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from osrd.model.errors import InvalidConfigError
from osrd.model.firewall import Chain, Key, Match, Rule, Ruleset, Verdict

_Sets = Mapping[tuple[str, str, str], Any]
#: hooks that a packet to this host passes, in their order
_HOOKS = ("prerouting", "input")
_FAMILIES = ("ip", "inet")
#: between two hooks; priorities are 32 bits
_HOOK_STEP = 1 << 33
_UNKNOWN = Match(Key.UNKNOWN)
_VERDICTS = {verdict.value: verdict for verdict in Verdict} | {"reject": Verdict.DROP}
_SIMPLE = {
    ("meta", "iifname"): Key.INTERFACE,
    ("meta", "iif"): Key.INTERFACE,
    ("meta", "l4proto"): Key.PROTOCOL,
    ("meta", "nfproto"): Key.FAMILY,
    ("ct", "state"): Key.STATE,
}
_PAYLOAD = {
    **{(protocol, "dport"): Key.PORT for protocol in ("udp", "tcp", "th")},
    **{(protocol, "sport"): Key.SOURCE_PORT for protocol in ("udp", "tcp", "th")},
    ("ip", "saddr"): Key.SOURCE,
    ("ip", "protocol"): Key.PROTOCOL,
}


def parse_nft(text: str, *, tables_of_iptables: bool = True) -> Ruleset:
    """The IPv4 side of a ruleset, with or without the table that iptables makes. Raises InvalidConfigError for what is
    none."""
    try:
        objects = json.loads(text)["nftables"]
        sets: dict[tuple[str, str, str], Any] = {}
        heads: dict[str, dict[str, Any]] = {}
        rules: dict[str, list[Rule]] = {}
        for each in objects:
            ((kind, value),) = each.items()
            if kind in ("set", "map") and value["family"] in _FAMILIES:
                sets[value["family"], value["table"], f"@{value['name']}"] = value.get("elem", [])
            elif kind == "chain" and value["family"] in _FAMILIES:
                if not tables_of_iptables and (value["family"], value["table"]) == ("ip", "filter"):
                    continue
                heads[_name(value, value["name"])] = value
        for each in objects:
            ((kind, value),) = each.items()
            if kind == "rule" and value["family"] in _FAMILIES:
                rules.setdefault(_name(value, value["chain"]), []).extend(_nft_rules(value, sets))
        return Ruleset({name: _nft_chain(name, head, rules.get(name, [])) for name, head in heads.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidConfigError(f"nft printed what is no ruleset ({error!r:.100})") from error


def has_foreign(text: str) -> bool:
    """Whether rules are in it that only iptables can print."""
    return '"xt"' in text


def _name(value: Mapping[str, Any], chain: str) -> str:
    return f"{value['family']} {value['table']} {chain}"


def _nft_chain(name: str, head: Mapping[str, Any], rules: list[Rule]) -> Chain:
    priority = None
    if head.get("type") == "filter" and head.get("hook") in _HOOKS:
        priority = _HOOKS.index(head["hook"]) * _HOOK_STEP + int(head.get("prio", 0))
    policy = Verdict.DROP if head.get("policy") == "drop" else Verdict.ACCEPT
    return Chain(name, tuple(rules), priority, policy)


def _nft_rules(rule: Mapping[str, Any], sets: _Sets) -> Iterator[Rule]:
    """One rule, or with a verdict map one for each of its elements, and then what follows."""
    prefix = _name(rule, "")
    matches: list[Match] = []
    for expression in rule["expr"]:
        ((kind, value),) = expression.items()
        if kind == "match":
            matches += _nft_match(value, rule, sets)
        elif kind in _VERDICTS:
            target = prefix + value["target"] if kind in ("jump", "goto") else ""
            yield Rule(tuple(matches), _VERDICTS[kind], target)
            return
        elif kind == "vmap":
            for element, verdict in _elements(value["data"], rule, sets):
                ((word, more),) = verdict.items()
                if word not in _VERDICTS:
                    continue
                compared = _compared(_nft_key(value["key"]), element, rule, sets)
                target = prefix + more["target"] if word in ("jump", "goto") else ""
                yield Rule((*matches, *compared), _VERDICTS[word], target)
        elif kind == "xt":
            if value.get("type") == "target" and value.get("name") in ("REJECT", "DROP"):
                yield Rule(tuple(matches), Verdict.DROP)
                return
            matches.append(_UNKNOWN)
        elif kind in ("limit", "fib", "quota", "connlimit", "lookup", "synproxy", "queue", "fwd", "dup"):
            matches.append(_UNKNOWN)


def _elements(data: Any, rule: Mapping[str, Any], sets: _Sets) -> list[Any]:
    if isinstance(data, str):
        return list(sets.get((rule["family"], rule["table"], data), []))
    return list(data["set"])


def _nft_match(value: Mapping[str, Any], rule: Mapping[str, Any], sets: _Sets) -> tuple[Match, ...]:
    if value["op"] not in ("==", "!=", "in"):
        return (_UNKNOWN,)
    return _compared(_nft_key(value["left"]), value["right"], rule, sets, negated=value["op"] == "!=")


def _nft_key(left: Mapping[str, Any]) -> tuple[Key, str]:
    """What is compared, and the protocol that a packet must have for it ("" any)."""
    ((kind, value),) = left.items()
    if kind == "payload":
        protocol = value.get("protocol", "")
        found = _PAYLOAD.get((protocol, value.get("field", "")), Key.UNKNOWN)
        return found, protocol if protocol in ("udp", "tcp") else ""
    return _SIMPLE.get((kind, value.get("key", "")), Key.UNKNOWN), ""


def _compared(
    key: tuple[Key, str], right: Any, rule: Mapping[str, Any], sets: _Sets, *, negated: bool = False
) -> tuple[Match, ...]:
    """``tcp dport != 22`` says two things: it is TCP, and another port."""
    kind, protocol = key
    first = (Match(Key.PROTOCOL, (protocol,)),) if protocol else ()
    values = None if kind is Key.UNKNOWN else _values(right, rule, sets)
    return (*first, _UNKNOWN if values is None else Match(kind, values, negated))


def _values(right: Any, rule: Mapping[str, Any], sets: _Sets) -> tuple[str, ...] | None:
    """The words of a right side; None for one that is not understood."""
    if isinstance(right, str) and right.startswith("@"):
        right = sets.get((rule["family"], rule["table"], right))
    elif isinstance(right, str | int) and not isinstance(right, bool):
        return (str(right),)
    if isinstance(right, list):
        lists = [_values(each, rule, sets) for each in right]
        return None if None in lists else tuple(word for words in lists if words is not None for word in words)
    if not isinstance(right, dict):
        return None
    ((kind, value),) = right.items()
    if kind == "range":
        return (f"{value[0]}-{value[1]}",)
    if kind == "prefix":
        return (f"{value['addr']}/{value['len']}",)
    inner = {"set": value, "elem": value["val"] if kind == "elem" else None}.get(kind)
    return None if inner is None else _values(inner, rule, sets)


_IPTABLES = {
    "-p": Key.PROTOCOL,
    "--protocol": Key.PROTOCOL,
    "-i": Key.INTERFACE,
    "--in-interface": Key.INTERFACE,
    "-s": Key.SOURCE,
    "--source": Key.SOURCE,
    "--dport": Key.PORT,
    "--dports": Key.PORT,
    "--destination-port": Key.PORT,
    "--sport": Key.SOURCE_PORT,
    "--sports": Key.SOURCE_PORT,
    "--ctstate": Key.STATE,
    "--state": Key.STATE,
}
#: words that say nothing of the packet, with the number of words that belong to them
_IGNORED = {"-m": 1, "--match": 1, "--comment": 1, "--reject-with": 1, "--log-prefix": 1, "--log-level": 1, "-c": 2}
_TARGETS = {
    "ACCEPT": Verdict.ACCEPT,
    "DROP": Verdict.DROP,
    "REJECT": Verdict.DROP,
    "RETURN": Verdict.RETURN,
}
_HARMLESS = frozenset({"LOG", "NFLOG", "MARK", "CONNMARK", "CT", "NOTRACK", "AUDIT", "TRACE", "CHECKSUM"})


def parse_iptables(text: str, program: str = "iptables") -> Ruleset:
    """The filter table. Raises InvalidConfigError for what no iptables-save prints."""
    chains: dict[str, Chain] = {}
    rules: dict[str, list[Rule]] = {}
    table = ""
    for line in text.splitlines():
        try:
            words = shlex.split(line, comments=line.startswith("#"))
        except ValueError as error:
            raise InvalidConfigError(f"{program}-save printed what is no rule: {line[:100]!r}") from error
        if not words:
            continue
        if words[0].startswith("*"):
            table = words[0][1:]
        elif table != "filter":
            continue
        elif words[0].startswith(":"):
            name = words[0][1:]
            policy = Verdict.DROP if words[1:2] == ["DROP"] else Verdict.ACCEPT
            priority = _HOOK_STEP if name == "INPUT" else None
            chains[name] = Chain(f"{program} filter {name}", (), priority, policy)
        elif words[0] == "-A" and len(words) > 1:
            rules.setdefault(words[1], []).append(_iptables_rule(words[2:], program))
    named = {chain.name: Chain(chain.name, tuple(rules.get(name, ())), chain.priority, chain.policy)
             for name, chain in chains.items()}  # fmt: skip
    return Ruleset(named)


def _iptables_rule(words: list[str], program: str) -> Rule:
    matches: list[Match] = []
    negated = False
    position = 0
    while position < len(words):
        word = words[position]
        value = words[position + 1] if position + 1 < len(words) else ""
        if word == "!":
            negated, position = True, position + 1
            continue
        if word in ("-j", "-g", "--jump", "--goto"):
            return _iptables_target(tuple(matches), value, word in ("-g", "--goto"), program)
        if word in _IPTABLES:
            matches.append(_iptables_match(_IPTABLES[word], value, negated))
            position += 2
        elif word in _IGNORED:
            position += 1 + _IGNORED[word]
        else:
            matches.append(_UNKNOWN)
            position += 1
            while position < len(words) and not words[position].startswith(("-", "!")):
                position += 1
        negated = False
    return Rule(tuple(matches), None)


def _iptables_match(key: Key, value: str, negated: bool) -> Match:
    values = tuple(value.split(","))
    if key in (Key.PORT, Key.SOURCE_PORT):
        values = tuple(each.replace(":", "-") for each in values)
    elif key is Key.INTERFACE:
        values = tuple(f"{each[:-1]}*" if each.endswith("+") else each for each in values)
    elif key is Key.STATE:
        values = tuple(each.lower() for each in values)
    elif key is Key.PROTOCOL and values == ("all",):
        return Match(Key.FAMILY, ("ipv4",), negated)
    return Match(key, values, negated)


def _iptables_target(matches: tuple[Match, ...], target: str, goto: bool, program: str) -> Rule:
    if target in _TARGETS:
        return Rule(matches, _TARGETS[target])
    if target in _HARMLESS:
        return Rule(matches, None)
    return Rule(matches, Verdict.GOTO if goto else Verdict.JUMP, f"{program} filter {target}")
